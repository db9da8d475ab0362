// Package keychaintest runs a real Secret Service for tests: gnome-keyring on a
// session bus of its own, with files of its own.
package keychaintest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// Password opens the session's login keyring.
const Password = "only for tests"

const (
	secretsName = "org.freedesktop.secrets"
	secretsPath = dbus.ObjectPath("/org/freedesktop/secrets")
	service     = "org.freedesktop.Secret.Service"
	internal    = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"

	// Login is the collection that is unlocked when a person logs in.
	Login = secretsPath + "/collection/login"
)

// patience is the longest wait for a program to start or end.
const patience = time.Minute

// Session is a session bus, and a keyring daemon on it.
type Session struct {
	tb      testing.TB
	dir     string
	address string
	conn    *dbus.Conn
	bus     *exec.Cmd
	daemon  *exec.Cmd
	ended   chan struct{} // closed when a daemon with windows has ended
	prompts *prompter
	more    []string // of Env
}

// Start starts a session whose login keyring is unlocked, and ends it with the
// test. It skips the test where gnome-keyring or dbus is not installed.
func Start(tb testing.TB) *Session {
	tb.Helper()
	s := StartBus(tb)
	s.StartDaemon()
	return s
}

// StartBus is Start without the keyring daemon.
func StartBus(tb testing.TB) *Session {
	tb.Helper()
	for _, program := range []string{"dbus-daemon", "gnome-keyring-daemon"} {
		if _, err := exec.LookPath(program); err != nil {
			tb.Skipf("%s is not installed", program)
		}
	}
	s := &Session{tb: tb, dir: tb.TempDir()}
	for _, dir := range []string{"run", "home", "data", "config", "state", "cache"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	// No service folders: the bus starts nothing by itself.
	config := filepath.Join(s.dir, "bus.conf")
	socket := filepath.Join(s.dir, "run", "bus")
	err := os.WriteFile(config, fmt.Appendf(nil, `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`, socket), 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	bus := exec.Command("dbus-daemon", "--nofork", "--nopidfile", "--config-file="+config, "--print-address=1")
	bus.Env = s.Env()
	out, err := bus.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := bus.Start(); err != nil {
		tb.Fatal(err)
	}
	s.bus = bus
	tb.Cleanup(func() { end(bus) })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatalf("the bus did not start: %v", err)
	}
	s.address = strings.TrimSpace(address)
	s.conn, err = dbus.Connect(s.address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.conn.Close() })
	s.prompts = newPrompter(tb, s.address)
	return s
}

// Env is what a child process needs to be in the session: its bus, and a HOME
// and XDG folders of its own.
func (s *Session) Env() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	for name, dir := range map[string]string{
		"HOME": "home", "XDG_RUNTIME_DIR": "run", "XDG_DATA_HOME": "data",
		"XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache",
	} {
		env = append(env, name+"="+filepath.Join(s.dir, dir))
	}
	return append(append(env, s.more...), "DBUS_SESSION_BUS_ADDRESS=unix:path="+filepath.Join(s.dir, "run", "bus"))
}

// Address is that of the bus.
func (s *Session) Address() string { return s.address }

// Enter puts this process into the session until the test ends.
func (s *Session) Enter(tb testing.TB) {
	tb.Helper()
	tb.Setenv("DBUS_SESSION_BUS_ADDRESS", s.address)
	// go-keyring's connection is shared by the whole process: leave the bus of the test
	// before, and this one afterwards.
	leave := func() {
		if conn, err := dbus.SessionBus(); err == nil {
			conn.Close()
		}
	}
	leave()
	tb.Cleanup(leave)
}

// StartDaemon starts the keyring daemon with its login keyring unlocked.
func (s *Session) StartDaemon() {
	s.tb.Helper()
	s.startDaemon(Password, "--unlock")
}

// StartLocked starts the keyring daemon as it is before a person has logged
// in: locked, or with no keyring at all if none was made yet.
func (s *Session) StartLocked() {
	s.tb.Helper()
	s.startDaemon("")
}

func (s *Session) startDaemon(stdin string, args ...string) {
	s.tb.Helper()
	cmd := exec.Command("gnome-keyring-daemon", append(args, "--foreground", "--components=secrets",
		"--control-directory="+filepath.Join(s.dir, "run", "keyring"))...)
	cmd.Env = s.Env()
	cmd.Stdin = strings.NewReader(stdin)
	if err := cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.daemon = cmd
	s.tb.Cleanup(func() { end(cmd) })
	s.awaitOwner(true)
}

// StopDaemon kills the keyring daemon, as a crash would.
func (s *Session) StopDaemon() {
	s.tb.Helper()
	end(s.daemon)
	s.awaitOwner(false)
}

// StopBus ends the bus, as logging out does. Nothing else of the session can be
// used afterwards.
func (s *Session) StopBus() { end(s.bus) }

// awaitOwner waits until the Secret Service is on the bus, or off it.
func (s *Session) awaitOwner(want bool) {
	s.tb.Helper()
	deadline := time.Now().Add(patience)
	for {
		var has bool
		if err := s.conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, secretsName).Store(&has); err != nil {
			s.tb.Fatal(err)
		}
		if has == want {
			return
		}
		if time.Now().After(deadline) {
			s.tb.Fatalf("the Secret Service is on the bus: %v, want %v", has, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Lock locks the login keyring.
func (s *Session) Lock() {
	s.tb.Helper()
	var locked []dbus.ObjectPath
	var prompt dbus.ObjectPath
	err := s.conn.Object(secretsName, secretsPath).Call(service+".Lock", 0, []dbus.ObjectPath{Login}).Store(&locked, &prompt)
	if err != nil || len(locked) != 1 {
		s.tb.Fatalf("lock the keyring: %v, %v", locked, err)
	}
}

// Unlock unlocks the login keyring without a prompt, as logging in does.
func (s *Session) Unlock() {
	s.tb.Helper()
	object := s.conn.Object(secretsName, secretsPath)
	var ignored dbus.Variant
	var session dbus.ObjectPath
	if err := object.Call(service+".OpenSession", 0, "plain", dbus.MakeVariant("")).Store(&ignored, &session); err != nil {
		s.tb.Fatal(err)
	}
	master := struct {
		Session     dbus.ObjectPath
		Parameters  []byte
		Value       []byte
		ContentType string
	}{session, []byte{}, []byte(Password), "text/plain"}
	if err := object.Call(internal+".UnlockWithMasterPassword", 0, Login, master).Err; err != nil {
		s.tb.Fatalf("unlock the keyring: %v", err)
	}
}

// Person says what the person does from now on when asked for a password, and
// with the prompts that are on the screen. At first the person is Away.
func (s *Session) Person(does Reaction) { s.prompts.react(does) }

// Prompts is how often the person was asked for a password.
func (s *Session) Prompts() int {
	begun, _ := s.prompts.counts()
	return begun
}

// Showing is how many prompts are on the screen.
func (s *Session) Showing() int {
	begun, ended := s.prompts.counts()
	return begun - ended
}

// end kills a program and waits for it.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // an error: it was killed, or waited for before
}
