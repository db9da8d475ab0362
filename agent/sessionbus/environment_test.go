//go:build !windows && !darwin

package sessionbus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"langkeep/agent/sessionbus/bustest"
)

// A program that was started with next to no environment finds the session's bus, and the
// display that the desktop has told the user manager of.
func TestCompleteEnvironment(t *testing.T) {
	desktop := []string{"DISPLAY=:7", "WAYLAND_DISPLAY=wayland-0", "XAUTHORITY=/home/ana/.Xauthority", "PATH=/elsewhere", "LD_PRELOAD=/evil.so"}
	for name, test := range map[string]struct {
		set     map[string]string
		manager []string
		want    map[string]string
	}{
		"nothing is set":          {nil, desktop, map[string]string{"XDG_RUNTIME_DIR": "{dir}", "DBUS_SESSION_BUS_ADDRESS": "unix:path={dir}/bus", "DISPLAY": ":7", "WAYLAND_DISPLAY": "wayland-0", "XAUTHORITY": "/home/ana/.Xauthority", "LD_PRELOAD": ""}},
		"no desktop has begun":    {nil, []string{"HOME=/home/ana"}, map[string]string{"DBUS_SESSION_BUS_ADDRESS": "unix:path={dir}/bus", "DISPLAY": ""}},
		"no user manager":         {nil, nil, map[string]string{"DBUS_SESSION_BUS_ADDRESS": "unix:path={dir}/bus", "DISPLAY": ""}},
		"a display is set":        {map[string]string{"DISPLAY": ":1"}, desktop, map[string]string{"DISPLAY": ":1", "WAYLAND_DISPLAY": "", "XAUTHORITY": ""}},
		"another bus is set":      {map[string]string{"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}, desktop, map[string]string{"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere", "DISPLAY": ""}},
		"another folder is set":   {map[string]string{"XDG_RUNTIME_DIR": "/nowhere"}, desktop, map[string]string{"XDG_RUNTIME_DIR": "/nowhere", "DBUS_SESSION_BUS_ADDRESS": ""}},
		"the folder is elsewhere": {map[string]string{"XDG_RUNTIME_DIR": "{dir}", "DBUS_SESSION_BUS_ADDRESS": ""}, desktop, map[string]string{"DBUS_SESSION_BUS_ADDRESS": "unix:path={dir}/bus", "DISPLAY": ":7"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "lk") // short enough for a socket
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			bustest.Start(t, dir, test.manager)
			for _, name := range append([]string{"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "LD_PRELOAD"}, ofDisplay...) {
				t.Setenv(name, strings.ReplaceAll(test.set[name], "{dir}", dir))
			}
			folder := dir
			if name == "the folder is elsewhere" {
				folder = filepath.Join(dir, "none")
			}
			complete(t.Context(), folder, os.Getuid())
			for name, want := range test.want {
				want = strings.ReplaceAll(want, "{dir}", dir)
				if got := os.Getenv(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// Another user's folder is not this user's session.
func TestCompleteEnvironmentOfAnother(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("DISPLAY", ":1")
	complete(t.Context(), dir, os.Getuid()+1)
	if got := os.Getenv("XDG_RUNTIME_DIR"); got != "" {
		t.Errorf("it is %q", got)
	}
}
