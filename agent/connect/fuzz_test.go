package connect

import (
	"os"
	"slices"
	"testing"

	"langkeep/agent/paths"
)

// A file of records that can be read can be added to, and loses no other; one
// that can't is left as it is.
func FuzzRecords(f *testing.F) {
	f.Add(`{"schema":1,"connections":[{"tool":"cursor","profile":"prod","path":"/home/a/.cursor/mcp.json","backup":"","sha256":"0a","client":""}]}`)
	f.Add(`{"schema":1,"connections":[{"tool":"a"},{"tool":"a"},{"tool":"lfx","profile":"x"}]}`)
	f.Add(`{"schema":2,"connections":[]}`)
	f.Add(`{"connections":null}`)
	f.Fuzz(func(t *testing.T, content string) {
		files := paths.Paths{State: t.TempDir()}
		path := files.Connections()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		records := OpenRecords(files)
		before, err := records.All()
		n := Record{Tool: "lfx", Link: Link{Profile: "x"}, Path: "/somewhere"}
		put := records.changeLocked(func(all []Record) []Record { return append(slices.DeleteFunc(all, n.is), n) })
		if err != nil {
			if now, readErr := os.ReadFile(path); put == nil || readErr != nil || string(now) != content {
				t.Errorf("what can't be read (%v) is now %q, %v", err, now, readErr)
			}
			return
		}
		if put != nil {
			t.Fatal(put)
		}
		want := append(slices.DeleteFunc(before, n.is), n)
		if now, err := records.All(); err != nil || !slices.Equal(now, want) {
			t.Errorf("it has %+v, %v, want %+v", now, err, want)
		}
	})
}
