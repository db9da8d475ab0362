package paths

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Fault is a fault of one of Langkeep's files or folders.
type Fault struct {
	Path string
	What string // lower case: is open to other users (0644)
	Todo string // a command, or an instruction
	Mild bool   // the file holds no secret
}

// Faults checks every file and folder that exists, and returns their number and their
// faults. It changes nothing.
func (p Paths) Faults() (seen int, faults []Fault) {
	look := func(path string, mode fs.FileMode, stat func(string) (fs.FileInfo, error)) {
		info, err := stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		seen++
		if err != nil {
			faults = append(faults, Fault{Path: path, What: fmt.Sprintf("can't be looked at (%v)", err), Todo: "move it away"})
			return
		}
		if f := fault(path, info, mode); f.What != "" {
			faults = append(faults, f)
		}
	}
	for _, dir := range []string{p.Config, p.ProfilesDir(), p.State, p.Run} {
		look(dir, fs.ModeDir|0o700, os.Lstat)
	}
	// A person may keep settings elsewhere, behind a link.
	settings := []string{p.ConfigFile()}
	entries, _ := os.ReadDir(p.ProfilesDir()) // an error was noted above
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".toml" {
			settings = append(settings, filepath.Join(p.ProfilesDir(), e.Name()))
		}
	}
	for _, file := range settings {
		before := len(faults)
		look(file, 0o600, os.Stat)
		if len(faults) > before {
			info, err := os.Stat(file)
			faults[before].Mild = err == nil && info.Mode().IsRegular() && ours(info) && info.Mode().Perm()&0o022 == 0
		}
	}
	for _, file := range []string{p.Lock(), p.Agent(), p.Clients(), p.Audit(), p.History(), p.Log(), p.Secrets(), p.Token(), p.PageFile()} {
		look(file, 0o600, os.Lstat)
	}
	look(p.Socket(), fs.ModeSocket|0o600, os.Lstat)
	return seen, faults
}

// fault compares a file's type and mode with those it must have. On Windows only the
// type counts: a file's access list does not show in its mode.
func fault(path string, info fs.FileInfo, want fs.FileMode) Fault {
	f := Fault{Path: path}
	switch {
	case info.Mode().Type() != want.Type():
		f.What, f.Todo = "is not what it should be ("+kind(info.Mode())+")", "move it away"
	case !ours(info):
		f.What, f.Todo = "belongs to another user", "move it away"
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		f.What = fmt.Sprintf("is open to other users (%04o)", info.Mode().Perm())
		f.Todo = fmt.Sprintf("run chmod %o on it", want.Perm())
	case runtime.GOOS != "windows" && info.Mode().Perm()&want.Perm() != want.Perm():
		f.What = fmt.Sprintf("is closed to you (%04o)", info.Mode().Perm())
		f.Todo = fmt.Sprintf("run chmod %o on it", want.Perm())
	}
	return f
}

func kind(m fs.FileMode) string {
	switch m.Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a folder"
	case fs.ModeSymlink:
		return "a symbolic link"
	case fs.ModeSocket:
		return "a socket"
	}
	return "a special file"
}
