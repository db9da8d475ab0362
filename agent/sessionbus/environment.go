//go:build !windows && !darwin

package sessionbus

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// ofDisplay are the variables of a desktop's display, as desktops hand them to systemd's
// user manager for the programs that it starts.
var ofDisplay = []string{"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_CURRENT_DESKTOP", "XDG_SESSION_TYPE"}

// patience is for the session bus to answer.
const patience = time.Second

// CompleteEnvironment completes this process's environment where a program without most of
// the desktop's variables has started it, as MCP clients do: their SDKs hand on HOME,
// LOGNAME, PATH, SHELL, TERM and USER alone. It finds the folder and the bus of the user's
// session where systemd-logind has them, and asks the user manager for the display. It
// changes no variable that is set. Call it before other goroutines begin.
func CompleteEnvironment(ctx context.Context, uid int) {
	complete(ctx, fmt.Sprintf("/run/user/%d", uid), uid)
}

// complete is CompleteEnvironment with the place of the session's folder.
func complete(ctx context.Context, folder string, uid int) {
	setIfNone := func(name, value string) {
		if os.Getenv(name) == "" {
			_ = os.Setenv(name, value) // fails only for names and values that can't be
		}
	}
	if info, err := os.Stat(folder); err == nil && info.IsDir() && ownedBy(info, uid) {
		setIfNone("XDG_RUNTIME_DIR", folder)
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		bus := filepath.Join(dir, "bus")
		if info, err := os.Stat(bus); err == nil && info.Mode().Type() == os.ModeSocket && ownedBy(info, uid) {
			setIfNone("DBUS_SESSION_BUS_ADDRESS", "unix:path="+dbus.EscapeBusAddressValue(bus))
		}
	}
	if os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "" {
		return
	}
	for _, variable := range ofUserManager(ctx) {
		if name, value, _ := strings.Cut(variable, "="); slices.Contains(ofDisplay, name) {
			setIfNone(name, value)
		}
	}
}

func ownedBy(info os.FileInfo, uid int) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == uid
}

// ofUserManager is the environment of the programs that systemd's user manager starts;
// nothing where there is none.
func ofUserManager(ctx context.Context) (environment []string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := Connect(ctx)
	if err != nil {
		return nil
	}
	defer conn.Close()
	const manager = "org.freedesktop.systemd1"
	var value dbus.Variant
	err = conn.Object(manager, "/org/freedesktop/systemd1").
		CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, manager+".Manager", "Environment").Store(&value)
	if err != nil || value.Store(&environment) != nil {
		return nil
	}
	return environment
}

// Reachable tells whether this process can join a session bus.
func Reachable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := Connect(ctx)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was asked
	return true
}
