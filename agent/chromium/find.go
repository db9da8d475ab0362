package chromium

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Find is the path of a Chromium-family browser: named, which must be a full path, or
// the first of Chrome, Edge, Chromium, Brave and Vivaldi that is installed where this
// system keeps them. The error is ErrNone, ErrConfined or, for named, ErrFailed.
func Find(named string) (path string, err error) {
	if named != "" {
		return named, usable(named)
	}
	return first(places(os.Getenv))
}

// first is the first of the paths that is a browser's.
func first(paths []string) (path string, err error) {
	err = ErrNone
	for _, path := range paths {
		switch fault := usable(path); {
		case fault == nil:
			return path, nil
		case errors.Is(fault, ErrConfined) && errors.Is(err, ErrNone):
			err = fault
		}
	}
	return "", err
}

// usable is nil for a program that can be a browser.
func usable(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%w: %q is no full path", ErrFailed, path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrFailed, err)
	case info.IsDir():
		return fmt.Errorf("%w: %s is a folder; name the program in it", ErrFailed, path)
	case !info.Mode().IsRegular() || runtime.GOOS != "windows" && info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%w: %s is not a program", ErrFailed, path)
	case confined(path):
		return fmt.Errorf("%w: %s", ErrConfined, path)
	}
	return nil
}
