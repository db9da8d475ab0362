package connect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"langkeep/agent/paths"
)

// Commands that run at once each have their own Records. Every one that succeeds has
// its record and its entry, and taking them back at once leaves the file as it was.
func TestConnectAtOnce(t *testing.T) {
	files := paths.Paths{State: t.TempDir()}
	path := filepath.Join(t.TempDir(), "mcp.json")
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	tool, err := Find("cursor")
	if err != nil {
		t.Fatal(err)
	}
	const commands = 8
	profile := func(i int) string { return fmt.Sprintf("prod-%d", i) }
	place := func(profile string) Place {
		p, err := tool.At(path, "langflow-"+profile, "linux", func(string) string { return "" })
		if err != nil {
			t.Error(err)
		}
		return p
	}
	all := func(do func(profile string) error) {
		var wg sync.WaitGroup
		for i := range commands {
			wg.Go(func() {
				if err := do(profile(i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	all(func(profile string) error {
		for {
			edit, err := place(profile).Put(relay)
			if err != nil {
				return err
			}
			_, _, err = OpenRecords(files).Make(t.Context(), tool, Link{Profile: profile}, edit, "")
			if err == nil || !strings.Contains(err.Error(), "was changed meanwhile: connect again") {
				return err
			}
		}
	})
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	records := OpenRecords(files)
	for i := range commands {
		if value, err := place(profile(i)).Value(content); err != nil || value == nil {
			t.Errorf("%s has no entry: %v", profile(i), err)
		}
		if _, ok, err := records.Find("cursor", profile(i), false); err != nil || !ok {
			t.Errorf("%s has no record: %v", profile(i), err)
		}
	}
	all(func(profile string) error {
		r := OpenRecords(files)
		n, _, err := r.Find("cursor", profile, false)
		if err != nil {
			return err
		}
		_, err = r.TakeBack(t.Context(), n, place(profile))
		return err
	})
	for i := range commands {
		if _, ok, err := records.Find("cursor", profile(i), false); err != nil || ok {
			t.Errorf("%s has a record still: %v", profile(i), err)
		}
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != before {
		t.Errorf("%q, %v", content, err)
	}
}

// The second of two commands that take one connection back must not remove the entry
// that the first one has restored.
func TestTakeBackTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp.json")
	own := `{"mcpServers": {"langflow-prod": {"command": "mine"}}}`
	if err := os.WriteFile(path, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	records := OpenRecords(paths.Paths{State: t.TempDir()})
	n, place, _ := connected(t, records, path, "")
	if _, err := records.TakeBack(t.Context(), n, place); err != nil {
		t.Fatal(err)
	}
	if _, err := records.TakeBack(t.Context(), n, place); err == nil {
		t.Error("it is taken back twice")
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != own {
		t.Errorf("the file has %q, %v", content, err)
	}
}

// A command waits a while for another one, and then says so; Ctrl-C ends the wait.
func TestRecordsLockWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := OpenRecords(paths.Paths{State: t.TempDir()})
		unlock, err := records.lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := records.lock(t.Context()); err == nil || !strings.Contains(err.Error(), "another langkeep command") {
			t.Errorf("the lock is held, but the second command gets %v", err)
		}
		ctx, interrupt := context.WithCancel(t.Context())
		got := make(chan error)
		go func() {
			_, err := records.lock(ctx)
			got <- err
		}()
		synctest.Wait()
		interrupt()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("after Ctrl-C the second command gets %v", err)
		}
		unlock()
		unlock, err = records.lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		unlock()
	})
}

// Two profiles whose entries would have one name can't both stand in a file.
func TestOneEntryForTwo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp.json")
	tool, err := Find("codex")
	if err != nil {
		t.Fatal(err)
	}
	records := OpenRecords(paths.Paths{State: t.TempDir()})
	connect := func(profile, path string) error {
		l := Link{Profile: profile}
		place, err := tool.At(path, tool.EntryName(l), "linux", os.Getenv)
		if err != nil {
			t.Fatal(err)
		}
		if place.Name != "langflow-a_b" {
			t.Errorf("%s has the entry %s", profile, place.Name)
		}
		edit, err := place.Put(codex(Server{Command: profile}))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = records.Make(t.Context(), tool, l, edit, "")
		return err
	}
	if err := connect("a.b", path); err != nil {
		t.Fatal(err)
	}
	if err := connect("a_b", path); err == nil || !strings.Contains(err.Error(), "for the profile a.b already") {
		t.Errorf("the other profile: %v", err)
	}
	if err := connect("a_b", path+"-2"); err != nil {
		t.Error(err)
	}
	if err := connect("a.b", path); err != nil {
		t.Errorf("again: %v", err)
	}
}

// The entries of one file may go in any order: with the last one the file, or its
// absence and that of the folders made for it, is what it was before the first.
func TestSharedFile(t *testing.T) {
	tool, err := Find("cursor")
	if err != nil {
		t.Fatal(err)
	}
	links := []Link{{Profile: "prod"}, {Profile: "prod", Builder: true}, {Profile: "test", Project: "p"}}
	for _, existed := range []bool{true, false} {
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
			dir := t.TempDir()
			path := filepath.Join(dir, "new", "mcp.json")
			if existed {
				path = filepath.Join(dir, "mcp.json")
				if err := os.WriteFile(path, []byte(before), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			was := tree(t, dir)
			records := OpenRecords(paths.Paths{State: t.TempDir()})
			place := func(l Link) Place {
				p, err := tool.At(path, tool.EntryName(l), "linux", os.Getenv)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			for i, l := range links {
				edit, err := place(l).Put(relay)
				if err != nil {
					t.Fatal(err)
				}
				client := ""
				if i == 2 {
					client = "cursor-test"
				}
				if _, _, err := records.Make(t.Context(), tool, l, edit, client); err != nil {
					t.Fatal(err)
				}
			}
			for _, i := range order {
				n, ok, err := records.Find(tool.Name, links[i].Profile, links[i].Builder)
				if err != nil || !ok {
					t.Fatalf("%v: %v", links[i], err)
				}
				if _, err := records.TakeBack(t.Context(), n, place(links[i])); err != nil {
					t.Fatal(err)
				}
				content, err := os.ReadFile(path)
				if value, _ := place(links[i]).Value(content); value != nil {
					t.Errorf("%v is still there: %v", links[i], err)
				}
			}
			sameTree(t, dir, was)
		}
	}
}
