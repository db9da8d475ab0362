//go:build !windows

package connect

import (
	"os"
	"syscall"
)

// hardLinks is how many names a file has; 0 where that can't be told.
func hardLinks(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(st.Nlink) // which is narrower on some systems
}
