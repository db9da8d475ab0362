//go:build unix

package browser

import (
	"runtime"
	"syscall"
)

func opener(url string) (name string, args []string) {
	if runtime.GOOS == "darwin" {
		return "/usr/bin/open", []string{url}
	}
	return "xdg-open", []string{url}
}

// detached takes the browser out of our terminal's reach: Ctrl-C there must not
// end it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
