package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
)

func TestCAFileAppears(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.halt()
		p, err := config.LoadProfile(r.profileFile("prod"))
		if err != nil {
			t.Fatal(err)
		}
		p.CAFile = filepath.Join(r.dir, "ca.pem")
		if err := config.SaveProfile(r.dir, p); err != nil {
			t.Fatal(err)
		}
		r.start()
		time.Sleep(time.Minute)
		if s := r.is("prod", Stale); s.Reason != string(langflow.Certificate) {
			t.Errorf("the reason is %q", s.Reason)
		}
		if err := os.WriteFile(p.CAFile, []byte("a certificate"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(maxBackoff + time.Second)
		r.is("prod", Fresh)
	})
}
