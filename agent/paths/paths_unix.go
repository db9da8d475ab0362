//go:build !windows

package paths

import (
	"io/fs"
	"os"
	"syscall"
)

// ours tells whether this user owns the file.
func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}

// nonblock has a pipe open at once.
const nonblock = syscall.O_NONBLOCK

// lockFlag keeps a lock from being opened elsewhere, or for ever.
const lockFlag = os.O_CREATE | os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// Exposed says who else can have written a file, and what to do; "" for nobody.
// Its group may: many systems make files so, for a group of that user alone.
func Exposed(info fs.FileInfo) string {
	switch st, ok := info.Sys().(*syscall.Stat_t); {
	case !ok || st.Uid != 0 && int(st.Uid) != os.Getuid():
		return "belongs to another user; see that it says what you want, then run chown on it, or move it away"
	case info.Mode().Perm()&0o002 != 0:
		return "can be changed by every user; see that it says what you want, then run chmod 600 on it"
	}
	return ""
}

// readable says who else can read a file, and what to do; "" for nobody.
func readable(info fs.FileInfo) string {
	switch mode := info.Mode().Perm(); {
	case mode&0o007 != 0:
		return "is open to every user; run chmod 600 on it"
	case mode&0o070 != 0 && ours(info):
		return "is open to its group; run chmod 600 on it"
	}
	return ""
}

// private tells whether dir is a folder of this user's alone.
func private(dir string) bool {
	info, err := os.Lstat(dir)
	return err == nil && info.IsDir() && ours(info) && info.Mode().Perm() == 0o700
}

// restrict takes the rights of others away.
func restrict(path string, info fs.FileInfo) error {
	want := fs.FileMode(0o600)
	if info.IsDir() {
		want = 0o700
	}
	if info.Mode().Perm() == want {
		return nil
	}
	return os.Chmod(path, want)
}

// syncDir makes a rename in dir outlive a power cut.
func syncDir(dir string) error {
	if dir == "" {
		dir = "."
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// replace gives a file the place of another one.
func replace(from, to string) error { return os.Rename(from, to) }
