//go:build windows || (darwin && cgo)

package tray

// watcher is told what becomes of the place for the icon, which Windows and
// macOS always have.
type watcher struct{ shown, absent, gone func() }

func watch(w watcher) (leave func(), err error) {
	w.shown()
	return func() {}, nil
}

// prepare does nothing: here all can only be set once systray runs.
func prepare(menu) {}
