//go:build real && linux

package tray

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
)

// TestAsking has curl and others wait until a person presses a button of the real
// notification.
func TestAsking(t *testing.T) {
	d := newDesktop(t)
	d.startDunst()
	k := newAsker(d)
	shown := func() bool { return d.run("dunstctl", "count", "displayed") == "1\n" }
	got := k.curl()
	d.await("the question", shown)
	d.picture("asking")
	d.press("Allow in this")
	k.gets("curl, allowed,", got(), true)
	d.await("its end", func() bool { return !shown() })
	k.gets("curl again", k.curl()(), true)

	// Another program is asked about apart.
	said := k.begins("sh", k.script("langkeep token prod\nlangkeep key prod\n"))
	d.await("the question about the script", shown)
	d.press("Always")
	d.await("the question about the key", func() bool {
		all, err := k.client.Asks(t.Context())
		return err == nil && len(all.Asks) == 1 && all.Asks[0].Want == "key" && all.Asks[0].Script != nil && *all.Asks[0].Script == d.path("job.sh")
	})
	d.await("the message about the key", shown)
	d.press("Deny")
	if out := said(); strings.Count(out, "you have denied job.sh an API key") != 1 || !strings.HasPrefix(out, "ey") {
		t.Errorf("the script prints %.300s", out)
	}
	// A command can't answer for the person.
	allowing := k.begins(k.program, "allow", "99")
	if out := allowing(); !strings.Contains(out, "there is no question 99") {
		t.Error(out)
	}
	asking := k.begins("python3", "-c", "import socket; s = socket.socket(socket.AF_UNIX); s.connect('"+filepath.Join(k.home, "run", "agent.sock")+
		"'); s.sendall(b'GET /v1/profiles/prod/token HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'); print(s.makefile().read())")
	var id string
	d.await("the question about code", func() bool {
		all, err := k.client.Asks(t.Context())
		if err != nil || len(all.Asks) != 1 {
			return false
		}
		if id = all.Asks[0].ID; all.Asks[0].Program != nil {
			t.Errorf("code in an argument is %s", *all.Asks[0].Program)
		}
		return true
	})
	confirming := k.begins(k.program, "allow", id, "--always")
	d.await("the command's answer", func() bool {
		all, err := k.client.Asks(t.Context())
		return err == nil && len(all.Asks) == 1 && all.Asks[0].Proposed != nil
	})
	d.await("the message", shown)
	d.press("Deny")
	k.gets("the code", asking(), false)
	if out := confirming(); !strings.Contains(out, "was not confirmed on the desktop") {
		t.Errorf("allow says %s", out)
	}
	// The person is told that asking is off, whoever turned it off.
	k.asks("never")
	d.await("word of it", func() bool {
		return strings.HasPrefix(d.last(), "Langkeep · Programs are asked about less: For prod: never, was new.")
	})
	k.stopNow(t)
}

// asker is an agent that asks before it hands out a token of prod.
type asker struct {
	*agentProcess
	program string
}

func newAsker(d *desktop) *asker {
	d.t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		d.t.Skip("curl is not installed")
	}
	server := langflowtest.New(langflowtest.Options{})
	d.t.Cleanup(server.Close)
	k := &asker{program: build(d.t)}
	k.agentProcess = d.runAgent(k.program, d.path("langkeep"))
	k.signIn("prod", server.URL)
	k.asks("new")
	return k
}

// asks writes prod's ask into its file, and waits until it is in force.
func (k *asker) asks(mode string) {
	k.d.t.Helper()
	file := filepath.Join(k.home, "config", "profiles", "prod.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		k.d.t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(text), "ask = ")
	if err := os.WriteFile(file, []byte(before+"ask = \""+mode+"\"\n"), 0o600); err != nil {
		k.d.t.Fatal(err)
	}
	k.d.await("the setting", func() bool {
		p, err := k.client.Profile(k.d.t.Context(), "prod")
		return err == nil && p.Ask != nil && *p.Ask == mode
	})
}

// script writes a script that calls langkeep, as a user's does.
func (k *asker) script(text string) string {
	k.d.write("job.sh", 0o600, "langkeep() { '"+k.program+"' \"$@\"; }\n"+text)
	return k.d.path("job.sh")
}

// begins starts a program that asks. The returned function waits for what it prints.
func (k *asker) begins(name string, args ...string) func() string {
	d := k.d
	d.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(d.env(), "LANGKEEP_HOME="+k.home)
	cmd.SysProcAttr = child()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what it prints tells
		close(ended)
	}()
	return func() string {
		d.t.Helper()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			d.t.Fatalf("%s %v waits", name, args)
		}
		return out.String()
	}
}

// curl has curl ask for the token.
func (k *asker) curl() func() string {
	return k.begins("curl", "-s", "--unix-socket", filepath.Join(k.home, "run", "agent.sock"), "http://x/v1/profiles/prod/token")
}

// gets wants a program to have got the token, or to be refused.
func (k *asker) gets(what, got string, allowed bool) {
	k.d.t.Helper()
	if strings.Contains(got, "access_token") != allowed || strings.Contains(got, "problems/not-allowed-yet") == allowed {
		k.d.t.Errorf("%s gets %.300s", what, got)
	}
}

// TestAskingInTheTray has a person answer in the menu, where no notification can be shown.
func TestAskingInTheTray(t *testing.T) {
	d := newDesktop(t)
	d.startPanel()
	k := newAsker(d)
	k.awaitTray()
	k.awaitIcon(iconFresh)
	got := k.curl()
	var title string
	d.await("the question", func() bool {
		for _, item := range k.menu() {
			if strings.HasPrefix(item.label, "curl") {
				title = item.label
			}
		}
		return title != ""
	})
	k.awaitIcon(iconAttention)
	k.click(title, "Allow once")
	k.gets("curl, allowed once,", got(), true)
	k.awaitIcon(iconFresh)
	got = k.curl()
	d.await("the next question", func() bool { return find(k.menu(), title) != nil })
	k.click(title, "Deny")
	k.gets("curl, denied,", got(), false)
	k.stopNow(t)
}
