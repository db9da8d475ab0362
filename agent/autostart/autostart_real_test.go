//go:build real && linux

package autostart

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tool finds a program, or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// oddEntries are programs that exist, since systemd looks, at paths with every
// character that needs care.
func oddEntries(t *testing.T, desktop bool) []*Entry {
	t.Helper()
	var all []*Entry
	for _, dir := range []string{"plain", "my tools", "é", "a;b&c", "(x)", "~#*?|<>", "%h", "a=b"} {
		program := filepath.Join(t.TempDir(), dir, "langkeep")
		if strings.ContainsAny(dir, "%=") { // a home may have them
			program = filepath.Join(t.TempDir(), "bin", "langkeep")
		}
		if err := os.Mkdir(filepath.Dir(program), 0o700); err != nil {
			t.Fatal(err)
		}
		// It writes its arguments beside itself.
		script := "#!/bin/sh\nprintf '%s\\n' \"$@\" > \"${0%/*}/args\"\n"
		if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		all = append(all, &Entry{
			name: "langkeep", program: program, home: "/srv/" + dir + "/",
			places: places{config: t.TempDir(), desktop: desktop, systemd: true},
		})
	}
	return all
}

// The desktop entry is what desktop-file-validate (0.26) takes.
func TestRealDesktopEntry(t *testing.T) {
	validate := tool(t, "desktop-file-validate")
	for _, e := range oddEntries(t, true) {
		if err := e.Enable(); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(validate, e.desktopFile()).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", e.program, err, out)
		}
	}
}

// GLib starts what GNOME, Xfce and others start.
func TestRealDesktopStart(t *testing.T) {
	launch := tool(t, "gio")
	for _, e := range oddEntries(t, true) {
		if err := e.Enable(); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(launch, "launch", e.desktopFile()).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", e.program, err, out)
			continue
		}
		waitArgs(t, e, "run", "--home", e.home)
	}
}

// systemd makes units of what GNOME and KDE start.
func TestRealDesktopUnit(t *testing.T) {
	const generator = "/usr/lib/systemd/user-generators/systemd-xdg-autostart-generator"
	if _, err := os.Stat(generator); err != nil {
		t.Skip("systemd-xdg-autostart-generator is not installed")
	}
	for _, e := range oddEntries(t, true) {
		if err := e.Enable(); err != nil {
			t.Fatal(err)
		}
		units := t.TempDir()
		cmd := exec.Command(generator, units, units, units)
		cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+e.places.config, "XDG_CONFIG_DIRS="+units)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", e.program, err, out)
			continue
		}
		verify(t, filepath.Join(units, "app-langkeep@autostart.service"))
	}
}

func TestRealUnit(t *testing.T) {
	for _, e := range oddEntries(t, false) {
		if err := e.Enable(); err != nil {
			t.Fatal(err)
		}
		verify(t, e.unitFile())
	}
}

// verify has systemd check a unit. It looks for the program, so a wrongly quoted
// path is found.
func verify(t *testing.T, unit string) {
	t.Helper()
	cmd := exec.Command(tool(t, "systemd-analyze"), "verify", "--user", unit)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "langkeep") {
		data, _ := os.ReadFile(unit) // for the message
		t.Errorf("%v\n%s%s", err, out, data)
	}
}

// waitArgs waits until the program was started with these arguments.
func waitArgs(t *testing.T, e *Entry, want ...string) {
	t.Helper()
	file := filepath.Join(filepath.Dir(e.program), "args")
	var got []string
	eventually(t, func() bool {
		data, err := os.ReadFile(file)
		got = strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
		return err == nil && slices.Equal(got, want)
	}, func() { t.Errorf("%s was started with %q", e.program, got) })
}

func eventually(t *testing.T, ok func() bool, otherwise func()) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			otherwise()
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
