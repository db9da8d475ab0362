package browser

import "syscall"

func opener(url string) (name string, args []string) {
	return "rundll32", []string{"url.dll,FileProtocolHandler", url}
}

func detached() *syscall.SysProcAttr { return nil }
