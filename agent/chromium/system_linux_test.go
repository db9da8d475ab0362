package chromium

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestConfined is the ways in which a snap or a Flatpak looks like any program.
func TestConfined(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	// As snapd, Ubuntu's package chromium-browser and Flatpak make them.
	plant(t, at("usr/bin/snap"), "\x7fELF", 0o700)
	plant(t, at("snap/bin/none"), "", 0o600)
	if err := os.Symlink(at("usr/bin/snap"), at("snap/bin/chromium")); err != nil {
		t.Fatal(err)
	}
	plant(t, at("ubuntu/chromium-browser"), "#!/bin/sh\n\nif ! [ -x /snap/bin/chromium ]; then\n  exit 1\nfi\nexec /snap/bin/chromium \"$@\"\n", 0o700)
	plant(t, at("var/lib/flatpak/exports/bin/org.chromium.Chromium"), "#!/bin/sh\n", 0o700)
	plant(t, at("home/bin/chromium"), "#!/bin/sh\nexec /usr/bin/flatpak run --branch=stable org.chromium.Chromium \"$@\"\n", 0o700)
	for _, name := range []string{"snap/bin/chromium", "ubuntu/chromium-browser", "var/lib/flatpak/exports/bin/org.chromium.Chromium", "home/bin/chromium"} {
		if _, err := Find(at(name)); !errors.Is(err, ErrConfined) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// As Debian's package and Google's.
	plant(t, at("debian/chromium"), "#!/bin/sh\n# Chromium launcher\nexec $LIBDIR/$APPNAME $CHROMIUM_FLAGS \"$@\"\n", 0o700)
	plant(t, at("opt/google/chrome/google-chrome"), "#!/bin/bash\nexec -a \"$0\" \"$HERE/chrome\" \"$@\"\n", 0o700)
	plant(t, at("usr/lib/chromium/chromium"), "\x7fELF and exec /snap/bin/ among its strings", 0o700)
	for _, name := range []string{"debian/chromium", "opt/google/chrome/google-chrome", "usr/lib/chromium/chromium"} {
		if _, err := Find(at(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A browser that can be asked is preferred to a snap that comes before it.
func TestPrefersTheUnconfined(t *testing.T) {
	dir := t.TempDir()
	snap := filepath.Join(dir, "bin", "google-chrome-stable")
	plant(t, snap, "#!/bin/sh\nexec /snap/bin/chromium \"$@\"\n", 0o700)
	if path, err := first(below(dir)); !errors.Is(err, ErrConfined) || !strings.Contains(err.Error(), snap) {
		t.Errorf("with the snap alone it finds %q, %v", path, err)
	}
	free := filepath.Join(dir, "bin", "vivaldi")
	plant(t, free, "", 0o700)
	if path, err := first(below(dir)); err != nil || path != free {
		t.Errorf("it finds %q, %v", path, err)
	}
}

// TestService is a process that runs as our systemd unit does.
func TestService(t *testing.T) {
	if os.Getenv("AS_SERVICE") == "" {
		service := exec.Command(program(), "-test.run=^TestService$", "-test.v")
		service.Env = append(os.Environ(), "AS_SERVICE=1", "DISPLAY=:99")
		out, err := service.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if strings.Contains(string(out), "SKIP") {
			t.Skip("this kernel is older than Linux 6.3")
		}
		return
	}
	if err := unix.Prctl(unix.PR_SET_MDWE, unix.PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0); err != nil {
		t.Skip(err)
	}
	if _, err := Open(t.Context(), program(), t.TempDir(), address); !errors.Is(err, ErrNoDisplay) || !strings.Contains(err.Error(), "as a service") {
		t.Errorf("it says %v", err)
	}
}
