//go:build real && linux

package tray

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
)

// clipboardEnd is how long after a copy no secret may be anywhere.
const clipboardEnd = 35 * time.Second

// another is the user of the desktops where root runs the tests, since sway refuses root.
const another = 65534

// shell is a desktop as a person uses it.
type shell struct {
	program string
	restart func(*desktop) // of what shows the tray
	// page clicks on the icon and then on "Control page…"; open is called while the menu is
	// on the screen.
	page  func(d *desktop, k *agentProcess, open func())
	press func(d *desktop, label string) // a button of the notification
	shows func(d *desktop, label string) bool
	// text clicks on the text of a notification with a title; before is the screen without it.
	text   func(d *desktop, title string, before *image.NRGBA)
	locker string // the service that locks the screen; "": none tells
}

// TestDesktops goes through each desktop by its own tray, menu, notification daemon,
// clipboard and screen locker.
func TestDesktops(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]shell{
		"gnome": {
			program: "gnome-shell",
			restart: func(d *desktop) {
				shell := d.conn.Object("org.gnome.Shell", "/org/gnome/Shell")
				for _, call := range []string{"DisableExtension", "EnableExtension"} {
					if err := shell.Call("org.gnome.Shell.Extensions."+call, 0, "ubuntu-appindicators@ubuntu.com").Err; err != nil {
						d.t.Fatal(err)
					}
					d.await(call, func() bool { return d.owned(trayHost) == (call == "EnableExtension") })
				}
			},
			page: func(d *desktop, _ *agentProcess, open func()) {
				before := d.still()
				d.clickOn("const area = Main.panel.statusArea; area[Object.keys(area).find(name => name.startsWith('appindicator-'))]")
				d.awaitBeside(before)
				open()
				d.clickOn(labelled("Control page…"))
			},
			press: func(d *desktop, label string) {
				d.await("a message with "+label, func() bool { return bannerShows(d, label) })
				d.clickOn(labelled(label))
			},
			shows:  bannerShows,
			text:   func(d *desktop, title string, _ *image.NRGBA) { d.clickOn(labelled("Langkeep · " + title)) },
			locker: "org.gnome.ScreenSaver",
		},
		"plasma": {
			program: "plasmashell",
			restart: func(d *desktop) {
				d.endOwner(trayPanel(d))
				d.asUser("sh", "-c", "setsid plasmashell --no-respawn >/dev/null 2>&1 &")
			},
			page: func(d *desktop, k *agentProcess, open func()) {
				before, at := d.still(), d.icon().at
				d.clickAt(at.X, at.Y)
				d.awaitBeside(before)
				open()
				d.xdotool(append(append([]string{"key", "--delay", "50"}, slices.Repeat([]string{"Up"}, k.fromBelow("Control page…"))...), "Return")...) // Qt lists no menu on the accessibility bus
				d.xdotool("mousemove", "640", "300")                                                                                                     // on the icon it has a tooltip come and go
			},
			press: (*desktop).doAs,
			shows: func(d *desktop, label string) bool { _, err := d.labelled(label); return err == nil },
			text: func(d *desktop, title string, before *image.NRGBA) {
				at := d.awaitBeside(before)
				if _, err := d.labelled(title); err != nil { // below the program's name
					d.t.Errorf("no title %q: %v", title, err)
				}
				d.clickAt((at.Min.X+at.Max.X)/2, (at.Min.Y+at.Max.Y)/2)
			},
			locker: "org.freedesktop.ScreenSaver",
		},
		"sway": {
			program: "waybar",
			restart: func(d *desktop) {
				d.endOwner(trayPanel(d))
				d.asUser("swaymsg", "exec", "waybar")
			},
			page: func(d *desktop, _ *agentProcess, open func()) {
				click, at := d.waylandPointer(), d.icon().at
				click(at.X, at.Y)
				d.await("the menu", func() bool { _, err := d.labelled("Control page…"); return err == nil })
				open()
				d.doAs("Control page…")
				click(500, 400) // off the icon, which is looked for later
			},
			press: func(d *desktop, label string) {
				var action string
				d.await("a button "+label, func() bool { action = d.ofMako(label); return action != "" })
				d.asUser("makoctl", "invoke", action)
			},
			shows: func(d *desktop, label string) bool { return d.ofMako(label) != "" },
			text: func(d *desktop, title string, _ *image.NRGBA) {
				if shown := d.asUser("makoctl", "list"); !strings.Contains(shown, "Langkeep · "+title) {
					d.t.Errorf("mako shows %s", shown)
				}
				d.asUser("makoctl", "invoke") // of the newest
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for its clipboard, too
			if _, err := exec.LookPath(s.program); err != nil {
				t.Skipf("%s is not installed", s.program)
			}
			walk(t, name, s)
		})
	}
}

// bannerShows tells whether GNOME Shell shows a message with a button, and has it stay.
func bannerShows(d *desktop, label string) bool {
	d.t.Helper()
	if d.eval(fmt.Sprintf("const has = a => a.label === %q || a.get_children().some(has); !!Main.messageTray._banner && has(Main.messageTray._banner)", label)) != "true" {
		d.xdotool("mousemove", "640", "600", "mousemove_relative", "--", "5", "0") // the shell keeps another banner until somebody is there
		return false
	}
	d.moveOn("Main.messageTray._banner") // it shows its buttons then, and stays
	return true
}

// ofMako is the action of a button that mako shows; "": it shows none.
func (d *desktop) ofMako(label string) string {
	d.t.Helper()
	var shown struct {
		Data [][]struct {
			Actions struct{ Data map[string]string }
		}
	}
	if err := json.Unmarshal([]byte(d.asUser("makoctl", "list")), &shown); err != nil {
		d.t.Fatal(err)
	}
	for _, list := range shown.Data {
		for _, n := range list {
			for action, has := range n.Actions.Data {
				if has == label && action != "default" { // which is a click on the text
					return action
				}
			}
		}
	}
	return ""
}

// xdotool moves and presses on the X server that is a nested compositor's screen.
func (d *desktop) xdotool(args ...string) {
	d.t.Helper()
	cmd := exec.Command("xdotool", args...)
	cmd.Env = append(os.Environ(), "DISPLAY="+d.number)
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("xdotool: %v: %s", err, out)
	}
}

func (d *desktop) clickAt(x, y int) {
	d.t.Helper()
	d.xdotool("mousemove", fmt.Sprint(x), fmt.Sprint(y), "click", "1")
}

// fromBelow is how many lines of the menu are at and below one, separators left out.
func (k *agentProcess) fromBelow(label string) (lines int) {
	k.d.t.Helper()
	items := k.menu()
	for i := len(items) - 1; i >= 0; i-- {
		if items[i].label != "—" {
			lines++
		}
		if items[i].label == label {
			return lines
		}
	}
	k.d.t.Fatalf("no %s in %s", label, labels(items))
	return 0
}

// actor tells where the middle of an actor of GNOME Shell is, an expression in JavaScript,
// if it is on the screen.
func (d *desktop) actor(expression string) (x, y int, shown bool) {
	d.t.Helper()
	last := strings.LastIndex(expression, ";") + 1
	script := expression[:last] + " const found = " + expression[last:] + `;
		found ? found.get_transformed_position().map((at, i) => Math.round(at + found.get_transformed_size()[i] / 2)).join(" ") : ""`
	n, _ := fmt.Sscanf(strings.Trim(d.eval(script), `"`), "%d %d", &x, &y)
	return x, y, n == 2
}

// eval has GNOME Shell run JavaScript, and returns its value as JSON.
func (d *desktop) eval(script string) (said string) {
	d.t.Helper()
	var worked bool
	err := d.conn.Object("org.gnome.Shell", "/org/gnome/Shell").Call("org.gnome.Shell.Eval", 0, script).Store(&worked, &said)
	if err != nil || !worked {
		d.t.Fatalf("Eval: %v, %s", err, said)
	}
	return said
}

// atRest waits until an actor is on the screen and does not move.
func (d *desktop) atRest(expression string) (x, y int) {
	d.t.Helper()
	d.await("at rest on the screen: "+expression, func() (shown bool) {
		beforeX, beforeY := x, y
		x, y, shown = d.actor(expression)
		return shown && x == beforeX && y == beforeY
	})
	return x, y
}

// clickOn clicks on an actor of GNOME Shell, moveOn moves the mouse there.
func (d *desktop) clickOn(actor string) { d.clickAt(d.atRest(actor)) }
func (d *desktop) moveOn(actor string) {
	d.t.Helper()
	x, y := d.atRest(actor)
	d.xdotool("mousemove", fmt.Sprint(x), fmt.Sprint(y))
}

// labelled is the actor with a label.
func labelled(label string) string {
	return fmt.Sprintf(`const look = (a) => a.mapped && (a.label === %[1]q || a.text === %[1]q) ? a :
		a.get_children().reduce((found, child) => found || look(child), null); look(global.stage)`, label)
}

// waylandPointer adds a mouse to sway; the returned function clicks with it.
func (d *desktop) waylandPointer() func(x, y int) {
	d.t.Helper()
	script, err := filepath.Abs("../.ci/desktops/pointer")
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := d.command("/usr/bin/python3", script, "1000", "600")
	in, err := cmd.StdinPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { end(cmd) })
	return func(x, y int) {
		if _, err := fmt.Fprintln(in, x, y); err != nil {
			d.t.Fatal(err)
		}
	}
}

// TestDesktopsIcon looks at the icon of each state on each desktop, as it comes, and with
// two pixels a point and the other theme.
func TestDesktopsIcon(t *testing.T) {
	t.Parallel()
	for _, one := range []struct{ kind, scale, theme string }{
		{"gnome", "1", ""}, {"gnome", "2", ""}, {"plasma", "1", ""}, {"plasma", "2", "dark"}, {"sway", "1", ""}, {"sway", "2", "light"},
	} {
		name := strings.TrimSuffix(one.kind+"-"+one.scale+"x-"+one.theme, "-")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := enter(t, one.kind, "SCALE="+one.scale, "THEME="+one.theme)
			program := d.install()
			server := langflowtest.New(langflowtest.Options{AccessLifetime: 8 * time.Second})
			defer server.Close()
			k := d.runAsUser(program)
			k.awaitTray()
			d.signIn(program, "prod", server)
			k.awaitIcon(iconFresh)
			icon := d.icon()
			drawing := contrast(icon.line, icon.gap)
			outside := max(contrast(icon.line, icon.panel), contrast(icon.gap, icon.panel))
			t.Logf("%d pixels: the drawing has a contrast of %.1f, and of %.1f to the panel", icon.size, drawing, outside)
			if drawing < leastDrawing || outside < leastOutside {
				t.Errorf("the icon is not clear: %+v", icon)
			}
			shows := func(state string) {
				t.Helper()
				k.awaitIcon(state)
				d.await(state+" on the screen", func() bool { return icon.drawn(d.look()) == state })
				d.picture("icon-" + state + "-" + name)
			}
			shows(iconFresh)
			server.Stop()
			shows(iconOffline)
			server.Start()
			d.asUser(program, "refresh", "prod")
			shows(iconFresh)
			d.asUser(program, "logout", "prod")
			shows(iconAttention)
		})
	}
}

// TestDesktopsPlain: on GNOME without the extension the first start says where Langkeep
// is, and the desktop entry has what the menu would.
func TestDesktopsPlain(t *testing.T) {
	t.Parallel()
	d := enter(t, "gnome", "EXTENSION=none")
	program := d.install()
	entry := read(filepath.Join("..", "assets", "packaging", "langkeep.desktop"))
	d.asUser("mkdir", "-p", d.path("data/applications"))
	d.write("data/applications/langkeep.desktop", 0o644, entry)
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	d.user = slices.DeleteFunc(d.user, func(one string) bool { return strings.HasPrefix(one, "LANGKEEP_HOME=") }) // as the shell starts programs
	k := d.runs(program)
	const title = "Langkeep · running without an icon"
	d.await("the control page", func() bool { return len(d.opened()) == 1 && strings.HasSuffix(d.opened()[0], "&at=add") })
	d.await("word of where it is", func() bool { _, _, shown := d.actor(labelled(title)); return shown })
	d.picture("plain-gnome")
	d.clickOn(labelled(title))
	d.await("the control page again", func() bool { return len(d.opened()) == 2 })

	d.signIn(program, "prod", server)
	const app = "const app = imports.gi.Shell.AppSystem.get_default().lookup_app('langkeep.desktop'); "
	d.await("the entry", func() bool {
		return d.eval("!!imports.gi.Shell.AppSystem.get_default().lookup_app('langkeep.desktop')") == "true"
	})
	if got := d.eval(app + "const info = app.get_app_info(); info.list_actions().map(one => info.get_action_name(one)).join()"); got != `"Control page,Copy token,Quit"` {
		t.Errorf("the shell offers %s", got)
	}
	act := func(name string) {
		t.Helper()
		d.eval(app + "const info = app.get_app_info(); info.launch_action(info.list_actions().find(one => info.get_action_name(one) === '" + name + "'), global.create_app_launch_context(0, -1))")
	}
	act("Control page")
	d.await("the control page from the dash", func() bool { return len(d.opened()) == 3 })
	act("Copy token")
	d.await("a token on the clipboard", func() bool { return strings.HasPrefix(d.paste(), "eyJ") })
	act("Quit")
	select {
	case <-k.ended:
	case <-time.After(patience):
		t.Error("the agent did not end")
	}
}

// The least contrasts of the icon: WCAG 2 wants 4.5 for text, and 3 for icons.
const leastDrawing, leastOutside = 4.5, 3.5

// install puts the program where the desktop's user can read it.
func (d *desktop) install() (program string) {
	d.t.Helper()
	d.write("bin/langkeep", 0o755, read(build(d.t)))
	return d.path("bin/langkeep")
}

// signIn signs a profile in by the command.
func (d *desktop) signIn(program, name string, at *langflowtest.Server) {
	d.t.Helper()
	user := langflowtest.Admin()
	cmd := d.command(program, "login", name, at.URL, "--username", user.Name, "--password-stdin")
	cmd.Stdin = strings.NewReader(user.Password)
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("login: %v: %s", err, out)
	}
}

func walk(t *testing.T, kind string, s shell) {
	d := enter(t, kind)
	program := d.install()
	server, brief := langflowtest.New(langflowtest.Options{AccessLifetime: time.Hour}), langflowtest.New(langflowtest.Options{AccessLifetime: 8 * time.Second})
	defer server.Close()
	defer brief.Close()
	d.asUser("mkdir", "-p", "-m", "700", d.path("langkeep/config"))
	d.asUser("sh", "-c", "echo lock_with_screen = true >langkeep/config/config.toml")
	k := d.runAsUser(program)
	k.awaitTray()
	k.awaitIcon(iconAttention)
	d.picture(kind + "-no-server")

	signIn := func(name string, at *langflowtest.Server) { t.Helper(); d.signIn(program, name, at) }
	signIn("prod", server)
	k.awaitIcon(iconFresh)

	// Nothing moves in a menu that is on the screen. What has changed shows once it is closed.
	d.picture(kind + "-fresh")
	before := ""
	s.page(d, k, func() {
		if before = labels(k.menu()); !strings.HasPrefix(before, "prod · fresh, ") {
			t.Errorf("the menu that opens is not of now: %s", before)
		}
		server.Stop()
		d.asUser("sh", "-c", program+" refresh prod || true")
		if got := labels(k.menu()); got != before {
			t.Errorf("the open menu became\n%s\nfrom\n%s", got, before)
		}
		d.picture(kind + "-menu")
	})
	d.await("the control page in the browser", func() bool { return len(d.opened()) == 1 })
	d.await("the change", func() bool { return labels(k.menu()) != before })
	k.awaitIcon(iconFresh) // retrying, with a token that lives
	d.picture(kind + "-retrying")
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
	d.await("a message", func() bool { return s.shows(d, "Sign in") })
	d.picture(kind + "-attention")
	s.press(d, "Sign in")
	d.opens("sign-in/prod")
	k.awaitIcon(iconAttention)

	s.restart(d)
	k.awaitTray()
	k.awaitIcon(iconAttention)
	d.picture(kind + "-after-restart")
	signIn("prod", server)
	k.awaitIcon(iconFresh)
	d.icon()

	signIn("lab", brief)
	brief.Stop()
	k.awaitIcon(iconOffline)
	d.picture(kind + "-offline")
	brief.Start()
	d.asUser(program, "refresh", "lab")
	k.awaitIcon(iconFresh)
	d.asUser(program, "logout", "lab")
	d.asUser(program, "logout", "prod")
	k.awaitIcon(iconAttention)
	signIn("prod", server)
	k.awaitIcon(iconFresh)

	messages(d, program, s, signIn)
	asking(d, program, s)
	if s.locker != "" {
		d.locks(s.locker)
	} else {
		d.locksItself(program)
	}

	time.Sleep(time.Until(since.Add(clipboardEnd)))
	d.nowhere(copied)
	d.asUser(program, "stop")
	k.awaitEnd()
	if kind == "gnome" { // which has no data control
		d.user = slices.DeleteFunc(d.user, func(one string) bool { return strings.HasPrefix(one, "DISPLAY=") })
		without := d.runAsUser(program)
		signIn("copy", server)
		d.await("a line that says what to install", func() bool { return find(without.menu(), "copy", "Can't copy: install Xwayland") != nil })
		d.asUser(program, "stop")
		without.awaitEnd()
	}
	log, err := os.ReadFile(k.paths().Log())
	if err != nil || strings.Contains(string(log), "was not shown") {
		t.Errorf("a notification was not shown, %v:\n%s", err, log)
	}
}

// TestDesktopsX11: on X11, too, GNOME Shell keeps no copied token.
func TestDesktopsX11(t *testing.T) {
	t.Parallel()
	d := enter(t, "gnome", "SESSION=x11")
	program := d.install()
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	k := d.runAsUser(program)
	k.awaitTray()
	d.signIn(program, "prod", server)
	k.awaitIcon(iconFresh)
	d.icon()
	copied := ""
	k.click("prod", "Copy access token")
	d.await("a token on the clipboard", func() bool { copied = d.paste(); return strings.HasPrefix(copied, "eyJ") })
	d.picture("gnome-x11")
	time.Sleep(clipboardEnd)
	d.nowhere(copied)
}

// opens waits until the browser is given a place of the control page.
func (d *desktop) opens(place string) {
	d.t.Helper()
	d.await("the page at "+place, func() bool {
		return slices.ContainsFunc(d.opened(), func(link string) bool { return strings.HasSuffix(link, "&at="+place) })
	})
}

// messages clicks on the text of a message, has one withdrawn, and presses "Open" and
// "Try now".
func messages(d *desktop, program string, s shell, signIn func(name string, at *langflowtest.Server)) {
	d.t.Helper()
	server := langflowtest.New(langflowtest.Options{AccessLifetime: time.Hour})
	away := langflowtest.New(langflowtest.Options{AccessLifetime: 6 * time.Second, RefreshLifetime: 23*time.Hour + 30*time.Second})
	defer server.Close()
	defer away.Close()
	ended := func(profile string) {
		d.t.Helper()
		signIn(profile, server)
		server.RotateSecret()
		d.asUser("sh", "-c", program+" refresh "+profile+" || true")
		d.await("a message", func() bool { return s.shows(d, "Sign in") })
	}
	before := d.still()
	ended("text")
	s.text(d, "text: sign in", before)
	d.opens("card/text")
	signIn("text", server)
	d.await("the end of the message", func() bool { return !s.shows(d, "Sign in") })

	ended("over")
	signIn("over", server)
	d.await("the end of the message that is over", func() bool { return !s.shows(d, "Sign in") })

	gone := langflowtest.New(langflowtest.Options{AccessLifetime: time.Hour})
	defer gone.Close()
	signIn("gone", gone)
	gone.Deactivate(langflowtest.Admin().Name)
	d.asUser("sh", "-c", program+" refresh gone || true")
	d.await("a message", func() bool { return s.shows(d, "Open") })
	d.picture("deactivated-" + s.program)
	s.press(d, "Open")
	d.opens("card/gone")
	d.asUser(program, "logout", "gone")

	signIn("away", away)
	away.Fault("", langflowtest.Fault{Reset: true})
	d.await("a message", func() bool { return s.shows(d, "Try now") })
	d.tries(away, func() (p client.Profile) {
		if err := json.Unmarshal([]byte(d.asUser(program, "status", "away", "--json")), &p); err != nil {
			d.t.Fatal(err)
		}
		return p
	}, func() { s.press(d, "Try now") })
	away.ClearFaults()
	d.asUser(program, "refresh", "away")
	d.await("the end of the message about the server", func() bool { return !s.shows(d, "Try now") })
	d.asUser(program, "logout", "away")
}

// asking has curl wait until the button of the real notification is pressed.
func asking(d *desktop, program string, s shell) {
	d.t.Helper()
	d.asUser("sh", "-c", `echo 'ask = "new"' >>langkeep/config/profiles/prod.toml`)
	d.await("the setting", func() bool {
		return strings.Contains(strings.ReplaceAll(d.asUser(program, "status", "prod", "--json"), " ", ""), `"ask":"new"`)
	})
	for _, one := range []struct {
		as, press string // "": nothing is asked
		allowed   bool
	}{{"curl", "Allow in this session", true}, {"curl", "", true}, {"other", "Deny", false}} {
		tool := "curl"
		if one.as != tool {
			tool = d.path("bin/" + one.as)
			d.asUser("cp", strings.TrimSpace(d.asUser("sh", "-c", "command -v curl")), tool)
		}
		cmd := d.command(tool, "-s", "--max-time", "50", "--unix-socket", d.path("langkeep/run/agent.sock"), "http://x/v1/profiles/prod/token")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			d.t.Fatal(err)
		}
		if one.press != "" {
			d.await("the question", func() bool {
				return strings.Contains(d.asUser(program, "asks"), one.as)
			})
			d.picture("asking-" + s.program)
			if out.Len() > 0 {
				d.t.Errorf("%s did not wait: %s", one.as, &out)
			}
			s.press(d, one.press)
		}
		_ = cmd.Wait()       // what it prints tells
		if one.press != "" { // else the buttons of the next question could be those of this one
			d.await("the end of the question", func() bool { return !s.shows(d, "Deny") })
		}
		if got := out.String(); strings.Contains(got, "access_token") != one.allowed || strings.Contains(got, "not-allowed-yet") == one.allowed {
			d.t.Errorf("%s, with %q: %.300s", one.as, one.press, got)
		}
	}
}

// curl asks for a token of prod.
func (d *desktop) curl() string {
	cmd := d.command("curl", "-s", "--unix-socket", d.path("langkeep/run/agent.sock"), "http://x/v1/profiles/prod/token")
	out, _ := cmd.Output() // what it prints tells
	return string(out)
}

// locksItself locks the screen by swaylock, which tells nobody, so that the command which
// starts it locks Langkeep, as docs/configuration.md says.
func (d *desktop) locksItself(program string) {
	d.t.Helper()
	cmd := d.command("sh", "-c", program+" lock && swaylock; "+program+" unlock")
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.await("swaylock", func() bool { return d.command("pgrep", "-P", fmt.Sprint(cmd.Process.Pid), "swaylock").Run() == nil })
	d.await("Langkeep's lock", func() bool { return strings.Contains(d.curl(), "problems/locked") })
	d.picture("locked-swaylock")
	d.asUser("pkill", "-USR1", "-P", fmt.Sprint(cmd.Process.Pid), "swaylock") // as the right password does
	if err := cmd.Wait(); err != nil {
		d.t.Error(err)
	}
	d.await("its end", func() bool { return strings.Contains(d.curl(), "access_token") })
}

// locks locks the screen by the desktop's own locker, and unlocks it as loginctl does.
func (d *desktop) locks(by string) {
	d.t.Helper()
	d.asUser("gdbus", "call", "--session", "-d", by, "-o", "/"+strings.ReplaceAll(by, ".", "/"), "-m", by+".Lock")
	d.await("Langkeep's lock", func() bool { return strings.Contains(d.curl(), "problems/locked") })
	d.picture("locked-" + by)
	const logind = "org.freedesktop.login1"
	d.asUser("gdbus", "call", "--system", "-d", logind, "-o", "/org/freedesktop/login1/session/auto", "-m", logind+".Session.Unlock")
	d.await("its end", func() bool { return strings.Contains(d.curl(), "access_token") })
}

// enter starts a desktop with settings of its script, as another user where root runs the
// tests. One that does not begin, for which Langkeep is no cause, is started once more.
func enter(t *testing.T, kind string, with ...string) *desktop {
	t.Helper()
	d, why := begin(t, kind, with)
	if why != "" {
		t.Logf("%s did not begin, and is started once more: %s", kind, why)
		d, why = begin(t, kind, with)
	}
	if why != "" {
		t.Fatalf("%s did not begin, twice: %s", kind, why)
	}
	env, err := os.ReadFile(d.path("env"))
	if err != nil {
		t.Fatal(err)
	}
	d.user = append(strings.Split(strings.TrimSpace(string(env)), "\n"), "LANGKEEP_HOME="+d.path("langkeep"))
	for _, one := range d.user {
		if address, ok := strings.CutPrefix(one, "DBUS_SESSION_BUS_ADDRESS="); ok {
			if d.conn, err = d.joinAs(address); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.conn.Close() })
		}
	}
	d.number = ":" + strings.TrimSpace(read(d.path("screen")))
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("LANGKEEP_TEST_PICTURES") != "" {
			d.keep(d.look(), "failed-"+strings.ReplaceAll(t.Name(), "/", "-"))
		}
	})
	return d
}

// begin starts a desktop, and tells why if it did not begin.
func begin(t *testing.T, kind string, with []string) (d *desktop, why string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "lk") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	d = &desktop{t: t, dir: dir}
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
	cmd.Env = append(cmd.Env, with...)
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ends := sync.OnceFunc(func() { end(cmd) })
	t.Cleanup(func() {
		ends()
		if t.Failed() {
			t.Logf("the desktop said:\n%s", tail(d.path("log")))
		}
	})
	begun := func(file string) bool { _, err := os.Stat(d.path(file)); return err == nil }
	for limit := time.Now().Add(3 * time.Minute); !begun("up"); time.Sleep(100 * time.Millisecond) {
		if begun("failed") || time.Now().After(limit) {
			ends()
			return nil, cmp.Or(read(d.path("failed")), "not within 3 min") + "\n" + tail(d.path("log"))
		}
	}
	return d, ""
}

// tail is the end of a long file.
func tail(file string) string {
	log := read(file)
	return log[max(0, len(log)-4000):]
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
	cmd.Env, cmd.Dir = slices.Clone(d.user), d.dir
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
	d.asUser("sh", "-c", `umask 077 && mkdir -p "$LANGKEEP_HOME/state" && : >"$LANGKEEP_HOME/state/start-offered"`) // as in runAgent
	return d.runs(program, "--no-page")
}

// runs runs the agent with flags.
func (d *desktop) runs(program string, flags ...string) *agentProcess {
	d.t.Helper()
	k := d.begin(d.command(program, append([]string{"run", "--listen", "127.0.0.1:0", "--store", "memory"}, flags...)...), d.path("langkeep"))
	d.await("the agent", func() bool { return strings.Contains(k.stderr.String(), "listening on") })
	return k
}

// paste is the clipboard's text.
func (d *desktop) paste() string {
	if slices.Contains(d.user, "XDG_SESSION_TYPE=x11") {
		return d.prints("xclip", "-o", "-selection", "clipboard")
	}
	return d.prints("wl-paste", "--no-newline")
}

// prints is what a program prints within 5 s.
func (d *desktop) prints(name string, args ...string) string {
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
	defer cancel()
	cmd := d.command(name, args...)
	limited := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	limited.Env, limited.Dir, limited.SysProcAttr = cmd.Env, cmd.Dir, cmd.SysProcAttr
	out, _ := limited.Output() // an error: nothing is there
	return string(out)
}

// nowhere wants a secret to be on no clipboard, in no clipboard manager, and in no file.
func (d *desktop) nowhere(secret string) {
	d.t.Helper()
	for _, ask := range []string{
		"wl-paste --no-newline", "wl-paste --no-newline --primary", "xclip -o -selection clipboard", "xclip -o",
		"gdbus call --session -d org.kde.klipper -o /klipper -m org.kde.klipper.klipper.getClipboardHistoryMenu",
	} {
		words := strings.Fields(ask)
		if strings.Contains(d.prints(words[0], words[1:]...), secret) {
			d.t.Errorf("%s still prints the token", ask)
		}
	}
	if found := d.filesWith(secret); len(found) > 0 {
		d.t.Errorf("the token is in %q", found)
	}
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

// tries wants a press to have the agent try to renew a session of a server that breaks every
// connection. It waits for a long pause between the agent's own attempts, so that none of
// them can be taken for the press.
func (d *desktop) tries(server *langflowtest.Server, session func() client.Profile, press func()) {
	d.t.Helper()
	const pause = 5 * time.Second
	awaitFor(d.t, 3*time.Minute, "a long pause", func() bool {
		next := session().NextAttemptAt
		return next != nil && time.Until(*next) > pause
	})
	before := server.Count("/refresh")
	press()
	d.await("an attempt", func() bool { return server.Count("/refresh") > before })
}
