package localapi

import (
	"bytes"
	"os"
	"strconv"
)

// processFigures returns the agent's open files and the bytes of its memory that are in
// RAM.
func processFigures() (files, resident float64, ok bool) {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, 0, false
	}
	sizes, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, 0, false
	}
	fields := bytes.Fields(sizes)
	if len(fields) < 2 {
		return 0, 0, false
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	// One of the open files was the folder itself.
	return float64(len(open) - 1), float64(pages * int64(os.Getpagesize())), err == nil
}
