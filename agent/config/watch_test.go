package config

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"langkeep/agent/clock"
	"langkeep/agent/paths"
	"langkeep/agent/paths/pathstest"
)

// watching calls Watch on new folders until the test is over; expect waits for a
// change.
func watching(t *testing.T, p paths.Paths) (expect func(what string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	changes, ended := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(ended)
		Watch(ctx, p, clock.System(), slog.New(slog.DiscardHandler), func() { changes <- struct{}{} })
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	expect = func(what string) {
		t.Helper()
		select {
		case <-changes:
		case <-time.After(10 * time.Second): // less than clock.Tick: a watch has to tell
			t.Fatalf("%s: not seen", what)
		}
	}
	expect("the start")
	return expect
}

func newFolders(t *testing.T, dir string) paths.Paths {
	t.Helper()
	p := paths.Paths{Config: filepath.Join(dir, "config"), State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run"), Home: dir}
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	p := newFolders(t, dir)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := watching(t, p)
	prod := p.ProfileFile("prod")
	do(SaveProfile(p.ProfilesDir(), everySetting))
	expect("a new profile")

	// As vim and many others save: aside, then renamed over. Twice, since the
	// first time would take the watch of a file away.
	for range 2 {
		do(os.WriteFile(prod+"~", []byte("server_url = 'https://b.example'"), 0o600))
		do(os.Rename(prod+"~", prod))
		expect("a file renamed over")
	}
	do(os.WriteFile(p.ConfigFile(), []byte("store = 'file'"), 0o600))
	expect("config.toml in place")
	if runtime.GOOS != "windows" {
		// A file that others could write is refused until its rights are mended.
		do(os.Chmod(prod, 0o666))
		expect("a profile that everybody may write")
		do(os.Chmod(prod, 0o600))
		expect("its rights mended")
	}
	do(os.Remove(prod))
	expect("a profile removed")
}

// TestWatchLinks edits what settings are, behind links of every kind.
func TestWatchLinks(t *testing.T) {
	write := func(t *testing.T, path, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// relink has a link lead elsewhere in one step, as ln -sfn and stow do.
	relink := func(t *testing.T, target, link string) {
		t.Helper()
		pathstest.Symlink(t, target, link+".new")
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	const a, b = "server_url = 'https://a.example'", "server_url = 'https://b.example'"
	for name, tt := range map[string]struct {
		before func(t *testing.T, p paths.Paths, dots string)
		edit   func(t *testing.T, p paths.Paths, dots string)
	}{
		"a link of another name": {
			func(t *testing.T, p paths.Paths, dots string) {
				write(t, filepath.Join(dots, "langflow-prod.conf"), a)
				pathstest.Symlink(t, filepath.Join(dots, "langflow-prod.conf"), p.ProfileFile("prod"))
			},
			func(t *testing.T, _ paths.Paths, dots string) { write(t, filepath.Join(dots, "langflow-prod.conf"), b) },
		},
		"a relative link": {
			func(t *testing.T, p paths.Paths, dots string) {
				write(t, filepath.Join(dots, "c"), "")
				pathstest.Symlink(t, filepath.Join("..", "dots", "c"), p.ConfigFile())
			},
			func(t *testing.T, _ paths.Paths, dots string) { write(t, filepath.Join(dots, "c"), "store = 'file'") },
		},
		"a chain of links, at its end": {
			func(t *testing.T, p paths.Paths, dots string) {
				write(t, filepath.Join(dots, "far", "away"), a)
				pathstest.Symlink(t, filepath.Join("far", "away"), filepath.Join(dots, "middle"))
				pathstest.Symlink(t, filepath.Join(dots, "middle"), p.ProfileFile("prod"))
			},
			func(t *testing.T, _ paths.Paths, dots string) { write(t, filepath.Join(dots, "far", "away"), b) },
		},
		"a chain of links, in its middle": {
			func(t *testing.T, p paths.Paths, dots string) {
				write(t, filepath.Join(dots, "old"), a)
				write(t, filepath.Join(dots, "far", "new"), b)
				pathstest.Symlink(t, "old", filepath.Join(dots, "middle"))
				pathstest.Symlink(t, filepath.Join(dots, "middle"), p.ProfileFile("prod"))
			},
			func(t *testing.T, _ paths.Paths, dots string) {
				relink(t, filepath.Join("far", "new"), filepath.Join(dots, "middle"))
			},
		},
		"a link that is switched on the way": {
			func(t *testing.T, p paths.Paths, dots string) {
				write(t, filepath.Join(dots, "1", "prod"), a)
				write(t, filepath.Join(dots, "2", "prod"), b)
				pathstest.Symlink(t, "1", filepath.Join(dots, "current"))
				pathstest.Symlink(t, filepath.Join(dots, "current", "prod"), p.ProfileFile("prod"))
			},
			func(t *testing.T, _ paths.Paths, dots string) { relink(t, "2", filepath.Join(dots, "current")) },
		},
		"a link to nothing yet": {
			func(t *testing.T, p paths.Paths, dots string) {
				write(t, filepath.Join(dots, "other"), "")
				pathstest.Symlink(t, filepath.Join(dots, "prod"), p.ProfileFile("prod"))
			},
			func(t *testing.T, _ paths.Paths, dots string) { write(t, filepath.Join(dots, "prod"), a) },
		},
		"a link in the place of the profiles": {
			func(t *testing.T, p paths.Paths, dots string) { write(t, filepath.Join(dots, "prod.toml"), a) },
			func(t *testing.T, p paths.Paths, dots string) {
				if err := os.Remove(p.ProfilesDir()); err != nil {
					t.Fatal(err)
				}
				pathstest.Symlink(t, dots, p.ProfilesDir())
			},
		},
		"a folder of profiles behind a link": {
			func(t *testing.T, p paths.Paths, dots string) {
				write(t, filepath.Join(dots, "prod.toml"), a)
				if err := os.Remove(p.ProfilesDir()); err != nil {
					t.Fatal(err)
				}
				pathstest.Symlink(t, dots, p.ProfilesDir())
			},
			func(t *testing.T, _ paths.Paths, dots string) { write(t, filepath.Join(dots, "test.toml"), b) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p, dots := newFolders(t, dir), filepath.Join(dir, "dots")
			tt.before(t, p, dots)
			expect := watching(t, p)
			tt.edit(t, p, dots)
			expect(name)
		})
	}
}

// The folders that settings do not lead to any more have no watch.
func TestWatchesThatNothingNeeds(t *testing.T) {
	dir := t.TempDir()
	p := newFolders(t, dir)
	real, err := filepath.EvalSymlinks(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer notifier.Close()
	w := newWatch(p, clock.System(), slog.New(slog.DiscardHandler))
	w.notifier = notifier
	own := []string{real, filepath.Join(real, "profiles")}
	check := func(what string, more ...string) {
		t.Helper()
		w.follow()
		got, want := notifier.WatchList(), append(more, own...)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v are watched, want %v", what, got, want)
		}
	}
	check("no link")
	elsewhere := filepath.Join(filepath.Dir(real), "elsewhere")
	if err := errors.Join(os.Mkdir(elsewhere, 0o700), os.WriteFile(filepath.Join(elsewhere, "prod"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	pathstest.Symlink(t, filepath.Join(elsewhere, "prod"), p.ProfileFile("prod"))
	check("a link", elsewhere)
	if err := errors.Join(os.Rename(elsewhere, elsewhere+"-2"), os.Mkdir(elsewhere, 0o700)); err != nil {
		t.Fatal(err)
	}
	check("another folder in its place", elsewhere)
	if err := os.Remove(p.ProfileFile("prod")); err != nil {
		t.Fatal(err)
	}
	check("no link any more")
	// In a circle, and behind a folder that is none.
	pathstest.Symlink(t, p.ProfileFile("b"), p.ProfileFile("a"))
	pathstest.Symlink(t, p.ProfileFile("a"), p.ProfileFile("b"))
	pathstest.Symlink(t, filepath.Join(p.ConfigFile(), "x"), p.ProfileFile("c"))
	check("links in a circle")
}

// A change that no watch reports is seen at the next look, once.
func TestLooks(t *testing.T) {
	dir := t.TempDir()
	p := newFolders(t, dir)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var n atomic.Int64
		w := newWatch(p, clock.System(), slog.New(slog.DiscardHandler)) // without a watch on anything
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.watchEvents(ctx, nil, nil, func() { n.Add(1) })
		}()
		check := func(what string, want int64) {
			t.Helper()
			time.Sleep(clock.Tick + debounce)
			synctest.Wait()
			if n := n.Load(); n != want {
				t.Errorf("%s: %d changes, want %d", what, n, want)
			}
		}
		check("the start", 1)
		for i, content := range []string{"server_url = 'https://a.example'", "server_url = 'https://ab.example'"} {
			if err := os.WriteFile(p.ProfileFile("prod"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			check("an edit", int64(i+2))
			check("nothing", int64(i+2))
		}
		if err := errors.Join(os.Rename(p.ProfileFile("prod"), p.ConfigFile()+"~"), os.WriteFile(p.ProfileFile("prod"), []byte("server_url = 'https://xy.example'"), 0o600),
			os.Chtimes(p.ProfileFile("prod"), time.Unix(0, 0), time.Unix(0, 0))); err != nil {
			t.Fatal(err)
		}
		check("another file of its size", 4)
		if err := os.Remove(p.ProfileFile("prod")); err != nil {
			t.Fatal(err)
		}
		check("a removal", 5)
		cancel()
		<-done
	})
}

// All steps of an editor are one change, and files beside the settings are none.
func TestWatchEvents(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write := func(names ...string) (all []fsnotify.Event) {
		for _, name := range names {
			all = append(all, fsnotify.Event{Name: filepath.Join(dir, "profiles", name), Op: fsnotify.Write})
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
		"removed":        {[]fsnotify.Event{{Name: filepath.Join(dir, "profiles", "a.toml"), Op: fsnotify.Remove}}, nil, 1},
		"renamed":        {[]fsnotify.Event{{Name: filepath.Join(dir, "profiles", "a.toml"), Op: fsnotify.Rename}}, nil, 1},
		"no real change": {[]fsnotify.Event{{Name: filepath.Join(dir, "profiles", "a.toml"), Op: fsnotify.Chmod}}, nil, 0},
		"other files":    {write(".tmp-a.toml.1", ".#a.toml", "a.toml.bak", "a.toml~", "4913"), nil, 0},
		"events omitted": {nil, fsnotify.ErrEventOverflow, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				events, errs := make(chan fsnotify.Event), make(chan error)
				n := 0
				done := make(chan struct{})
				w := newWatch(paths.Paths{Config: dir}, clock.System(), slog.New(slog.DiscardHandler))
				go func() {
					defer close(done)
					w.watchEvents(ctx, events, errs, func() { n++ })
				}()
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
				<-done
				if n-1 != tc.changes {
					t.Errorf("%d changes, want %d", n-1, tc.changes)
				}
			})
		})
	}
}

// Folders that are made later are found by a look.
func TestWatchWithoutFolders(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := paths.Paths{Config: filepath.Join(dir, "later")}
		var n atomic.Int64
		w := newWatch(p, clock.System(), slog.New(slog.DiscardHandler))
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.watchEvents(ctx, nil, nil, func() { n.Add(1) })
		}()
		synctest.Wait()
		if err := errors.Join(os.Mkdir(p.Config, 0o700), os.WriteFile(p.ConfigFile(), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(clock.Tick + debounce)
		synctest.Wait()
		cancel()
		<-done
		if n := n.Load(); n != 2 {
			t.Errorf("%d changes", n)
		}
	})
}
