// Package pathstest has what tests of files share.
package pathstest

import (
	"io/fs"
	"os"
	"testing"
)

// Symlink makes a symbolic link, or skips the test where none can be made: Windows
// wants a right for it, and Wine 8 reports success and makes none.
func Symlink(t testing.TB, target, link string) {
	t.Helper()
	if err := os.Symlink(target, link); err != nil {
		t.Skip("this user can make no symbolic links here:", err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Skip("there are no symbolic links here, though making one does not fail")
	}
}
