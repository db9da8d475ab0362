package tray

import "golang.org/x/sys/windows"

// loopEnder returns a function that ends systray's loop on this thread. Where
// Windows makes no window, systray (v1.12.2) calls nobody and waits for messages
// all the same, which its Quit can't end.
func loopEnder() func() {
	const quit = 0x0012 // WM_QUIT
	post, thread := windows.NewLazySystemDLL("user32.dll").NewProc("PostThreadMessageW"), windows.GetCurrentThreadId()
	return func() { post.Call(uintptr(thread), quit, 0, 0) } // it fails only if the loop has ended
}
