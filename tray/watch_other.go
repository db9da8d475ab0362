//go:build windows || (darwin && cgo)

package tray

// watcher has callbacks about the panel that shows the icon, which Windows and macOS
// always have.
type watcher struct{ shown, absent, gone func() }

func watch(w watcher) (leave func(), err error) {
	w.shown()
	return func() {}, nil
}

// prepare does nothing: on this system everything is set once systray runs.
func prepare(menu) {}
