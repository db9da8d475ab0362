package config

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"langkeep/agent/paths"
	"langkeep/agent/paths/pathstest"
)

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	p := paths.Paths{Config: filepath.Join(dir, "config"), State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run"), Home: dir}
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changes, ended := make(chan struct{}, 100), make(chan error)
	go func() {
		ended <- Watch(ctx, p, slog.New(slog.DiscardHandler), func() { changes <- struct{}{} })
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	}()
	expect := func(t *testing.T, what string) {
		t.Helper()
		select {
		case <-changes:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: not seen", what)
		}
	}
	do := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expect(t, "the start")
	prod := p.ProfileFile("prod")
	do(t, SaveProfile(p.ProfilesDir(), everySetting))
	expect(t, "a new profile")

	// As vim and many others save: aside, then renamed over. Twice, since the
	// first time would take the watch of a file away.
	for range 2 {
		do(t, os.WriteFile(prod+"~", []byte("server_url = 'https://b.example'"), 0o600))
		do(t, os.Rename(prod+"~", prod))
		expect(t, "a file renamed over")
	}
	do(t, os.WriteFile(p.ConfigFile(), []byte("store = 'file'"), 0o600))
	expect(t, "config.toml in place")
	do(t, os.Remove(prod))
	expect(t, "a profile removed")
	t.Run("a link", func(t *testing.T) {
		elsewhere := filepath.Join(dir, "prod.toml")
		do(t, os.WriteFile(elsewhere, []byte("server_url = 'https://c.example'"), 0o600))
		pathstest.Symlink(t, elsewhere, prod)
		expect(t, "a link to a profile")
		do(t, os.WriteFile(elsewhere, []byte("server_url = 'https://d.example'"), 0o600))
		expect(t, "an edit of what it leads to")
	})
}

// TestSettle: however many steps an editor takes, it is one change, and what
// lies beside the settings is none.
func TestSettle(t *testing.T) {
	write := func(names ...string) (all []fsnotify.Event) {
		for _, name := range names {
			all = append(all, fsnotify.Event{Name: "/c/profiles/" + name, Op: fsnotify.Write})
		}
		return all
	}
	for name, tc := range map[string]struct {
		events  []fsnotify.Event // one each 50 ms
		err     error
		changes int
	}{
		"nothing":        {},
		"many steps":     {write("a.toml", "a.toml", "b.toml", "a.toml", "a.toml", "a.toml"), nil, 1},
		"two edits":      {write("a.toml", "x", "x", "x", "x", "x", "a.toml"), nil, 2},
		"removed":        {[]fsnotify.Event{{Name: "/c/profiles/a.toml", Op: fsnotify.Remove}}, nil, 1},
		"renamed":        {[]fsnotify.Event{{Name: "/c/profiles/a.toml", Op: fsnotify.Rename}}, nil, 1},
		"only its mode":  {[]fsnotify.Event{{Name: "/c/profiles/a.toml", Op: fsnotify.Chmod}}, nil, 0},
		"other files":    {write(".tmp-a.toml.1", ".#a.toml", "a.toml.bak", "a.toml~", "4913"), nil, 0},
		"events omitted": {nil, fsnotify.ErrEventOverflow, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				events, errs := make(chan fsnotify.Event), make(chan error)
				n := 0
				done := make(chan error)
				go func() { done <- watchEvents(ctx, events, errs, slog.New(slog.DiscardHandler), func() { n++ }) }()
				synctest.Wait()
				if n != 1 {
					t.Errorf("%d changes at the start", n)
				}
				for _, e := range tc.events {
					events <- e
					time.Sleep(50 * time.Millisecond)
				}
				if tc.err != nil {
					errs <- tc.err
				}
				time.Sleep(time.Minute)
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if n-1 != tc.changes {
					t.Errorf("%d changes, want %d", n-1, tc.changes)
				}
			})
		})
	}
}

func TestWatchWithoutFolders(t *testing.T) {
	p := paths.Paths{Config: filepath.Join(t.TempDir(), "missing")}
	if err := Watch(t.Context(), p, slog.New(slog.DiscardHandler), func() { t.Error("changed") }); err == nil {
		t.Error("no error")
	}
}
