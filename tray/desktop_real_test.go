//go:build real && linux

package tray

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/paths"
	"langkeep/localapi/client"
)

// patience is the longest wait for what a desktop does by itself.
const patience = 20 * time.Second

// desktop is a real one for a test: an X server, a session bus, and on demand
// Xfce's panel, which shows the tray, and dunst, which shows notifications.
type desktop struct {
	t      *testing.T
	dir    string
	x, bus *exec.Cmd
	panel  *exec.Cmd
	number string // of the display
	light  bool   // the panel
	isNew  bool   // nobody was asked about the start at login yet
	conn   *dbus.Conn
	user   []string   // the environment of TestDesktops' user
	access *dbus.Conn // to the accessibility bus; nil until it is needed
}

// newDesktop starts an X server and a session bus, and ends them with the test.
// It skips the test where a part is not installed.
func newDesktop(t *testing.T) *desktop {
	t.Helper()
	for _, program := range []string{"Xvfb", "dbus-daemon", "xfce4-panel", "dunst", "dunstctl", "import", "xclip", "xdotool", "xsetroot"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	d := &desktop{t: t, dir: t.TempDir()}
	for _, dir := range []string{"run", "home", "data", "config", "state", "cache", "bin"} {
		if err := os.Mkdir(filepath.Join(d.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.write("bin/xdg-open", 0o755, "#!/bin/sh\nprintf '%s\\n' \"$1\" >>'"+d.path("opened")+"'\n")
	d.write("bus.conf", 0o600, `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=`+d.path("run/bus")+`</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`)
	// dunst asks this which button it is.
	d.write("bin/dmenu", 0o755, "#!/bin/sh\ngrep -F \"$(cat '"+d.path("button")+"')\" | head -n 1\n")
	d.write("dunstrc", 0o600, `[global]
    dmenu = `+d.path("bin/dmenu")+`
    font = DejaVu Sans 11
    offset = 16x56
    origin = bottom-right
    frame_width = 1
    frame_color = "#5546C8"
    corner_radius = 6
    history_length = 50
    stack_duplicates = false
[urgency_normal]
    background = "#2b2b33"
    foreground = "#f4f4f6"
    timeout = 0
`)
	d.startX()
	d.startBus()
	return d
}

func (d *desktop) path(name string) string { return filepath.Join(d.dir, name) }

func (d *desktop) write(name string, mode os.FileMode, content string) {
	d.t.Helper()
	if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(d.path(name), []byte(content), mode); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desktop) startX() {
	d.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Close()
	d.x = exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "900x560x24", "-nolisten", "tcp", "-noreset")
	d.x.ExtraFiles = []*os.File{w}
	d.x.SysProcAttr = child()
	if err := d.x.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { end(d.x) })
	w.Close()
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		d.t.Fatalf("Xvfb did not start: %v", err)
	}
	d.number = ":" + strings.TrimSpace(number)
	d.run("xsetroot", "-solid", "#4a5568")
}

func (d *desktop) startBus() {
	d.t.Helper()
	d.bus = exec.Command("dbus-daemon", "--nofork", "--nopidfile", "--config-file="+d.path("bus.conf"), "--print-address=1")
	d.bus.Env = d.env()
	d.bus.SysProcAttr = child()
	out, err := d.bus.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.bus.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { end(d.bus) })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		d.t.Fatalf("the bus did not start: %v", err)
	}
	if d.conn, err = dbus.Connect(strings.TrimSpace(address)); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { d.conn.Close() })
}

// env is a child's environment in the session.
func (d *desktop) env() []string {
	env := []string{
		"PATH=" + d.path("bin") + ":" + os.Getenv("PATH"), "LANG=C.UTF-8", "DISPLAY=" + d.number,
		"GORACE=atexit_sleep_ms=0", "NO_AT_BRIDGE=1", "XDG_CURRENT_DESKTOP=XFCE",
		"DBUS_SESSION_BUS_ADDRESS=unix:path=" + d.path("run/bus"),
	}
	for name, dir := range map[string]string{
		"HOME": "home", "XDG_RUNTIME_DIR": "run", "XDG_DATA_HOME": "data",
		"XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache",
	} {
		env = append(env, name+"="+d.path(dir))
	}
	return env
}

// start starts a program of the desktop, and ends it with the test.
func (d *desktop) start(name string, args ...string) *exec.Cmd {
	d.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = d.env()
	cmd.SysProcAttr = child()
	cmd.SysProcAttr.Setpgid = true // programs that it starts in turn go with it
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { end(cmd) })
	return cmd
}

// run runs a program of the desktop to its end.
func (d *desktop) run(name string, args ...string) string {
	d.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = d.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// startPanel starts the panel, and what it keeps its settings with.
func (d *desktop) startPanel() {
	d.t.Helper()
	if !d.owned("org.xfce.Xfconf") {
		found, err := filepath.Glob("/usr/lib/*/xfce4/xfconf/xfconfd")
		if err != nil || len(found) == 0 {
			d.t.Skip("xfconfd is not installed")
		}
		d.write("config/xfce4/xfconf/xfce-perchannel-xml/xfce4-panel.xml", 0o600, `<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="`+strconv.FormatBool(!d.light)+`"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=8;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="32"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/><value type="int" value="2"/><value type="int" value="3"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="separator"><property name="expand" type="bool" value="true"/><property name="style" type="uint" value="0"/></property>
    <property name="plugin-2" type="string" value="systray"><property name="square-icons" type="bool" value="true"/></property>
    <property name="plugin-3" type="string" value="clock"/>
  </property>
</channel>
`)
		d.start(found[0])
		d.await("xfconfd", func() bool { return d.owned("org.xfce.Xfconf") })
	}
	d.panel = d.start("xfce4-panel", "--disable-wm-check")
	d.await("the panel's tray", func() bool { return d.owned(trayHost) })
}

// killPanel ends it as a crash would.
func (d *desktop) killPanel() {
	d.t.Helper()
	end(d.panel)
	d.await("the end of the panel's tray", func() bool { return !d.owned(trayHost) })
}

func (d *desktop) startDunst() {
	d.t.Helper()
	d.start("dunst", "-config", d.path("dunstrc"))
	d.await("dunst", func() bool { return d.owned("org.freedesktop.Notifications") })
}

func (d *desktop) owned(name string) bool {
	d.t.Helper()
	var has bool
	if err := d.conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, name).Store(&has); err != nil {
		d.t.Fatal(err)
	}
	return has
}

// await waits until it is so.
func (d *desktop) await(what string, so func() bool) {
	d.t.Helper()
	within := patience
	if d.user != nil {
		within *= 3 // a whole desktop draws in software, and more than one at once
	}
	awaitFor(d.t, within, what, so)
}

func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	awaitFor(t, patience, what, so)
}

func awaitFor(t *testing.T, within time.Duration, what string, so func() bool) {
	t.Helper()
	for limit := time.Now().Add(within); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// picture writes what the screen shows, for people to look at, into the folder
// that LANGKEEP_TEST_PICTURES names.
func (d *desktop) picture(name string) {
	d.t.Helper()
	switch dir := os.Getenv("LANGKEEP_TEST_PICTURES"); {
	case dir == "":
	case d.user != nil:
		d.keep(d.still(), name)
	default:
		if err := os.MkdirAll(dir, 0o755); err != nil {
			d.t.Fatal(err)
		}
		d.run("import", "-window", "root", filepath.Join(dir, name+".png"))
	}
}

// openMenu opens the icon's menu with the mouse, and with keys the submenu of
// the line at that place from the top, if it is not 0. It is for pictures.
func (d *desktop) openMenu(line int) {
	d.t.Helper()
	if os.Getenv("LANGKEEP_TEST_PICTURES") == "" {
		return
	}
	time.Sleep(time.Second) // the panel moves its icons when one appears
	d.run("xdotool", "mousemove", "816", "544", "click", "1")
	time.Sleep(time.Second)
	for range line {
		d.run("xdotool", "key", "Down")
	}
	if line > 0 {
		d.run("xdotool", "key", "Right")
	}
	time.Sleep(time.Second)
}

// closeMenu closes it.
func (d *desktop) closeMenu() {
	d.t.Helper()
	if os.Getenv("LANGKEEP_TEST_PICTURES") != "" {
		d.run("xdotool", "key", "Escape", "key", "Escape", "mousemove", "10", "10")
	}
}

// notified are the notifications that dunst has shown so far, oldest first: it
// is asked to put those on the screen aside.
func (d *desktop) notified() []string {
	d.t.Helper()
	d.run("dunstctl", "close-all")
	return d.history()
}

// choose presses a button of the notification.
func (d *desktop) choose(label string) {
	d.t.Helper()
	d.write("button", 0o600, label)
	d.run("dunstctl", "context")
}

// press presses a button whose notification goes away with it. dunst forgets a press of a
// message that is replaced at that moment, so it is tried again.
func (d *desktop) press(label string) {
	d.t.Helper()
	before := len(d.history())
	var next time.Time
	d.await("a notification with the button "+label, func() bool {
		if now := time.Now(); now.After(next) {
			next = now.Add(2 * time.Second)
			d.choose(label)
		}
		return len(d.history()) > before
	})
}

// last is the last of them; "" if there is none.
func (d *desktop) last() string {
	d.t.Helper()
	all := d.notified()
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// history are the notifications that are no longer on the screen, oldest first.
func (d *desktop) history() []string {
	d.t.Helper()
	type text struct {
		Data string `json:"data"`
	}
	var history struct {
		Data [][]struct {
			Summary text `json:"summary"`
			Body    text `json:"body"`
			App     text `json:"appname"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(d.run("dunstctl", "history")), &history); err != nil {
		d.t.Fatal(err)
	}
	var all []string
	for _, list := range history.Data {
		for _, n := range list {
			all = append([]string{n.App.Data + " · " + n.Summary.Data + ": " + n.Body.Data}, all...)
		}
	}
	return all
}

// opened are the links that the browser was given.
func (d *desktop) opened() []string {
	data, err := os.ReadFile(d.path("opened"))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// child makes a program end with a test that ends without its cleanup, by its
// time limit.
func child() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// end kills a program with its group, if it has one of its own, and waits for
// it.
func end(cmd *exec.Cmd) {
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Setpgid {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // an error: it was killed, or waited for before
}

// agentProcess is the real agent on the desktop.
type agentProcess struct {
	d      *desktop
	cmd    *exec.Cmd
	home   string
	stderr *output
	ended  chan struct{}
	client *client.Client
}

// output is what a program says, as it comes.
type output struct {
	mu   sync.Mutex // protects the following
	data bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.String()
}

// build builds the program, once a test.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "langkeep")
	out, err := exec.Command("go", "build", "-o", program, "langkeep/cmd/langkeep").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return program
}

// runAgent runs the agent with the tray, and waits until it answers.
func (d *desktop) runAgent(program, home string) *agentProcess {
	d.t.Helper()
	if !d.isNew { // else a minute after a sign-in a message comes between those of the test
		if err := os.MkdirAll(filepath.Join(home, "state"), 0o700); err != nil {
			d.t.Fatal(err)
		}
		if err := paths.WriteMark(paths.Paths{State: filepath.Join(home, "state")}.StartOffered()); err != nil {
			d.t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "run", "--listen", "127.0.0.1:0", "--store", "memory")
	cmd.Env = append(d.env(), "LANGKEEP_HOME="+home)
	cmd.SysProcAttr = child()
	k := d.begin(cmd, home)
	d.await("the agent's answer", func() bool {
		select {
		case <-k.ended:
			d.t.Fatalf("the agent ended: %s", k.stderr)
		default:
		}
		if !strings.Contains(k.stderr.String(), "listening on") {
			return false
		}
		c, err := client.Find(context.Background(), k.getenv, k.paths())
		if err != nil {
			return false
		}
		k.client = c
		return true
	})
	return k
}

// begin starts an agent, which ends with the test.
func (d *desktop) begin(cmd *exec.Cmd, home string) *agentProcess {
	d.t.Helper()
	k := &agentProcess{d: d, cmd: cmd, home: home, stderr: &output{}, ended: make(chan struct{})}
	cmd.Stderr = k.stderr
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // ProcessState tells
		close(k.ended)
	}()
	d.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-k.ended
		if k.client != nil {
			k.client.Close()
		}
		if d.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(home, "state", "log"))
			d.t.Logf("the agent said:\n%s\nand logged:\n%s", k.stderr, log)
		}
	})
	return k
}

func (k *agentProcess) getenv(name string) string {
	if name == "LANGKEEP_HOME" {
		return k.home
	}
	return ""
}

func (k *agentProcess) paths() paths.Paths {
	k.d.t.Helper()
	p, err := paths.Resolve(k.getenv)
	if err != nil {
		k.d.t.Fatal(err)
	}
	return p
}

// awaitEnd waits for the agent to end by itself, as it should: with exit code 0
// and nothing left of this run.
func (k *agentProcess) awaitEnd() {
	k.d.t.Helper()
	select {
	case <-k.ended:
	case <-time.After(patience):
		k.d.t.Fatalf("the agent did not end: %s", k.stderr)
	}
	if code := k.cmd.ProcessState.ExitCode(); code != 0 {
		k.d.t.Errorf("the agent ended with %d: %s", code, k.stderr)
	}
	for _, file := range []string{k.paths().Agent(), k.paths().Token(), k.paths().Socket()} {
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			k.d.t.Errorf("%s is left: %v", file, err)
		}
	}
	log, err := os.ReadFile(k.paths().Log())
	if err != nil {
		k.d.t.Fatal(err)
	}
	if n := strings.Count(string(log[strings.LastIndex(string(log), "msg=started"):]), "msg=stopped"); n != 1 {
		k.d.t.Errorf("the agent stopped %d times:\n%s", n, log)
	}
}

// item is the tray item of the agent, on the bus.
func (k *agentProcess) item() dbus.BusObject {
	return k.d.conn.Object(fmt.Sprintf("org.kde.StatusNotifierItem-%d-1", k.cmd.Process.Pid), "/StatusNotifierItem")
}

// registered tells whether the panel knows the agent's item.
func (k *agentProcess) registered() bool {
	var items dbus.Variant
	err := k.d.conn.Object(trayHost, "/StatusNotifierWatcher").
		Call("org.freedesktop.DBus.Properties.Get", 0, trayHost, "RegisteredStatusNotifierItems").Store(&items)
	if err != nil {
		return false
	}
	var owner string
	if k.d.conn.BusObject().Call("org.freedesktop.DBus.GetNameOwner", 0, k.item().Destination()).Store(&owner) != nil {
		return false
	}
	list, _ := items.Value().([]string)
	for _, one := range list {
		if strings.HasPrefix(one, owner) || strings.HasPrefix(one, k.item().Destination()) {
			return true
		}
	}
	return false
}

func (k *agentProcess) awaitTray() {
	k.d.t.Helper()
	k.d.await("the agent's icon in the panel", k.registered)
}

// icon is the name of the icon that the item shows now: it is compared with the
// files' pixels.
func (k *agentProcess) icon() string {
	var got []pixels
	v, err := k.item().GetProperty("org.kde.StatusNotifierItem.IconPixmap")
	if err != nil || v.Store(&got) != nil {
		return ""
	}
	for _, name := range []string{iconFresh, iconAttention, iconOffline} {
		want, err := iconPixels(name)
		if err != nil {
			k.d.t.Fatal(err)
		}
		if reflect.DeepEqual(got, want) {
			return name
		}
	}
	return "another"
}

func (k *agentProcess) awaitIcon(name string) {
	k.d.t.Helper()
	k.d.await("the icon "+name, func() bool { return k.icon() == name })
}

// shownItem is what a panel shows of one.
type shownItem struct {
	id       int32
	label    string
	checked  bool
	children []shownItem
}

// menu reads what the panel would show.
func (k *agentProcess) menu() []shownItem {
	k.d.t.Helper()
	menu := k.d.conn.Object(k.item().Destination(), "/StatusNotifierItem/menu")
	var revision uint32
	var root layout
	if err := menu.Call("com.canonical.dbusmenu.GetLayout", 0, int32(0), int32(-1), []string{}).Store(&revision, &root); err != nil {
		return nil
	}
	return visible(k.d.t, root.Children)
}

func visible(t *testing.T, nodes []dbus.Variant) []shownItem {
	t.Helper()
	var items []shownItem
	for _, v := range nodes {
		var node layout
		if err := dbus.Store([]any{v.Value()}, &node); err != nil {
			t.Fatal(err)
		}
		if shown, ok := node.Properties["visible"]; ok && shown.Value() == false {
			continue
		}
		item := shownItem{id: node.ID, children: visible(t, node.Children)}
		item.label, _ = node.Properties["label"].Value().(string)
		if state, ok := node.Properties["toggle-state"].Value().(int32); ok {
			item.checked = state == 1
		}
		if node.Properties["type"].Value() == "separator" {
			item.label = "—"
		}
		items = append(items, item)
	}
	return items
}

// find looks for an item by its label's beginning, in submenus by the labels on
// the way.
func find(items []shownItem, way ...string) *shownItem {
	for _, item := range items {
		if strings.HasPrefix(item.label, way[0]) {
			if len(way) == 1 {
				return &item
			}
			return find(item.children, way[1:]...)
		}
	}
	return nil
}

// click clicks an item over the bus, once it is there.
func (k *agentProcess) click(way ...string) {
	k.d.t.Helper()
	var item *shownItem
	k.d.await(fmt.Sprintf("%q in the menu", way), func() bool {
		item = find(k.menu(), way...)
		return item != nil
	})
	menu := k.d.conn.Object(k.item().Destination(), "/StatusNotifierItem/menu")
	err := menu.Call("com.canonical.dbusmenu.Event", 0, item.id, "clicked", dbus.MakeVariant(""), uint32(0)).Err
	if err != nil {
		k.d.t.Fatalf("click %q: %v", way, err)
	}
}

// labels are those of a menu, with its submenus in brackets.
func labels(items []shownItem) string {
	var all []string
	for _, item := range items {
		s := item.label
		if item.checked {
			s += " ✓"
		}
		if len(item.children) > 0 {
			s += " [" + labels(item.children) + "]"
		}
		all = append(all, s)
	}
	return strings.Join(all, " | ")
}
