package browser

import (
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

// opener names the system's own program by its path: a file of its name in the
// current folder would come first, and Go then refuses to start either.
func opener(url string) (name string, args []string) {
	name = "rundll32.exe"
	if dir, err := windows.GetSystemDirectory(); err == nil {
		name = filepath.Join(dir, name)
	}
	return name, []string{"url.dll,FileProtocolHandler", url}
}

func detached() *syscall.SysProcAttr { return nil }
