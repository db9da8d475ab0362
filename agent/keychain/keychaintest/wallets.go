package keychaintest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// Wallet is a Secret Service as a person has it on their desktop. Its functions fail the
// test if they do not succeed.
type Wallet struct {
	*Session
	// Begin starts the service as the desktop does: with nothing unlocked.
	Begin func()
	// Kill ends it as a crash does, Quit as its menu or the desktop does.
	Kill, Quit func()
	// Shut locks it.
	Shut func()
	// Answer waits for the question for its password, and gives that or says no.
	Answer func(yes bool)
	// Asks tells whether that question is on the screen.
	Asks func() bool
	// First waits for the questions that come before the first secret is kept, and answers
	// them; nil: there are none.
	First func()
	// SavesAfter is how long it keeps a secret only in memory.
	SavesAfter time.Duration

	Screen *Screen // nil for gnome-keyring, whose windows a test plays
}

// StartGNOME starts gnome-keyring, unlocked.
func StartGNOME(tb testing.TB) *Wallet {
	tb.Helper()
	s := Start(tb)
	return &Wallet{
		Session: s, Begin: s.StartLocked, Kill: s.StopDaemon, Shut: s.Lock,
		Quit: func() {
			tb.Helper()
			if err := s.daemon.Process.Signal(syscall.SIGTERM); err != nil {
				tb.Fatal(err)
			}
			s.awaitOwner(false)
		},
		Asks: func() bool { return s.Showing() > 0 },
		Answer: func(yes bool) {
			tb.Helper()
			until(tb, "gnome-keyring asks", func() bool { return s.Showing() > 0 })
			s.Person(map[bool]Reaction{true: Consents, false: Cancels}[yes])
			until(tb, "it has its answer", func() bool { return s.Showing() == 0 })
			s.Person(Away)
		},
	}
}

// KeePassXC is one with a database whose group Secrets is what its Secret Service offers.
type KeePassXC struct {
	*Wallet
	// Options are lines for the section FdoSecrets of its settings, read when it begins.
	Options string
	// Allowed says how often a person has allowed access to entries, which StartKeePassXC's
	// does for all entries as long as KeePassXC runs.
	Allowed func() int
}

// keePassXCWindow is the title of KeePassXC's question for a database's password.
const keePassXCWindow = "Unlock Database"

// keePassXCAccess is the title of its question for access, which version 2.7.4 asks when a
// connection replaces an entry that another one made, whatever ConfirmAccessItem says.
const keePassXCAccess = "Access Request"

// StartKeePassXC starts KeePassXC with its database unlocked. It asks before it unlocks and
// when an entry is replaced; with other options more often. It skips the test where it is not installed.
func StartKeePassXC(tb testing.TB) *KeePassXC {
	tb.Helper()
	s, x := startScreened(tb, "keepassxc", "keepassxc-cli")
	w := &KeePassXC{Wallet: &Wallet{Session: s, Screen: x}, Options: "ConfirmAccessItem=false\nConfirmDeleteItem=false\n"}
	s.cli("db-create", "-p", s.path("db.kdbx"))
	s.cli("mkdir", s.path("db.kdbx"), "Secrets")
	// The database says itself which group it offers.
	text := s.cli("export", s.path("db.kdbx"))
	group := regexp.MustCompile(`<UUID>([^<]*)</UUID>\s*<Name>Secrets</Name>`).FindStringSubmatch(text)
	if group == nil {
		tb.Fatalf("KeePassXC made no group: %s", text)
	}
	id, err := base64.StdEncoding.DecodeString(group[1])
	if err != nil || len(id) != 16 {
		tb.Fatalf("the group's id is %q", group[1])
	}
	h := hex.EncodeToString(id)
	offered := fmt.Sprintf("<CustomData><Item><Key>FDO_SECRETS_EXPOSED_GROUP</Key><Value>{%s-%s-%s-%s-%s}</Value></Item></CustomData></Meta>", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
	s.write("db.xml", strings.Replace(text[strings.Index(text, "<?xml"):], "</Meta>", offered, 1))
	if err := os.Remove(s.path("db.kdbx")); err != nil {
		tb.Fatal(err)
	}
	s.cli("import", "-p", s.path("db.xml"), s.path("db.kdbx"))

	w.Begin = func() {
		tb.Helper()
		// Without SingleInstance=false it ends where the user has another KeePassXC, or a test.
		s.write("config/keepassxc/keepassxc.ini", "[General]\nSingleInstance=false\nUpdateCheckMessageShown=true\n[GUI]\nCheckForUpdates=false\n[Security]\nLockDatabaseIdle=false\n[FdoSecrets]\nEnabled=true\n"+w.Options)
		s.startProvider(x, "keepassxc", s.path("db.kdbx"))
	}
	w.Kill = s.killProvider
	w.Quit = func() {
		tb.Helper()
		// It does not quit while it saves, and forgets that it was to.
		for begin := time.Now(); time.Since(begin) < patience; {
			w.call("appExit")
			if w.ends(2 * time.Second) {
				return
			}
		}
		tb.Fatal("KeePassXC does not quit")
	}
	w.Shut = func() {
		tb.Helper()
		w.call("lockAllDatabases")
		until(tb, "KeePassXC locks its database", w.locked)
	}
	w.Asks = func() bool { return x.Shows(keePassXCWindow) }
	w.Answer = func(yes bool) {
		tb.Helper()
		if yes {
			x.Answer(keePassXCWindow, "ctrl+a", "="+Password, "Return")
		} else {
			x.Answer(keePassXCWindow, "Escape")
		}
	}
	w.Allowed = x.AnswerAll(keePassXCAccess, "alt+f") // Allow All & Future
	w.Begin()
	w.Open()
	return w
}

// AwaitAllowed waits until access was allowed more often than that, and no such question is
// on the screen: KeePassXC 2.7.4 does not lock with one, or crashes. It returns how often.
func (w *KeePassXC) AwaitAllowed(more int) int {
	w.tb.Helper()
	until(w.tb, "KeePassXC asks for access, and is answered", func() bool { return w.Allowed() > more && !w.Screen.Shows(keePassXCAccess) })
	return w.Allowed()
}

// Open unlocks the database, as in KeePassXC's own window.
func (w *KeePassXC) Open() {
	w.tb.Helper()
	w.call("openDatabase", w.path("db.kdbx"), Password)
	until(w.tb, "KeePassXC opens its database", func() bool { return !w.locked() })
}

// Export is all that the database on the disk has, in XML, with the history of its entries
// and the recycle bin.
func (w *KeePassXC) Export() string { w.tb.Helper(); return w.cli("export", w.path("db.kdbx")) }

// locked tells whether the service's collection is.
func (s *Session) locked() bool {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tb.Context(), patience)
	defer cancel()
	var path dbus.ObjectPath
	err := s.conn.Object(secretsName, secretsPath).CallWithContext(ctx, service+".ReadAlias", 0, "default").Store(&path)
	var locked dbus.Variant
	if err == nil {
		err = s.conn.Object(secretsName, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, "org.freedesktop.Secret.Collection", "Locked").Store(&locked)
	}
	if err != nil {
		s.tb.Fatalf("the collection %s: %v", path, err)
	}
	return locked.Value() == true
}

func (w *KeePassXC) call(method string, args ...any) {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.tb.Context(), patience)
	defer cancel()
	err := w.conn.Object("org.keepassxc.KeePassXC.MainWindow", "/keepassxc").CallWithContext(ctx, "org.keepassxc.KeePassXC.MainWindow."+method, 0, args...).Err
	if err != nil {
		w.tb.Fatalf("KeePassXC, %s: %v", method, err)
	}
}

// kWalletWindow is the title of all windows of KWallet.
const kWalletWindow = "KDE Wallet Service"

// StartKWallet starts KWallet without a wallet: First goes through its assistant. It skips
// the test where it is not installed.
func StartKWallet(tb testing.TB) *Wallet {
	tb.Helper()
	s, x := startScreened(tb, "kwalletd5")
	s.write("config/kwalletrc", "[Wallet]\nEnabled=true\nFirst Use=false\nPrompt on Open=false\nLeave Open=true\n")
	call := func(object, method string) {
		tb.Helper()
		ctx, cancel := context.WithTimeout(tb.Context(), patience)
		defer cancel()
		if err := s.conn.Object("org.kde.kwalletd5", dbus.ObjectPath(object)).CallWithContext(ctx, method, 0).Err; err != nil {
			tb.Fatalf("KWallet, %s: %v", method, err)
		}
	}
	w := &Wallet{
		Session: s, Screen: x,
		Begin: func() { tb.Helper(); s.startProvider(x, "kwalletd5") },
		Kill:  s.killProvider,
		Quit: func() {
			tb.Helper()
			call("/MainApplication", "org.qtproject.Qt.QCoreApplication.quit")
			if !s.ends(patience) {
				tb.Fatal("KWallet does not quit")
			}
		},
		Shut: func() {
			tb.Helper()
			call("/modules/kwalletd5", "org.kde.KWallet.closeAllWallets")
			until(tb, "KWallet closes its wallet", s.locked)
		},
		// By keys, since the places of buttons depend on the fonts. The assistant offers GPG,
		// for which there is no key here; Finish (Alt+F) is only there for the other choice.
		First: func() {
			tb.Helper()
			x.Answer(kWalletWindow, "shift+Tab", "shift+Tab", "Up", "space", "alt+f")
			x.Answer(kWalletWindow, "ctrl+a", "="+Password, "Tab", "ctrl+a", "="+Password, "Return", "shift+Tab")
		},
		Asks: func() bool { return x.Shows(kWalletWindow) },
		Answer: func(yes bool) {
			tb.Helper()
			if yes {
				x.Answer(kWalletWindow, "ctrl+a", "="+Password, "Return")
			} else {
				x.Answer(kWalletWindow, "Escape")
			}
		},
		SavesAfter: 5 * time.Second, // _syncTime in kwalletd.cpp
	}
	w.Begin()
	return w
}

// Content is that of the item that the program keeps for an account, empty where there is
// none.
func (s *Session) Content(program, account string) string {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tb.Context(), patience)
	defer cancel()
	object := s.conn.Object(secretsName, secretsPath)
	var unlocked, locked []dbus.ObjectPath
	err := object.CallWithContext(ctx, service+".SearchItems", 0, map[string]string{"service": program, "username": account}).Store(&unlocked, &locked)
	if err != nil || len(locked) > 0 || len(unlocked) > 1 {
		s.tb.Fatalf("search for %s: %v, %v, %v", account, unlocked, locked, err)
	}
	if len(unlocked) == 0 {
		return ""
	}
	return s.secret(ctx, unlocked[0])
}

// All has the service unlocked, and returns the content of all items that it has.
func (w *Wallet) All() (all []string) {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.tb.Context(), 2*patience)
	defer cancel()
	object := w.conn.Object(secretsName, secretsPath)
	var collection, prompt dbus.ObjectPath
	var unlocked, items []dbus.ObjectPath
	err := object.CallWithContext(ctx, service+".ReadAlias", 0, "default").Store(&collection)
	if err == nil {
		err = object.CallWithContext(ctx, service+".Unlock", 0, []dbus.ObjectPath{collection}).Store(&unlocked, &prompt)
	}
	if err == nil && prompt != nothing {
		err = w.conn.Object(secretsName, prompt).CallWithContext(ctx, "org.freedesktop.Secret.Prompt.Prompt", 0, "").Err
	}
	if err != nil {
		w.tb.Fatalf("unlock %s: %v", collection, err)
	}
	w.Answer(true)
	until(w.tb, "it is unlocked", func() bool { return !w.locked() })
	var found dbus.Variant
	err = w.conn.Object(secretsName, collection).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, "org.freedesktop.Secret.Collection", "Items").Store(&found)
	if err == nil {
		err = found.Store(&items)
	}
	if err != nil {
		w.tb.Fatalf("the items of %s: %v", collection, err)
	}
	for _, item := range items {
		all = append(all, w.secret(ctx, item))
	}
	return all
}

// secret reads an item.
func (s *Session) secret(ctx context.Context, item dbus.ObjectPath) string {
	s.tb.Helper()
	var ignored dbus.Variant
	var session dbus.ObjectPath
	if err := s.conn.Object(secretsName, secretsPath).CallWithContext(ctx, service+".OpenSession", 0, "plain", dbus.MakeVariant("")).Store(&ignored, &session); err != nil {
		s.tb.Fatal(err)
	}
	var secret struct {
		Session     dbus.ObjectPath
		Parameters  []byte
		Value       []byte
		ContentType string
	}
	if err := s.conn.Object(secretsName, item).CallWithContext(ctx, "org.freedesktop.Secret.Item.GetSecret", 0, session).Store(&secret); err != nil {
		s.tb.Fatalf("read %s: %v", item, err)
	}
	return string(secret.Value)
}

// cli runs keepassxc-cli, which asks for the database's password twice at most.
func (s *Session) cli(args ...string) string {
	s.tb.Helper()
	cmd := exec.Command("keepassxc-cli", args...)
	cmd.Env = s.Env()
	cmd.Stdin = strings.NewReader(Password + "\n" + Password + "\n")
	out, err := cmd.Output()
	if err != nil {
		s.tb.Fatalf("keepassxc-cli %v: %v: %s", args, err, out)
	}
	return string(out)
}

// startScreened starts a session with a screen, for a service with windows. It skips the
// test where one of its programs is not installed.
func startScreened(tb testing.TB, programs ...string) (*Session, *Screen) {
	tb.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			tb.Skipf("%s is not installed", program)
		}
	}
	x := StartScreen(tb)
	s := StartBus(tb)
	s.more = []string{"DISPLAY=" + x.Display(), "QT_QPA_PLATFORM=xcb", "QT_QUICK_BACKEND=software"}
	return s, x
}

// startProvider starts a program with a Secret Service and windows, which killProvider kills.
func (s *Session) startProvider(x *Screen, program string, args ...string) {
	s.tb.Helper()
	log, err := os.OpenFile(s.path("provider.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Env = s.Env()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // an error: it was killed
	s.daemon, s.ended = cmd, ended
	s.tb.Cleanup(func() {
		x.picture()
		_ = cmd.Process.Kill()
		<-ended
	})
	s.awaitOwner(true)
}

func (s *Session) killProvider() {
	s.tb.Helper()
	_ = s.daemon.Process.Kill() // an error: it has ended
	<-s.ended
	s.awaitOwner(false)
}

// ends waits until the provider has ended by itself; false: it has not.
func (s *Session) ends(limit time.Duration) bool {
	s.tb.Helper()
	select {
	case <-s.ended:
		s.awaitOwner(false)
		return true
	case <-time.After(limit):
		return false
	}
}

func (s *Session) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Session) write(name, content string) {
	s.tb.Helper()
	err := os.MkdirAll(filepath.Dir(s.path(name)), 0o700)
	if err == nil {
		err = os.WriteFile(s.path(name), []byte(content), 0o600)
	}
	if err != nil {
		s.tb.Fatal(err)
	}
}

// until waits for what another program does.
func until(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("never: %s", what)
		}
	}
}
