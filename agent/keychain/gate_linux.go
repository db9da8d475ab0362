package keychain

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/sessionbus"
)

// The Secret Service API draft 0.2 of freedesktop.org.
const (
	busName          = "org.freedesktop.DBus"
	secretsName      = "org.freedesktop.secrets"
	secretsPath      = dbus.ObjectPath("/org/freedesktop/secrets")
	loginCollection  = secretsPath + "/collection/login"
	serviceInterface = "org.freedesktop.Secret.Service"
	collectionIface  = "org.freedesktop.Secret.Collection"
	promptInterface  = "org.freedesktop.Secret.Prompt"
	noObject         = dbus.ObjectPath("/")
)

// newGate makes the gate of the Secret Service.
func newGate() gate { return &secretService{} }

// secretService speaks to the Secret Service over a connection of its own each
// time: the one that go-keyring shares with the rest of the program is closed
// by the tray, and takes any signal on it for the answer to a prompt.
type secretService struct {
	heard *dbus.Conn // go-keyring's connection, once it hears of the service's end
}

// connect joins the session bus.
func connect(ctx context.Context) (*dbus.Conn, error) {
	conn, err := sessionbus.Connect(ctx)
	switch {
	case errors.Is(err, sessionbus.ErrNone):
		return nil, fmt.Errorf("%w: no session bus; start the agent in a desktop session, or with --store file", ErrMissing)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", busError(ctx, err), err)
	}
	return conn, nil
}

func (s *secretService) check(ctx context.Context) error {
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	collection, err := defaultCollection(ctx, conn)
	if err != nil {
		return err
	}
	if collection == noObject {
		return ErrNoKeyring
	}
	locked, err := isLocked(ctx, conn, collection)
	if err != nil {
		return err
	}
	if locked {
		return ErrLocked
	}
	return s.hear(ctx)
}

// hear has go-keyring's connection hear of it when the Secret Service ends. go-keyring 0.2.8
// waits for a question's answer for ever, also when the service that asks it is killed, but
// takes any signal for the answer; what it did is read back anyway.
func (s *secretService) hear(ctx context.Context) error {
	conn, err := dbus.SessionBus() // go-keyring's, which stays until the bus ends
	if err != nil {
		return fmt.Errorf("%w: %w", busError(ctx, err), err)
	}
	if conn == s.heard {
		return nil
	}
	if err := watchOwner(ctx, conn); err != nil {
		return err
	}
	s.heard = conn
	return nil
}

// ownerChanged is the bus's signal that a name's program has ended, or another has begun.
const ownerChanged = "NameOwnerChanged"

// watchOwner has the bus tell conn when the Secret Service's program ends or begins.
func watchOwner(ctx context.Context, conn *dbus.Conn) error {
	err := conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(busName), dbus.WithMatchInterface(busName),
		dbus.WithMatchMember(ownerChanged), dbus.WithMatchArg(0, secretsName))
	if err != nil {
		return serviceError(ctx, err)
	}
	return nil
}

// defaultCollection is the collection that go-keyring 0.2.8 uses: login, else the
// default alias; noObject if there is neither.
func defaultCollection(ctx context.Context, conn *dbus.Conn) (dbus.ObjectPath, error) {
	var all []dbus.ObjectPath
	if err := property(ctx, conn, secretsPath, serviceInterface, "Collections", &all); err != nil {
		return "", err
	}
	for _, path := range all {
		if path == loginCollection {
			return path, nil
		}
	}
	var path dbus.ObjectPath
	err := conn.Object(secretsName, secretsPath).CallWithContext(ctx, serviceInterface+".ReadAlias", 0, "default").Store(&path)
	if err != nil {
		return "", serviceError(ctx, err)
	}
	return path, nil
}

func isLocked(ctx context.Context, conn *dbus.Conn, collection dbus.ObjectPath) (bool, error) {
	locked := true
	err := property(ctx, conn, collection, collectionIface, "Locked", &locked)
	return locked, err
}

// property reads one property of the Secret Service into v.
func property(ctx context.Context, conn *dbus.Conn, path dbus.ObjectPath, iface, name string, v any) error {
	var val dbus.Variant
	err := conn.Object(secretsName, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, iface, name).Store(&val)
	if err == nil {
		err = val.Store(v)
	}
	if err != nil {
		return serviceError(ctx, err)
	}
	return nil
}

func (s *secretService) open(ctx context.Context) error {
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	service := conn.Object(secretsName, secretsPath)
	collection, err := defaultCollection(ctx, conn)
	if err != nil {
		return err
	}
	var prompt dbus.ObjectPath
	if collection == noObject {
		// libsecret uses this label too. The prompt asks for a new password.
		label := map[string]dbus.Variant{collectionIface + ".Label": dbus.MakeVariant("Default keyring")}
		err = service.CallWithContext(ctx, serviceInterface+".CreateCollection", 0, label, "default").Store(&collection, &prompt)
	} else {
		var unlocked []dbus.ObjectPath
		err = service.CallWithContext(ctx, serviceInterface+".Unlock", 0, []dbus.ObjectPath{collection}).Store(&unlocked, &prompt)
	}
	if err != nil {
		return serviceError(ctx, err)
	}
	if prompt != noObject {
		if err := ask(ctx, conn, prompt); err != nil {
			return err
		}
	}
	return s.check(ctx)
}

// ask shows a prompt and waits until the person has answered. A prompt without an
// answer stays on the screen, where a late answer still unlocks: gnome-keyring 42.1
// crashes when asked to dismiss one (tried).
func ask(ctx context.Context, conn *dbus.Conn, prompt dbus.ObjectPath) error {
	completed := []dbus.MatchOption{
		dbus.WithMatchObjectPath(prompt), dbus.WithMatchInterface(promptInterface), dbus.WithMatchMember("Completed"),
	}
	if err := conn.AddMatchSignalContext(ctx, completed...); err != nil {
		return serviceError(ctx, err)
	}
	if err := watchOwner(ctx, conn); err != nil {
		return err
	}
	signals := make(chan *dbus.Signal, 8)
	conn.Signal(signals)
	object := conn.Object(secretsName, prompt)
	if err := object.CallWithContext(ctx, promptInterface+".Prompt", 0, "").Err; err != nil {
		return serviceError(ctx, err)
	}
	for {
		select {
		case sig, ok := <-signals:
			if !ok {
				return fmt.Errorf("%w: the session bus ended during its question; start the agent anew in a desktop session", ErrMissing)
			}
			if sig.Sender == busName && sig.Name == busName+"."+ownerChanged {
				return fmt.Errorf("%w: its program ended during its question; start it, then try again", ErrMissing)
			}
			if sig.Path != prompt || sig.Name != promptInterface+".Completed" {
				continue
			}
			if len(sig.Body) > 0 && sig.Body[0] == true {
				return fmt.Errorf("%w: the question was closed without an answer", ErrLocked)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%w: nobody answered its question", ErrSilent)
		}
	}
}

// KeePassXC 2.7.4 has this name on the connection that its Secret Service is on, and keeps
// the earlier values of an entry, as many as its database says; 10 if nobody has changed
// that.
const (
	keePassXC        = "org.keepassxc.KeePassXC.MainWindow"
	keePassXCHistory = 10
)

func (*secretService) history(ctx context.Context) int {
	conn, err := connect(ctx)
	if err != nil {
		return 0
	}
	defer conn.Close()
	owner := func(name string) (id string) {
		_ = conn.BusObject().CallWithContext(ctx, busName+".GetNameOwner", 0, name).Store(&id) // an error: nobody has it
		return id
	}
	if id := owner(keePassXC); id != "" && id == owner(secretsName) {
		return keePassXCHistory
	}
	return 0
}

// recorded relies on the signal of KeePassXC 2.7.4 for a changed entry: what turns it off
// while the database is saved (Database::writeDatabase) keeps the history as it is, too
// (Entry::endUpdate).
func (*secretService) recorded(ctx context.Context, write func() error) (bool, error) {
	conn, err := connect(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	const changed = "ItemChanged"
	err = conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(secretsName), dbus.WithMatchInterface(collectionIface), dbus.WithMatchMember(changed))
	if err != nil {
		return false, serviceError(ctx, err)
	}
	signals := make(chan *dbus.Signal, 32)
	conn.Signal(signals)
	if err := write(); err != nil {
		return false, err
	}
	// The signals of the write come before the answer to what is asked after it.
	if _, err := defaultCollection(ctx, conn); err != nil {
		return false, err
	}
	for {
		select {
		case sig := <-signals:
			if sig.Name == collectionIface+"."+changed {
				return true, nil
			}
		default:
			return false, nil
		}
	}
}

// serviceError wraps an error of a call to the Secret Service.
func serviceError(ctx context.Context, err error) error {
	return fmt.Errorf("%w: the Secret Service: %w", busError(ctx, err), err)
}

// busError tells the meaning of an error of D-Bus for the keychain.
func busError(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrSilent
	}
	return systemError(err)
}

// systemError tells the meaning of an error that go-keyring passes on.
func systemError(err error) error {
	var e dbus.Error
	if !errors.As(err, &e) {
		// go-keyring 0.2.8 says so where the service has unlocked nothing, as KeePassXC while
		// its question is on the screen.
		if strings.HasPrefix(err.Error(), "failed to unlock correct collection") {
			return ErrLocked
		}
		return ErrFailing
	}
	switch e.Name {
	case "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner":
		return ErrMissing
	case "org.freedesktop.Secret.Error.IsLocked":
		return ErrLocked
	case "org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Timeout", "org.freedesktop.DBus.Error.TimedOut":
		return ErrSilent
	}
	return ErrFailing
}
