package chromium

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// quiet are arguments for this system alone. The browser else encrypts the cookies in
// its folder with a key from the keychain: it may ask for that to be unlocked, and
// would leave the key there. The folder is closed to others, and deleted soon.
var quiet = []string{"--password-store=basic"}

// places are the full paths where the browsers may be.
func places(getenv func(string) string) []string {
	var all []string
	for _, browser := range []struct{ names, dir string }{
		{"google-chrome-stable google-chrome", "/opt/google/chrome"},
		{"microsoft-edge-stable microsoft-edge", "/opt/microsoft/msedge"},
		{"chromium chromium-browser", ""},
		{"brave-browser-stable brave-browser brave", "/opt/brave.com/brave"},
		{"vivaldi-stable vivaldi", "/opt/vivaldi"},
	} {
		dirs := filepath.SplitList(getenv("PATH"))
		dirs = append(dirs, "/usr/local/bin", "/usr/bin", browser.dir)
		for _, name := range strings.Fields(browser.names) {
			for _, dir := range dirs {
				if filepath.IsAbs(dir) {
					all = append(all, filepath.Join(dir, name))
				}
			}
		}
	}
	return all
}

// checkDesktop is nil where there is a desktop that the browser can join, and where this
// process may start one. The browser finds the desktop by itself, with these variables.
func checkDesktop(getenv func(string) string) error {
	if getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "" {
		return ErrNoDisplay
	}
	// A process of a systemd unit with MemoryDenyWriteExecute, such as our own, passes
	// that on to the browser, whose pages then crash: V8 writes code.
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("%w: langkeep runs as a service, which may not run a browser", ErrNoDisplay)
	}
	_ = unix.Munmap(page) // it was made just now
	return nil
}

// confined tells whether a program is a snap or a Flatpak, or leads to one.
//
// A snap's interface "home" leaves out hidden folders, and so the state folder
// (snapcraft.io/docs/home-interface), and a Flatpak sees the folders alone that its manifest
// names.
func confined(path string) bool {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	for _, part := range []string{"/snap/", "/snapd/", "/flatpak/"} {
		if strings.Contains(path, part) {
			return true
		}
	}
	if filepath.Base(path) == "snap" { // /snap/bin/chromium is a link to it
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 8<<10)
	n, _ := io.ReadFull(f, head) // a short program is a script
	script := string(head[:n])
	// Ubuntu's chromium-browser, and what Flatpak exports.
	return strings.HasPrefix(script, "#!") && (strings.Contains(script, "exec /snap/bin/") || strings.Contains(script, "flatpak run"))
}
