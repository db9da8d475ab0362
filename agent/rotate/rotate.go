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
	file    *os.File   // nil: it could not be opened again, and is tried at the next line
	written int64
	torn    bool // its last line was cut short, by a full disk or a crash
	closed  bool
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
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Mode().Perm() != 0o600 {
		err = file.Chmod(0o600)
	}
	last := []byte{'\n'}
	if err == nil && info.Size() > 0 {
		_, err = file.ReadAt(last, info.Size()-1)
	}
	if err != nil {
		_ = file.Close() // the error before says more
		return err
	}
	f.file, f.written, f.torn = file, info.Size(), last[0] != '\n'
	return nil
}

// Write appends p, in a new file if the old one would grow beyond its size. After a
// short write it takes the written part back; if it can't, the next Write begins a new
// line.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, os.ErrClosed
	}
	if f.file != nil && f.written > 0 && f.written+int64(len(p)) > f.size {
		f.rotate()
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return 0, err
		}
	}
	if f.torn {
		if _, err := f.file.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		f.written, f.torn = f.written+1, false
	}
	n, err := f.file.Write(p)
	if err != nil && n > 0 {
		if f.file.Truncate(f.written) == nil {
			return 0, err
		}
		f.torn = true
	}
	f.written += int64(n)
	return n, err
}

// rotate moves each file up by one. If that fails the old file goes on.
func (f *File) rotate() {
	_ = f.file.Close() // each line was written for itself
	f.file = nil
	for n := f.keep - 1; n > 0; n-- {
		from := f.path
		if n > 1 {
			from = fmt.Sprintf("%s.%d", f.path, n-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", f.path, n)); err != nil && !os.IsNotExist(err) {
			break // better one file that grows than none
		}
	}
}

// Close closes the file; later writes fail.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
