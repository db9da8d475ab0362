package main

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// leaveConsole closes a console window that Windows has opened for this program
// alone, as it does for one that is started from the Start menu or at login. It
// is for the commands that are started there: run, open and start. From Windows
// 11 24H2 there is no such window, by the manifest in assets/windows.
func leaveConsole() {
	kernel := windows.NewLazySystemDLL("kernel32.dll")
	var pids [2]uint32 // more are not asked for: it returns how many there are
	n, _, _ := kernel.NewProc("GetConsoleProcessList").Call(uintptr(unsafe.Pointer(&pids[0])), uintptr(len(pids)))
	if n == 1 { // 0: there is no console
		kernel.NewProc("FreeConsole").Call()
	}
}
