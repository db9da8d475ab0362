// Package rotate writes logs that do not grow for ever.
package rotate

import (
	"fmt"
	"os"
	"sync"
)

// File is a log file that is renamed to NAME.1 when it has grown to Size
// bytes, NAME.1 to NAME.2 and so on; Keep files are kept in all. It is an
// io.Writer for whole lines, for many goroutines.
type File struct {
	path string
	size int64
	keep int

	mu      sync.Mutex // protects the following
	file    *os.File
	written int64
}

// Open opens or makes the file, readable by its user alone.
func Open(path string, size int64, keep int) (*File, error) {
	f := &File{path: path, size: size, keep: keep}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) open() error {
	if info, err := os.Lstat(f.path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not an ordinary file: remove it", f.path)
	}
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil {
		err = file.Chmod(0o600)
	}
	if err != nil {
		_ = file.Close() // the error before says more
		return err
	}
	f.file, f.written = file, info.Size()
	return nil
}

// Write appends p, in a new file if the old one would grow beyond its size.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return 0, os.ErrClosed
	}
	if f.written > 0 && f.written+int64(len(p)) > f.size {
		if err := f.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := f.file.Write(p)
	f.written += int64(n)
	return n, err
}

// rotate moves each file up by one. If that fails the old file goes on.
func (f *File) rotate() error {
	if err := f.file.Close(); err != nil {
		return err
	}
	for n := f.keep - 1; n > 0; n-- {
		from := f.path
		if n > 1 {
			from = fmt.Sprintf("%s.%d", f.path, n-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", f.path, n)); err != nil && !os.IsNotExist(err) {
			break // better one file that grows than none
		}
	}
	return f.open()
}

// Close closes the file; later writes fail.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
