package paths

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// ours is true: restrict fails on what this user may not change, and the
// folders are below the user's own profile.
func ours(fs.FileInfo) bool { return true }

const nonblock, lockFlag = 0, os.O_CREATE | os.O_RDONLY

// Exposed is "": the folders are below the user's own profile.
func Exposed(fs.FileInfo) string { return "" }

// readable is "", as Exposed is.
func readable(fs.FileInfo) string { return "" }

// private is false: there is no XDG_RUNTIME_DIR.
func private(string) bool { return false }

// restrict gives a file or folder an access list with this user alone.
func restrict(path string, info fs.FileInfo) error {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return fmt.Errorf("find the user's SID: %w", err)
	}
	sd, err := windows.SecurityDescriptorFromString(sddl(user.User.Sid.String(), info.IsDir()))
	if err != nil {
		return err
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
}

// syncDir does nothing: Windows can't sync a folder, and NTFS keeps a journal
// of names.
func syncDir(string) error { return nil }

// replacePatience is how long a file that is being read is waited for.
const replacePatience = 2 * time.Second

// replace gives a file the place of another one, which Windows refuses while a
// program has either of them open: one of ours reads it, or a virus scanner.
func replace(from, to string) error {
	limit := time.Now().Add(replacePatience)
	for {
		err := os.Rename(from, to)
		inUse := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !inUse || time.Now().After(limit) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
