//go:build real && linux

package tray

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/langflow/langflowtest"
)

// clipboardEnd is how long after a copy no secret may be anywhere.
const clipboardEnd = 35 * time.Second

// another is the user of the desktops where root runs the tests, since sway refuses root.
const another = 65534

// TestDesktops goes through each desktop by its own tray, notification daemon and clipboard.
func TestDesktops(t *testing.T) {
	for name, d := range map[string]struct {
		program string
		restart func(*desktop) // of what shows the tray
	}{
		"gnome": {"gnome-shell", func(d *desktop) {
			shell := d.conn.Object("org.gnome.Shell", "/org/gnome/Shell")
			for _, call := range []string{"DisableExtension", "EnableExtension"} {
				if err := shell.Call("org.gnome.Shell.Extensions."+call, 0, "ubuntu-appindicators@ubuntu.com").Err; err != nil {
					d.t.Fatal(err)
				}
				d.await(call, func() bool { return d.owned(trayHost) == (call == "EnableExtension") })
			}
		}},
		"plasma": {"plasmashell", func(d *desktop) {
			d.endOwner(trayPanel(d))
			d.asUser("sh", "-c", "QT_QPA_PLATFORM=wayland QT_QUICK_BACKEND=software setsid plasmashell --no-respawn >/dev/null 2>&1 &")
		}},
		"sway": {"waybar", func(d *desktop) {
			d.endOwner(trayPanel(d))
			d.asUser("swaymsg", "exec", "waybar")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(d.program); err != nil {
				t.Skipf("%s is not installed", d.program)
			}
			walk(t, name, d.restart)
		})
	}
}

func walk(t *testing.T, kind string, restart func(*desktop)) {
	built := build(t)
	d := enter(t, kind)
	program := d.path("bin/langkeep") // where the desktop's user can read it
	d.write("bin/langkeep", 0o755, read(built))
	server := langflowtest.New(langflowtest.Options{AccessLifetime: time.Hour})
	defer server.Close()
	k := d.runAsUser(program)
	k.awaitTray()
	k.awaitIcon(iconAttention)

	signIn := func() {
		t.Helper()
		user := langflowtest.Admin()
		cmd := d.command(program, "login", "prod", server.URL, "--username", user.Name, "--password-stdin")
		cmd.Stdin = strings.NewReader(user.Password)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("login: %v: %s", err, out)
		}
	}
	signIn()
	k.awaitIcon(iconFresh)

	// While the desktop says that the menu is open nothing moves, and then it does.
	menu := d.conn.Object(k.item().Destination(), menuPath)
	event := func(what string) {
		if err := menu.Call("com.canonical.dbusmenu.Event", 0, int32(0), what, dbus.MakeVariant(""), uint32(0)).Err; err != nil {
			t.Fatal(err)
		}
	}
	event("opened")
	before := labels(k.menu())
	server.Stop()
	d.asUser("sh", "-c", program+" refresh prod || true")
	if got := labels(k.menu()); got != before {
		t.Errorf("the open menu became\n%s\nfrom\n%s", got, before)
	}
	event("closed")
	d.await("the change", func() bool { return labels(k.menu()) != before })
	server.Start()
	d.asUser(program, "refresh", "prod")
	d.await("the menu of a fresh session", func() bool { return find(k.menu(), "prod", "Copy access token") != nil })

	// A token is on the clipboard, and 35 s later nowhere.
	k.click("prod", "Copy access token")
	copied := ""
	d.await("a token on the clipboard", func() bool { copied = d.paste(); return strings.HasPrefix(copied, "eyJ") })
	since := time.Now()
	d.await("the notifications' daemon", func() bool { return d.owned("org.freedesktop.Notifications") || d.startsNotifications() })
	server.RotateSecret()
	d.asUser("sh", "-c", program+" refresh prod || true")
	k.awaitIcon(iconAttention)
	d.picture(kind + "-attention")

	restart(d)
	k.awaitTray()
	k.awaitIcon(iconAttention)
	d.picture(kind + "-after-restart")
	signIn()
	k.awaitIcon(iconFresh)

	time.Sleep(time.Until(since.Add(clipboardEnd)))
	if got := d.paste(); strings.Contains(got, copied) {
		t.Error("the token is still on the clipboard")
	}
	if found := d.filesWith(copied); len(found) > 0 {
		t.Errorf("the token is in %q", found)
	}
	d.asUser(program, "stop")
	k.awaitEnd()
	log, err := os.ReadFile(k.paths().Log())
	if err != nil || strings.Contains(string(log), "was not shown") {
		t.Errorf("a notification was not shown, %v:\n%s", err, log)
	}
}

// enter starts a desktop, as another user where root runs the tests.
func enter(t *testing.T, kind string) *desktop {
	t.Helper()
	dir, err := os.MkdirTemp("", "lk") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	d := &desktop{t: t, dir: dir}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, another, another); err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs("../.ci/desktops/session")
	if err != nil {
		t.Fatal(err)
	}
	d.user = []string{"PATH=" + os.Getenv("PATH")}
	cmd := d.command(script, kind, dir)
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end(cmd)
		if t.Failed() {
			log, _ := os.ReadFile(d.path("log"))
			t.Logf("the desktop said:\n%s", log[max(0, len(log)-4000):])
		}
	})
	for limit := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if _, err := os.Stat(d.path("up")); err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("%s did not begin", kind)
		}
	}
	env, err := os.ReadFile(d.path("env"))
	if err != nil {
		t.Fatal(err)
	}
	d.user = strings.Split(strings.TrimSpace(string(env)), "\n")
	for _, one := range d.user {
		if address, ok := strings.CutPrefix(one, "DBUS_SESSION_BUS_ADDRESS="); ok {
			if d.conn, err = d.joinAs(address); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.conn.Close() })
		}
	}
	d.number = ":" + strings.TrimSpace(read(d.path("screen")))
	return d
}

// joinAs joins the bus of the desktop's user, which takes nobody else.
func (d *desktop) joinAs(address string) (*dbus.Conn, error) {
	if os.Geteuid() != 0 {
		return dbus.Connect(address)
	}
	runtime.LockOSThread() // the raw call changes this thread alone
	const same = ^uintptr(0)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, same, another, same); errno != 0 {
		return nil, errno
	}
	conn, err := dbus.Dial(address)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, same, 0, same); errno != 0 {
		return nil, errno
	}
	runtime.UnlockOSThread()
	if err != nil {
		return nil, err
	}
	return conn, errors.Join(conn.Auth([]dbus.Auth{dbus.AuthExternal(fmt.Sprint(another))}), conn.Hello())
}

func read(file string) string {
	data, _ := os.ReadFile(file) // there is none on sway
	return string(data)
}

// command is a program of the desktop's user.
func (d *desktop) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = append(slices.Clone(d.user), "LANGKEEP_HOME="+d.path("langkeep")), d.dir
	cmd.SysProcAttr = child()
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: another, Gid: another}
	}
	return cmd
}

func (d *desktop) asUser(name string, args ...string) string {
	d.t.Helper()
	out, err := d.command(name, args...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// runAsUser runs the agent with the tray.
func (d *desktop) runAsUser(program string) *agentProcess {
	d.t.Helper()
	k := d.begin(d.command(program, "run", "--no-page", "--listen", "127.0.0.1:0", "--store", "memory"), d.path("langkeep"))
	d.await("the agent", func() bool { return strings.Contains(k.stderr.String(), "listening on") })
	return k
}

// paste is the clipboard's text.
func (d *desktop) paste() string {
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
	defer cancel()
	cmd := d.command("wl-paste", "--no-newline")
	limited := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	limited.Env, limited.Dir, limited.SysProcAttr = cmd.Env, cmd.Dir, cmd.SysProcAttr
	out, _ := limited.Output() // an error: nothing is there
	return string(out)
}

// filesWith are the desktop's files that have the secret.
func (d *desktop) filesWith(secret string) (found []string) {
	_ = filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte(secret)) {
				found = append(found, path)
			}
		}
		return nil
	})
	return found
}

// startsNotifications tells whether the bus would start a daemon.
func (d *desktop) startsNotifications() bool {
	var names []string
	err := d.conn.BusObject().Call("org.freedesktop.DBus.ListActivatableNames", 0).Store(&names)
	return err == nil && slices.Contains(names, "org.freedesktop.Notifications")
}

// trayPanel is the bus name of the program that shows the tray icons.
func trayPanel(d *desktop) string {
	var names []string
	if err := d.conn.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names); err != nil {
		d.t.Fatal(err)
	}
	host := regexp.MustCompile(`^org\.kde\.StatusNotifierHost-\d+`)
	for _, name := range names {
		if host.MatchString(name) {
			return name
		}
	}
	d.t.Fatal("nothing shows tray icons")
	return ""
}

// endOwner kills the program behind a bus name, as a crash would.
func (d *desktop) endOwner(name string) {
	d.t.Helper()
	var pid uint32
	if err := d.conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, name).Store(&pid); err != nil {
		d.t.Fatal(err)
	}
	d.asUser("kill", "-KILL", fmt.Sprint(pid))
	d.await("the end of "+name, func() bool { return !d.owned(name) })
}
