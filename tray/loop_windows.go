package tray

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// ofLoop must be called on the thread of systray's loop. end ends the loop: where Windows
// makes no window, systray (v1.12.2) calls nobody and waits for messages all the same,
// which its Quit can't end.
func ofLoop() (end func(), menuIsOpen func() bool) {
	const (
		quit       = 0x0012 // WM_QUIT
		inMenuMode = 0x0004 // GUI_INMENUMODE
	)
	user, thread := windows.NewLazySystemDLL("user32.dll"), windows.GetCurrentThreadId()
	post := user.NewProc("PostThreadMessageW")
	end = func() { post.Call(uintptr(thread), quit, 0, 0) } // it fails only if the loop has ended
	menuIsOpen = func() bool {
		info := windows.GUIThreadInfo{}
		info.Size = uint32(unsafe.Sizeof(info))
		return windows.GetGUIThreadInfo(thread, &info) == nil && info.Flags&inMenuMode != 0
	}
	return end, menuIsOpen
}
