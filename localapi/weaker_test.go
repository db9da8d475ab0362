package localapi

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A weaker setting is told, and in the audit log, whoever has changed the file.
func TestWeakerAsk(t *testing.T) {
	r := newRig(t)
	r.signIn()
	file := func(ask string) {
		t.Helper()
		if err := os.WriteFile(r.config, []byte("schema = 1\nask = \""+ask+"\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.server.LookAtAsk()
	}
	file("always")
	tells := func(want string) {
		t.Helper()
		select {
		case got := <-r.server.Weakened():
			if fmt.Sprint(got) != want {
				t.Errorf("it tells %v, want %s", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("it does not tell %s", want)
		}
	}
	r.askFirst("new") // weaker for this profile than for all
	tells("[{prod always new}]")
	file("new")
	tells("[{ always new}]")
	file("never")
	tells("[{ new never}]")
	r.askFirst("never")
	tells("[{prod new never}]")
	r.server.LookAtAsk()
	if len(r.server.Weakened()) != 0 {
		t.Errorf("it tells %v too", <-r.server.Weakened())
	}
	for _, want := range []string{`"profile":"prod","what":"ask: new, was always"`, `"profile":null,"what":"ask: never, was new"`} {
		for began := time.Now(); !strings.Contains(r.must(200, "GET", "/v1/audit", ""), want); time.Sleep(5 * time.Millisecond) {
			if time.Since(began) > 20*time.Second {
				t.Fatalf("the audit log does not have %s", want)
			}
		}
	}
}
