package keys

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A file of keys that can be read can be added to, and loses none; one that
// can't is left as it is, and no key is remembered beside it.
func FuzzJournal(f *testing.F) {
	f.Add(`{"schema":1,"keys":[{"profile":"prod","origin":"https://x.test","username":"ann","name":"langkeep prod 0a","id":"1","ends":"2026-01-02T03:04:05Z"}]}`)
	f.Add(`{"schema":1,"keys":[{"profile":"prod","name":"a"},{"profile":"prod","name":"a","over":true}]}`)
	f.Add(`{"schema":2,"keys":[]}`)
	f.Add(`{"keys":null}`)
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		j := OpenJournal(path)
		before, err := j.All()
		n := Record{Profile: "prod", Origin: "https://x.test", Username: "ann", Name: "langkeep prod new", ID: "9", Ends: time.Unix(1760000000, 0).UTC()}
		put := j.Put(n)
		if err != nil || put != nil {
			if err != nil && put == nil {
				t.Errorf("put beside what can't be read (%v)", err)
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != content {
				t.Errorf("not written, but changed: %q, %v", now, err)
			}
			return
		}
		again, err := OpenJournal(path).All()
		if err != nil || !slices.Contains(again, n) || len(again) < len(before) {
			t.Errorf("%+v became %+v, %v", before, again, err)
		}
		for _, r := range before {
			if r.ID == "" && !r.Over {
				t.Errorf("%+v was being made, and nobody has it", r)
			}
			if r.Name != n.Name && !slices.ContainsFunc(again, func(o Record) bool { return o.Name == r.Name && o.ID == r.ID && o.Ends.Equal(r.Ends) }) {
				t.Errorf("%+v is lost", r)
			}
		}
	})
}
