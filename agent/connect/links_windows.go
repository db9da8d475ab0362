package connect

import (
	"os"

	"golang.org/x/sys/windows"
)

// hardLinks is how many names a file has; 0 where that can't be told.
func hardLinks(path string) uint64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	var info windows.ByHandleFileInformation
	if windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info) != nil {
		return 0
	}
	return uint64(info.NumberOfLinks)
}
