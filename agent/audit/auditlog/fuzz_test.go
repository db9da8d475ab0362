package auditlog

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"langkeep/agent/audit"
	"langkeep/agent/clock"
)

// With any text in the log, the next entry has a higher number than all before it, and
// a reader who asks for the entries after a number gets it.
func FuzzLog(f *testing.F) {
	f.Add(`{"schema":1,"n":1,"at":"2026-01-02T03:04:05Z","client":"ci","profile":"prod","what":"GET /v1/status","refused":null,"process":{"pid":1,"exe":"/bin/sh"},"count":1}`+"\n", "")
	f.Add(`{"schema":1,"n":7}`+"\n"+`{"schema":1,"n":3}`+"\n", `{"schema":1,"n":5}`)
	f.Add(`{"schema":1,"n":9223372036854775807}`+"\n", "half a li")
	f.Add(`{"schema":1,"n":-5,"what":"\u001b[2J"}`+"\n"+`{"schema":2,"n":100}`+"\n", "\x00\n\n")
	f.Fuzz(func(t *testing.T, now, before string) {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		for name, text := range map[string]string{path: now, path + ".1": before} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l := Open(path, clock.System(), slog.New(slog.DiscardHandler))
		old := l.Entries(0)
		l.take(&event{l.clock.Now(), audit.Use{Client: "new", What: "GET /v1/status"}, nil})
		l.close()
		if err := l.Problem(); err != nil {
			t.Fatal(err)
		}
		all := l.Entries(0)
		for i := 1; i < len(all); i++ {
			if all[i].N <= all[i-1].N {
				t.Fatalf("the number %d comes after %d", all[i].N, all[i-1].N)
			}
		}
		last := all[len(all)-1]
		if last.Client != "new" {
			t.Fatalf("the last is %+v", last)
		}
		if len(old) > 0 {
			if after := l.Entries(old[len(old)-1].N); len(after) != 1 || after[0].Client != "new" {
				t.Errorf("after %d there are %+v", old[len(old)-1].N, after)
			}
		}
		// It is a line of its own, whatever stood before it.
		reader := Open(path, clock.System(), slog.New(slog.DiscardHandler))
		defer reader.close()
		again := reader.Entries(0)
		if len(again) == 0 || again[len(again)-1].N != last.N || again[len(again)-1].Client != "new" {
			t.Errorf("read again the end is %+v", again)
		}
	})
}
