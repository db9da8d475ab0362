package config

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"langkeep/agent/clock"
	"langkeep/agent/paths"
)

const (
	// debounce is how long the files must be quiet: editors write in several steps.
	debounce = 200 * time.Millisecond
	maxLinks = 40 // that lead to a file at most, as on Linux
)

// Watch calls changed after config.toml or a profile was edited, made, renamed
// or removed, by langkeep too, and once at its start, so that nothing is missed
// between reading and watching. It returns when ctx ends.
//
// Symbolic links may lead to the files, over any number of links and folders: a change
// of any of them makes Watch look at the files. A change that no watch reports, such as
// an edit on a network disk or a replaced folder, is seen within 15 s.
func Watch(ctx context.Context, p paths.Paths, c clock.Clock, log *slog.Logger, changed func()) {
	w := newWatch(p, c, log)
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("the settings can't be watched: edits are seen within 15 s", "error", err)
		w.watchEvents(ctx, nil, nil, changed)
		return
	}
	defer notifier.Close()
	w.notifier = notifier
	w.watchEvents(ctx, notifier.Events, notifier.Errors, changed)
}

// watch is the state of Watch.
type watch struct {
	paths    paths.Paths
	clock    clock.Clock
	log      *slog.Logger
	notifier *fsnotify.Watcher      // nil: the system has none
	watched  map[string]fs.FileInfo // the folders, as they were when their watch began
	refused  map[string]bool        // folders that can't be watched, already logged
	places   map[string]bool        // paths that lead to a file of settings: see trail
	folders  []string               // those of the settings, without a link on the way
}

func newWatch(p paths.Paths, c clock.Clock, log *slog.Logger) *watch {
	return &watch{paths: p, clock: c, log: log, watched: map[string]fs.FileInfo{}, refused: map[string]bool{}}
}

// watchEvents is Watch with the folders' events.
func (w *watch) watchEvents(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error, changed func()) {
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	// A look at the files is for changes that no watch reports.
	tick := time.NewTimer(clock.NextTick(w.clock))
	defer tick.Stop()
	var seen map[string]fs.FileInfo
	for {
		select {
		case <-ctx.Done():
			return
		case <-quiet.C:
			// The watches and the look come before the files are read, so that no edit
			// falls in between.
			w.follow()
			seen = w.look()
			changed()
		case <-tick.C:
			tick.Reset(clock.NextTick(w.clock))
			if !maps.EqualFunc(seen, w.look(), sameFile) {
				quiet.Reset(debounce)
			}
		case e, ok := <-events:
			switch {
			case !ok:
				events = nil // the ticks go on
			case e.Op == fsnotify.Chmod:
				// It may make a file that was refused for its rights usable. On macOS the
				// indexing of a disk causes such events too.
				if !maps.EqualFunc(seen, w.look(), sameFile) {
					quiet.Reset(debounce)
				}
			case w.matters(e):
				quiet.Reset(debounce)
			}
		case err, ok := <-errs:
			if !ok {
				errs = nil
				continue
			}
			// Events may be lost (fsnotify.ErrEventOverflow): look at all of it.
			w.log.Warn("watching the settings", "err", err)
			quiet.Reset(debounce)
		}
	}
}

// matters tells whether an event may change a file of settings.
func (w *watch) matters(e fsnotify.Event) bool {
	if w.places[e.Name] || w.watched[e.Name] != nil {
		return true
	}
	return isSettings(filepath.Base(e.Name)) && slices.Contains(w.folders, filepath.Dir(e.Name))
}

// files are all files of settings.
func (w *watch) files() []string {
	files := []string{w.paths.ConfigFile()}
	entries, _ := os.ReadDir(w.paths.ProfilesDir()) // a folder that can't be read has no settings
	for _, e := range entries {
		if isSettings(e.Name()) {
			files = append(files, filepath.Join(w.paths.ProfilesDir(), e.Name()))
		}
	}
	return files
}

// look returns the present state of each file of settings, behind any links; nil for a
// missing one.
func (w *watch) look() map[string]fs.FileInfo {
	seen := map[string]fs.FileInfo{}
	for _, file := range w.files() {
		info, err := os.Stat(file)
		if err != nil {
			info = nil
		}
		seen[file] = info
	}
	return seen
}

// sameFile tells whether a file is unchanged, as far as its metadata shows.
func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) &&
		a.Mode() == b.Mode() && paths.Exposed(a) == paths.Exposed(b)
}

// follow watches the folders of all links and files that lead to the settings, and no
// others.
func (w *watch) follow() {
	t := trail{places: map[string]bool{}, real: map[string]string{}}
	w.folders = []string{t.end(w.paths.Config, maxLinks), t.end(w.paths.ProfilesDir(), maxLinks)}
	t.places[filepath.Join(w.folders[0], filepath.Base(w.paths.ProfilesDir()))] = true
	for _, file := range w.files() {
		t.places[t.end(file, maxLinks)] = true
	}
	w.places = t.places
	if w.notifier == nil {
		return
	}
	needed := map[string]bool{w.folders[0]: true, w.folders[1]: true}
	for place := range w.places {
		needed[filepath.Dir(place)] = true
	}
	for dir := range w.watched {
		// Another folder of the same name needs a watch of its own.
		if info, err := os.Stat(dir); !needed[dir] || err != nil || !os.SameFile(info, w.watched[dir]) {
			_ = w.notifier.Remove(dir) // the watch of a folder that is gone may have gone with it
			delete(w.watched, dir)
		}
	}
	for dir := range needed {
		if w.watched[dir] != nil {
			continue
		}
		info, err := os.Stat(dir)
		if err == nil {
			err = w.notifier.Add(dir)
		}
		switch {
		case err == nil:
			w.watched[dir] = info
		case !errors.Is(err, fs.ErrNotExist) && !w.refused[dir]:
			w.refused[dir] = true
			w.log.Warn("a folder of settings can't be watched: edits there are seen within 15 s", "folder", dir, "error", err)
		}
	}
}

// trail finds the symbolic links that lead to files.
type trail struct {
	places map[string]bool   // each link, in the folder that it really is in
	real   map[string]string // by path: the result of end
}

// end resolves a path; it follows at most links links. A missing part stays as it is.
func (t trail) end(path string, links int) string {
	if end, ok := t.real[path]; ok {
		return end
	}
	dir := filepath.Dir(path)
	if dir == path {
		return path
	}
	at := filepath.Join(t.end(dir, links), filepath.Base(path))
	end := at
	if target, err := os.Readlink(at); err == nil && links > 0 {
		t.places[at] = true
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(at), target)
		}
		end = t.end(target, links-1)
	}
	t.real[path] = end
	return end
}
