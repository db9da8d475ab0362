package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

// rig is an agent with its server, store and clock in a synctest bubble.
type rig struct {
	t *testing.T
	*Agent
	server *langflowtest.Server
	store  *faultyStore
	clock  *clock.Jumping
	dir    string
	where  atomic.Value // string: the network that the computer is in
	halt   func()

	keysFile string                                     // of the next start; "" keeps it in memory
	way      func(ca []byte) (http.RoundTripper, error) // to servers, of the next start; nil is straight to the stand-in
}

// faultyStore is a memory store that fails on request.
type faultyStore struct {
	keychain.Store
	mu       sync.Mutex
	fault    error // of every call
	setFault error
	unlocked int                             // how often somebody was asked to unlock it
	answer   error                           // of Unlock
	before   func(op, itemName string) error // acts ahead of each call, may be nil
}

func (f *faultyStore) failing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault
}

// call is what happens ahead of a call, which heeds its context as the
// keychain's do.
func (f *faultyStore) call(ctx context.Context, op, itemName string) error {
	f.mu.Lock()
	err, before := f.fault, f.before
	if op == "set" {
		err = errors.Join(err, f.setFault)
	}
	f.mu.Unlock()
	if before != nil {
		err = errors.Join(err, before(op, itemName))
	}
	return errors.Join(err, ctx.Err())
}

// hook has a function act ahead of each call.
func (f *faultyStore) hook(before func(op, itemName string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

func (f *faultyStore) fail(all, set error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.setFault = all, set
}

func (f *faultyStore) Ready(context.Context) error { return f.failing() }

func (f *faultyStore) Unlock(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unlocked++
	if f.answer == nil {
		f.fault = nil
	}
	return f.answer
}

func (f *faultyStore) Get(ctx context.Context, itemName string) (keychain.Item, error) {
	if err := f.call(ctx, "get", itemName); err != nil {
		return keychain.Item{}, err
	}
	return f.Store.Get(ctx, itemName)
}

func (f *faultyStore) Set(ctx context.Context, itemName string, item keychain.Item) error {
	if err := f.call(ctx, "set", itemName); err != nil {
		return err
	}
	return f.Store.Set(ctx, itemName, item)
}

func (f *faultyStore) Delete(ctx context.Context, itemName string) error {
	if err := f.call(ctx, "delete", itemName); err != nil {
		return err
	}
	return f.Store.Delete(ctx, itemName)
}

// bubble runs a test in a bubble with an agent and a server of the given kind.
func bubble(t *testing.T, o langflowtest.Options, test func(r *rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		if o.Version == "" {
			o.Version = "1.13"
		}
		r := &rig{t: t, server: langflowtest.NewInProcess(o), store: &faultyStore{Store: keychain.NewMemory()},
			clock: clock.NewJumping(), dir: dir}
		defer r.server.Close()
		r.start()
		defer func() { r.halt() }()
		test(r)
	})
}

// start starts the agent, as after a restart if there was one before.
func (r *rig) start() {
	r.t.Helper()
	way := r.way
	if way == nil {
		way = func([]byte) (http.RoundTripper, error) { return r.server.RoundTripper(), nil }
	}
	r.Agent = New(Config{
		Store: r.store, Clock: r.clock, Log: slog.New(slog.DiscardHandler), ProfilesDir: r.dir, Transport: way,
		Network:  func() string { where, _ := r.where.Load().(string); return where },
		KeysFile: r.keysFile, LockFile: filepath.Join(r.dir, "locked"),
	})
	r.Reload()
	for _, err := range r.FileErrors() {
		r.t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(done)
	}()
	r.halt = func() {
		cancel()
		<-done
	}
}

// reload reads the profiles' files, and waits until their settings are in force.
func (r *rig) reload() []error {
	r.Reload()
	synctest.Wait()
	return r.FileErrors()
}

func (r *rig) restart() {
	r.halt()
	r.start()
}

// signIn makes a profile and signs it in as the stand-in's admin.
func (r *rig) signIn(name string, remember bool) {
	r.t.Helper()
	r.addProfile(name)
	admin := langflowtest.Admin()
	if _, err := r.Login(r.t.Context(), name, Credentials{Method: "password", Username: admin.Name,
		Password: secret.New(admin.Password), RememberPassword: remember}); err != nil {
		r.t.Fatal(err)
	}
}

// autoLogIn makes a profile and signs it in without a password.
func (r *rig) autoLogIn(name string) {
	r.t.Helper()
	r.addProfile(name)
	if _, err := r.Login(r.t.Context(), name, Credentials{Method: "auto-login"}); err != nil {
		r.t.Fatal(err)
	}
}

// logIn is a person's sign-in with a password, which is not remembered.
func (r *rig) logIn(ctx context.Context, name, username, password string) error {
	_, err := r.Login(ctx, name, Credentials{Method: "password", Username: username, Password: secret.New(password)})
	return err
}

func (r *rig) addProfile(name string) {
	r.t.Helper()
	if _, err := r.Add(config.Profile{Name: name, ServerURL: r.server.URL}); err != nil {
		r.t.Fatal(err)
	}
}

// keeps tells whether the store has the item.
func (r *rig) keeps(itemName string) bool {
	r.t.Helper()
	_, err := r.store.Get(r.t.Context(), itemName)
	if err != nil && !errors.Is(err, keychain.ErrNotFound) {
		r.t.Fatal(err)
	}
	return err == nil
}

func (r *rig) is(name string, want State) Snapshot {
	r.t.Helper()
	synctest.Wait()
	got, err := r.Profile(name)
	if err != nil {
		r.t.Fatal(err)
	}
	if got.State != want {
		r.t.Fatalf("%s is %s (%s), want %s", name, got.State, got.Reason, want)
	}
	return got
}

// accepted tells whether the server takes a token.
func (r *rig) accepted(token secret.Text) bool {
	r.t.Helper()
	c, err := langflow.New(r.server.URL, langflow.Options{Transport: r.server.RoundTripper(), Clock: clock.System()})
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = c.WhoAmI(r.t.Context(), langflow.Bearer(token))
	return err == nil
}

// mustToken reads a token that the server must take.
func (r *rig) mustToken(name string) Grant {
	r.t.Helper()
	grant, err := r.Token(r.t.Context(), name, AnyLifetime)
	if err != nil {
		r.t.Fatal(err)
	}
	if !r.accepted(grant.Token) {
		r.t.Fatalf("the server does not accept the token of %s", name)
	}
	return grant
}

func (r *rig) noToken(name string, want ErrorKind) *Error {
	r.t.Helper()
	_, err := r.Token(r.t.Context(), name, AnyLifetime)
	return r.fails(err, want)
}

func (r *rig) fails(err error, want ErrorKind) *Error {
	r.t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != want {
		r.t.Fatalf("got %v, want a %s", err, want)
	}
	return e
}
