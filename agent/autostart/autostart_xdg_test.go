//go:build !darwin && !windows

package autostart

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"langkeep/agent/paths"
)

// files lists what is below dir, folders with a slash.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if d.IsDir() {
			rel += "/"
		}
		all = append(all, rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func testEntry(dir string, desktop bool) *Entry {
	return &Entry{name: "langkeep", program: "/usr/bin/langkeep", places: places{config: dir, desktop: desktop, systemd: true}}
}

func want(t *testing.T, e *Entry, state State, file string) {
	t.Helper()
	got, err := e.Status()
	if file != "" {
		file = filepath.Join(e.places.config, file)
	}
	if err != nil || got != (Status{state, file}) {
		t.Errorf("got %+v, %v, want %s %s", got, err, state, file)
	}
}

const (
	desktopPath = "autostart/langkeep.desktop"
	unitPath    = "systemd/user/langkeep.service"
	wantsPath   = "systemd/user/default.target.wants/langkeep.service"
)

func TestEnableAndDisable(t *testing.T) {
	for desktop, made := range map[bool][]string{
		true:  {"autostart/", desktopPath},
		false: {"systemd/", "systemd/user/", "systemd/user/default.target.wants/", wantsPath, unitPath},
	} {
		dir := t.TempDir()
		e := testEntry(dir, desktop)
		want(t, e, Disabled, "")
		for range 2 { // the second time changes nothing
			if err := e.Enable(); err != nil {
				t.Fatal(err)
			}
			want(t, e, Enabled, made[len(made)-1])
			if got := files(t, dir); !slices.Equal(got, made) {
				t.Errorf("made %q", got)
			}
		}
		moved := testEntry(dir, desktop)
		moved.program = "/opt/langkeep"
		want(t, moved, Outdated, made[len(made)-1])
		for range 2 {
			if err := moved.Disable(); err != nil {
				t.Fatal(err)
			}
			want(t, e, Disabled, "")
			if got := files(t, dir); len(got) > 0 {
				t.Errorf("left %q", got)
			}
		}
	}
}

// Enabled on a desktop and then over ssh, or the other way round, the agent is
// still started once.
func TestOneKindAtATime(t *testing.T) {
	dir := t.TempDir()
	for i, desktop := range []bool{true, false, true} {
		e := testEntry(dir, desktop)
		if err := e.Enable(); err != nil {
			t.Fatal(err)
		}
		if got := files(t, dir); slices.Contains(got, desktopPath) != desktop || slices.Contains(got, unitPath) == desktop {
			t.Errorf("%d: %q", i, got)
		}
		want(t, testEntry(dir, !desktop), Enabled, map[bool]string{true: desktopPath, false: unitPath}[desktop])
	}
}

func TestSwitchedOffInPlace(t *testing.T) {
	e := testEntry(t.TempDir(), true)
	if err := e.Enable(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(e.desktopFile())
	if err != nil {
		t.Fatal(err)
	}
	for add, state := range map[string]State{"Hidden=true\n": Disabled, "Icon=other\n": Outdated} {
		if err := os.WriteFile(e.desktopFile(), append(slices.Clone(data), add...), 0o600); err != nil {
			t.Fatal(err)
		}
		want(t, e, state, desktopPath)
	}
	e.places.desktop = false
	if err := e.Enable(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(e.wantedBy()); err != nil { // systemctl --user disable
		t.Fatal(err)
	}
	want(t, e, Disabled, "")
}

func TestOtherPeoplesFilesStay(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	e := testEntry(dir, true)
	if err := os.Symlink(elsewhere, filepath.Join(dir, "autostart")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(e.wantedBy()), 0o700); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(e.unitFile()), "other.service")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, desktop := range []bool{true, false} {
		e.places.desktop = desktop
		if err := e.Enable(); err != nil {
			t.Fatal(err)
		}
		if err := e.Disable(); err != nil {
			t.Fatal(err)
		}
	}
	if got := files(t, dir); !slices.Equal(got, []string{"autostart", "systemd/", "systemd/user/", "systemd/user/other.service"}) {
		t.Errorf("left %q", got)
	}
}

func TestNowhere(t *testing.T) {
	e := testEntry(t.TempDir(), false)
	e.places.systemd = false
	if err := e.Enable(); err == nil || !strings.Contains(err.Error(), "langkeep start") {
		t.Error(err)
	}
	if got := files(t, e.places.config); len(got) > 0 {
		t.Errorf("made %q", got)
	}
}

func TestNew(t *testing.T) {
	for name, tc := range map[string]struct {
		env     map[string]string
		config  string
		desktop bool
		err     string
	}{
		"home":          {map[string]string{"HOME": "/home/ann"}, "/home/ann/.config", false, ""},
		"xdg":           {map[string]string{"HOME": "/home/ann", "XDG_CONFIG_HOME": "/c"}, "/c", false, ""},
		"relative":      {map[string]string{"HOME": "/home/ann", "XDG_CONFIG_HOME": "c"}, "/home/ann/.config", false, ""},
		"GNOME":         {map[string]string{"HOME": "/h", "XDG_CURRENT_DESKTOP": "GNOME"}, "/h/.config", true, ""},
		"X11":           {map[string]string{"HOME": "/h", "DISPLAY": ":0"}, "/h/.config", true, ""},
		"Wayland":       {map[string]string{"HOME": "/h", "WAYLAND_DISPLAY": "wayland-0"}, "/h/.config", true, ""},
		"nothing":       {nil, "", false, "HOME must be set"},
		"relative home": {map[string]string{"HOME": "ann"}, "", false, "HOME must be set"},
	} {
		e, err := New(paths.Paths{Home: "/srv/keep"}, func(k string) string { return tc.env[k] })
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || e.places.config != tc.config || e.places.desktop != tc.desktop {
			t.Errorf("%s: %+v, %v", name, e, err)
			continue
		}
		exe, err := os.Executable()
		if err != nil || e.program != exe || e.home != "/srv/keep" || e.name != "langkeep-f853f39b" {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

// The packages' user unit is what Enable would write, so either takes the
// other's place without anybody noticing.
func TestPackagedUnit(t *testing.T) {
	packaged, err := os.ReadFile("../../assets/packaging/langkeep-user.service")
	if err != nil {
		t.Fatal(err)
	}
	want, err := unit(testEntry("", false))
	if err != nil || string(packaged) != want {
		t.Errorf("it should be %s", want)
	}
}

// A unit that a package brought and systemctl enabled starts the agent too.
func TestUnitOfAPackage(t *testing.T) {
	for name, everyUser := range map[string]bool{"systemctl --user": false, "systemctl --global": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := testEntry(dir, false)
			e.places.everyUser = filepath.Join(dir, "etc")
			link, shown := e.wantedBy(), wantsPath
			if everyUser {
				link, shown = e.wantedByAll(), "etc/default.target.wants/langkeep.service"
			}
			packaged := filepath.Join(dir, "usr", "langkeep.service")
			content, err := unit(e)
			if err != nil {
				t.Fatal(err)
			}
			if err := write(packaged, content); err != nil {
				t.Fatal(err)
			}
			want(t, e, Disabled, "")
			if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(packaged, link); err != nil {
				t.Fatal(err)
			}
			want(t, e, Enabled, shown)
			other := *e
			other.program = "/opt/langkeep"
			want(t, &other, Outdated, shown)

			// Ours takes its place.
			if err := e.Enable(); err != nil {
				t.Fatal(err)
			}
			want(t, e, Enabled, unitPath)
			err = e.Disable()
			if everyUser {
				if err == nil || !strings.Contains(err.Error(), "systemctl --global disable langkeep") {
					t.Errorf("disabled: %v", err)
				}
				want(t, e, Enabled, shown)
			} else {
				if err != nil {
					t.Error(err)
				}
				want(t, e, Disabled, "")
			}

			// Masked, and with the package gone, it starts nothing.
			if err := os.MkdirAll(filepath.Dir(e.unitFile()), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(os.DevNull, e.unitFile()); err != nil {
				t.Fatal(err)
			}
			want(t, e, Disabled, "")
			if err := e.Disable(); err != nil {
				t.Error(err)
			}
			want(t, e, Disabled, "") // and stays so
			if err := os.Remove(e.unitFile()); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(packaged); err != nil {
				t.Fatal(err)
			}
			want(t, e, Disabled, "")
		})
	}
}
