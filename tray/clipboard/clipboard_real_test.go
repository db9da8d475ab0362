//go:build real && linux

package clipboard

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"langkeep/agent/secret"
	"langkeep/agent/sessionbus/displaytest"
)

// display starts an X server for the test.
func display(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("xclip"); err != nil {
		t.Skip("xclip is not installed")
	}
	displaytest.Use(t)
}

// pasted is what another program gets; "" where there is nothing.
func pasted(target string) string {
	out, err := exec.Command("xclip", "-o", "-selection", "clipboard", "-t", target).Output()
	if err != nil {
		return ""
	}
	return string(out)
}

func TestX11(t *testing.T) {
	display(t)
	c, err := New(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	long := strings.Repeat("0123456789", 1000) // longer than a long RS512 token
	if err := c.Copy(secret.New(long)); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"UTF8_STRING": long, "STRING": long, "text/plain;charset=utf-8": long, hintName: hintSecret, "image/png": "",
	} {
		if got := pasted(target); got != want {
			t.Errorf("%s gives %.40q, want %.40q", target, got, want)
		}
	}
	targets := strings.Fields(pasted("TARGETS"))
	if got := fmt.Sprint(targets); !strings.Contains(got, hintName) || !strings.Contains(got, "UTF8_STRING") {
		t.Errorf("targets are %s", got)
	}

	// Another program copies; its text stays.
	copies := exec.Command("xclip", "-i", "-selection", "clipboard")
	copies.Stdin = strings.NewReader("theirs")
	if err := copies.Run(); err != nil {
		t.Fatal(err)
	}
	if got := pasted("UTF8_STRING"); got != "theirs" {
		t.Errorf("after another program has copied, %q is there", got)
	}
	c.Close()
	if got := pasted("UTF8_STRING"); got != "theirs" {
		t.Errorf("what another program has copied became %q", got)
	}

	// A clipboard manager has taken the secret over.
	if err := c.Copy(secret.New("first")); err != nil {
		t.Fatal(err)
	}
	manages := exec.Command("xclip", "-i", "-selection", "clipboard")
	manages.Stdin = strings.NewReader("first")
	if err := manages.Run(); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(10 * time.Second); pasted(hintName) != "" && time.Now().Before(limit); {
		time.Sleep(50 * time.Millisecond) // it may end before its child owns the selection
	}
	c.Close()
	if got := pasted("UTF8_STRING"); got != "" {
		t.Errorf("of the manager %q is left", got)
	}

	// A secret that nothing has replaced is removed.
	if err := c.Copy(secret.New("second")); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for pasted("UTF8_STRING") == "second" {
		time.Sleep(100 * time.Millisecond)
	}
	if took := time.Since(begin); took < Keep-time.Second || took > Keep+3*time.Second {
		t.Errorf("it left after %v, want %v", took, Keep)
	}
}

func TestADisplayThatGoesAway(t *testing.T) {
	t.Setenv("DISPLAY", ":65000")
	t.Setenv("WAYLAND_DISPLAY", "")
	c, err := New(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Copy(secret.New("x")); err == nil {
		t.Error("it copied to a display that isn't there")
	}
}
