package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"langkeep/agent/paths"
)

// debounce is how long the files must be quiet: editors write in several steps.
const debounce = 200 * time.Millisecond

// Watch calls changed after config.toml or a profile was edited, made, renamed
// or removed, by langkeep too, and once at its start, so that nothing is missed
// between reading and watching. It returns nil when ctx ends, or why it can't
// watch. The files that symbolic links there lead to are watched as well.
func Watch(ctx context.Context, p paths.Paths, log *slog.Logger, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the settings: %w", err)
	}
	defer w.Close()
	// The folders rather than the files: an editor that renames a new file over
	// the old one would take a file's watch away with it.
	dirs := []string{p.Config, p.ProfilesDir()}
	for _, dir := range dirs {
		if err := w.Add(dir); err != nil {
			return fmt.Errorf("watch %s: %w", dir, err)
		}
	}
	return watchEvents(ctx, w.Events, w.Errors, log, func() {
		// Before they are read, so that no edit falls in between.
		for _, dir := range linkedFolders(dirs) {
			if err := w.Add(dir); err != nil { // nothing, where it is watched already
				log.Warn("edits of a linked file are taken up at the next start", "folder", dir, "error", err)
			}
		}
		changed()
	})
}

// linkedFolders are the folders of the files that settings in dirs are symbolic
// links to.
func linkedFolders(dirs []string) []string {
	var all []string
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir) // what can't be read has no settings either
		for _, e := range entries {
			if e.Type()&fs.ModeSymlink == 0 || !isSettings(e.Name()) {
				continue
			}
			if target, err := filepath.EvalSymlinks(filepath.Join(dir, e.Name())); err == nil {
				all = append(all, filepath.Dir(target))
			}
		}
	}
	return all
}

// watchEvents is Watch once it has the events of the folders.
func watchEvents(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error, log *slog.Logger, changed func()) error {
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-quiet.C:
			changed()
		case e, ok := <-events:
			if !ok {
				return errors.New("watch the settings: the watch ended")
			}
			if isSettings(filepath.Base(e.Name)) && e.Op != fsnotify.Chmod {
				quiet.Reset(debounce)
			}
		case err, ok := <-errs:
			if !ok {
				return errors.New("watch the settings: the watch ended")
			}
			// Events may be lost (fsnotify.ErrEventOverflow): look at all of it.
			log.Warn("watching the settings", "err", err)
			quiet.Reset(debounce)
		}
	}
}
