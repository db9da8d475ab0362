//go:build real && linux

package tray

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// TestWine has the Windows program on Wine's desktop: its menu as Windows has it, and a
// person's day with the mouse.
func TestWine(t *testing.T) {
	w := newWine(t)
	t.Run("menu", func(t *testing.T) {
		program := w.build(t, "test", "-c", "-tags", "real", "./tray")
		out, err := w.command(program, "-test.v", "-test.timeout", "2m", "-test.run", "^TestWindowsMenu$").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestWindowsMenu") {
			t.Fatalf("%v: %s", err, out)
		}
	})
	t.Run("day", func(t *testing.T) { w.day(t, w.build(t, "build", "./cmd/langkeep")) })
}

const taskbar = "/desktop=shell,900x560" // the name makes it a desktop with a taskbar

// wine is Wine's desktop, whose taskbar shows tray icons at its right end.
type wine struct {
	*desktop
	ci string // .ci/wine
}

func newWine(t *testing.T) *wine {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, ".cache/wine/.installed")); err != nil {
		t.Skip("there is no Wine of .ci/setup windows")
	}
	w := &wine{&desktop{t: t, dir: t.TempDir()}, filepath.Join(root, ".ci/wine")}
	for _, dir := range []string{"run", "home", "data", "config", "state", "cache", "bin"} {
		if err := os.Mkdir(w.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.write("bin/xdg-open", 0o755, "#!/bin/sh\nprintf '%s\\n' \"$1\" >>'"+w.path("opened")+"'\n") // winebrowser runs it
	w.startX()
	t.Cleanup(func() {
		if out, err := w.command("--end").CombinedOutput(); err != nil {
			t.Errorf("the end of Wine: %v: %s", err, out)
		}
	})
	for _, setting := range [][]string{
		{`HKCU\Software\Wine\Explorer\Desktops`, "/v", "shell", "/d", "900x560"},
		{`HKLM\Software\Classes\.html`, "/ve", "/d", "htmlfile"}, // which winebrowser opens
	} {
		if out, err := w.command(slices.Concat([]string{"reg", "add"}, setting, []string{"/f"})...).CombinedOutput(); err != nil {
			t.Fatalf("wine: %v: %s", err, out)
		}
	}
	desktop := w.command("explorer", taskbar) // it stays while agents come and go
	desktop.SysProcAttr = child()
	bare := w.icon()
	if err := desktop.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(desktop) })
	await(t, "the taskbar", func() bool { return w.icon() != bare })
	return w
}

// command is a Windows program on Wine.
func (w *wine) command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.ci, args...)
	cmd.Env = append(w.env(), "LANGKEEP_HOME="+`Z:`+strings.ReplaceAll(w.path("langkeep"), "/", `\`))
	return cmd
}

// build builds a program for Windows.
func (w *wine) build(t *testing.T, args ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "built.exe")
	cmd := exec.Command("go", slices.Insert(args, len(args)-1, "-o", program)...)
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return program
}

// begin starts the agent with its icon in the taskbar.
func (w *wine) begin(t *testing.T, program string) *agentProcess {
	t.Helper()
	d := *w.desktop
	d.t = t
	cmd := w.command("explorer", taskbar, program, "run", "--listen", "127.0.0.1:0")
	cmd.WaitDelay = time.Second // programs of Wine keep the pipes of explorer
	k := d.begin(cmd, w.path("langkeep"))
	await(t, "the agent's answer", func() bool { // that client.Find asks for is for Wine's own programs
		agent, _ := os.ReadFile(k.paths().Agent())
		token, _ := os.ReadFile(k.paths().Token())
		var at struct{ URL string }
		if json.Unmarshal(agent, &at) != nil || len(token) == 0 {
			return false
		}
		c, err := client.New(client.Options{URL: at.URL, Token: secret.New(strings.TrimSpace(string(token)))})
		if err != nil {
			t.Fatal(err)
		}
		k.client = c
		_, err = c.Profiles(t.Context())
		return err == nil
	})
	return k
}

// icon is the picture of the icon.
func (w *wine) icon() string {
	return w.run("import", "-window", "root", "-crop", "20x20+880+540", "-depth", "8", "rgb:-")
}

// wide and high are the part of the screen above the taskbar and the tooltips.
const wide, high = 900, 500

// screen is that part's pixels.
func (w *wine) screen() string {
	return w.run("import", "-window", "root", "-crop", fmt.Sprintf("%dx%d+0+0", wide, high), "-depth", "8", "rgb:-")
}

// changed waits until the screen is another, and returns it with the part that is new.
func (w *wine) changed(t *testing.T, what, before string) (after string, part image.Rectangle) {
	t.Helper()
	await(t, what, func() bool { after = w.screen(); return after != before })
	for i := range wide * high {
		if before[3*i:3*i+3] != after[3*i:3*i+3] {
			part = part.Union(image.Rect(i%wide, i/wide, i%wide+1, i/wide+1))
		}
	}
	return after, part
}

// chooseFirst opens the icon's menu, and in it the submenu of the first line, and clicks the
// first entry there.
func (w *wine) chooseFirst(t *testing.T, picture string) {
	t.Helper()
	const line = 10 // from a menu's edge to the middle of its first line
	w.run("xdotool", "mousemove", "100", "100")
	closed := w.screen()
	w.run("xdotool", "mousemove", "890", "550", "click", "3")
	_, menu := w.changed(t, "the open menu", closed)
	head := fmt.Sprint(menu.Min.Y + line)
	w.run("xdotool", "mousemove", fmt.Sprint(menu.Max.X-2*line), head)
	var submenu image.Rectangle
	await(t, "the submenu", func() bool {
		_, all := w.changed(t, "the submenu", closed)
		submenu = image.Rect(all.Min.X, all.Min.Y, menu.Min.X, all.Max.Y)
		return !submenu.Empty()
	})
	w.picture(picture)
	w.run("xdotool", "mousemove", fmt.Sprint(submenu.Min.X+3*line), head, "click", "1")
	await(t, "the closed menu", func() bool { return w.screen() == closed })
}

func (w *wine) day(t *testing.T, program string) {
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	none := w.icon()
	k := w.begin(t, program)
	await(t, "the control page at the first start", func() bool { return len(w.opened()) == 1 })
	page := "file://" + w.path("langkeep/run/open.html")
	await(t, "the icon", func() bool { return w.icon() != none })
	attention := w.icon()
	if got := w.opened()[0]; got != page {
		t.Errorf("the browser was sent to %s", got)
	}
	w.picture("wine-attention")

	k.signIn("prod", server.URL)
	await(t, "another icon", func() bool { return w.icon() != attention })
	fresh := w.icon()
	w.chooseFirst(t, "wine-first-sign-in")
	langflow := server.URL + "/" // as winebrowser writes it
	await(t, "Langflow in the browser", func() bool { return len(w.opened()) == 2 && w.opened()[1] == langflow })

	stop := func() {
		t.Helper()
		if err := k.client.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		await(t, "the agent's end, and its icon's", func() bool {
			_, err := os.Stat(k.paths().Agent())
			return err != nil && w.icon() == none
		})
	}
	stop()
	k = w.begin(t, program)
	k.awaitState("prod", client.Fresh)
	await(t, "the icon after a restart", func() bool { return w.icon() == fresh })
	w.chooseFirst(t, "wine-restart")
	await(t, "Langflow in the browser again", func() bool { return len(w.opened()) == 3 && w.opened()[2] == langflow })

	if out, err := w.command(program, "open").CombinedOutput(); err != nil || !strings.Contains(string(out), "opens in your browser") {
		t.Errorf("open: %v: %s", err, out)
	}
	await(t, "the control page in the browser", func() bool { return len(w.opened()) == 4 && w.opened()[3] == page })

	quiet := w.screen()
	server.RotateSecret()
	if _, err := k.client.Refresh(t.Context(), "prod"); err == nil {
		t.Error("a refresh after the session's end passed")
	}
	await(t, "the icon of an ended session", func() bool { return w.icon() == attention })
	w.changed(t, "the notification", quiet)
	w.picture("wine-sign-in-required")
	if err := k.client.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	await(t, "the agent's end", func() bool { _, err := os.Stat(k.paths().Agent()); return err != nil })
	log, err := os.ReadFile(k.paths().Log())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(log), "systray error") {
		t.Errorf("the log has\n%s", log)
	}
}
