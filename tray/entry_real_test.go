//go:build real && linux

package tray

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"langkeep/agent/langflow/langflowtest"
)

// TestDesktopEntry runs the commands of the desktop entry's actions, as a desktop does:
// nobody sees their stderr.
func TestDesktopEntry(t *testing.T) {
	d := newDesktop(t)
	d.startDunst()
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	k := &asker{program: build(t)}
	k.agentProcess = d.runAgent(k.program, d.path("langkeep"))
	k.signIn("prod", server.URL)
	if err := os.Symlink(k.program, d.path("bin/langkeep")); err != nil {
		t.Fatal(err)
	}
	action := func(name string) func() string {
		t.Helper()
		return k.begins("sh", "-c", "PATH='"+d.path("bin")+"':$PATH exec "+execOf(t, name))
	}
	action("Copy token") // which goes on for 30 s
	d.await("a token on the clipboard", func() bool {
		return strings.HasPrefix(d.run("sh", "-c", "xclip -o -selection clipboard || true"), "ey")
	})

	// With two profiles, of which none is the default.
	k.signIn("staging", server.URL)
	before := len(d.opened())
	failed := action("Copy token")
	d.await("a notification", func() bool { return d.run("dunstctl", "count", "displayed") == "1\n" })
	d.picture("entry-several")
	d.choose("Control page")
	d.await("the control page", func() bool { return len(d.opened()) == before+1 && strings.Contains(d.opened()[before], "/#code=") })
	if out := failed(); !strings.Contains(out, "name a profile: prod or staging") {
		t.Errorf("it says %s", out)
	}
	const said = "Langkeep · The token was not copied: There are several: prod or staging. Copy it from the tray's menu,"
	if got := d.last(); !strings.HasPrefix(got, said) {
		t.Errorf("the notification says %s", got)
	}

	// The other actions say why they failed, too.
	if err := os.Remove(d.path("bin/xdg-open")); err != nil {
		t.Fatal(err)
	}
	d.write("bin/xdg-open", 0o755, "#!/bin/sh\necho no browser here >&2\nexit 3\n")
	_ = action("Control page")()
	d.await("the page's failure", func() bool {
		return strings.HasPrefix(d.last(), "Langkeep · The control page did not open: ")
	})
	if out := action("Quit")(); !strings.Contains(out, "the agent has stopped") {
		t.Errorf("quit says %s", out)
	}
	<-k.ended
}

// execOf is the command of an action of the packages' desktop entry.
func execOf(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "assets", "packaging", "langkeep.desktop"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "Name="+name+"\nExec=")
	command, _, _ := strings.Cut(after, "\n")
	if !found || !strings.HasPrefix(command, "langkeep ") {
		t.Fatalf("the entry has no action %s", name)
	}
	return command
}
