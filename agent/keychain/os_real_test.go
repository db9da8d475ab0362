//go:build real && linux

package keychain

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zalando/go-keyring"

	"langkeep/agent/keychain/keychaintest"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
)

func openOS(t *testing.T, service string) Store {
	t.Helper()
	s := NewOS(service, slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(func() { s.Close() })
	return s
}

func TestRealStore(t *testing.T) {
	session := keychaintest.Start(t)
	session.Enter(t)
	s := openOS(t, "langkeep")
	if s.Kind() != "keychain" {
		t.Error(s.Kind())
	}
	testStore(t, s, func(account, data string) {
		if err := keyring.Set("langkeep", account, data); err != nil {
			t.Fatal(err)
		}
	}, func() Store { return openOS(t, "langkeep") })
	if n := session.Prompts(); n != 0 {
		t.Errorf("%d prompts", n)
	}
}

func TestRealSizes(t *testing.T) {
	keychaintest.Start(t).Enter(t)
	s := openOS(t, "langkeep")
	for _, n := range []int{1, 900, 2560, 3000, MaxSecret} {
		it := Item{Secret: secret.New(strings.Repeat("x", n))}
		start := time.Now()
		if err := s.Set(t.Context(), "prod/refresh-token", it); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		set := time.Since(start)
		start = time.Now()
		got, err := s.Get(t.Context(), "prod/refresh-token")
		if err != nil || !got.Secret.Equal(it.Secret) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		t.Logf("%d bytes: set %v, get %v", n, set, time.Since(start))
		if _, err := keyring.Get("langkeep", pieceName("prod/refresh-token", "a", 1)); !errors.Is(err, keyring.ErrNotFound) {
			t.Errorf("%d bytes: a piece where none is needed: %v", n, err)
		}
	}
}

// TestRealPieces has a Secret Service keep what Windows' Credential Manager would: the
// whole suite, and 64 KiB in pieces that end with the item.
func TestRealPieces(t *testing.T) {
	keychaintest.Start(t).Enter(t)
	open := func() Store { return openPieces(t) }
	has := func(account string) bool {
		_, err := keyring.Get("langkeep", account)
		if err != nil && !errors.Is(err, keyring.ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	s := open()
	start := time.Now()
	if err := s.Set(t.Context(), account, Item{Secret: secret.New(strings.Repeat("x", MaxSecret))}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes in pieces: set in %v", MaxSecret, time.Since(start))
	if !has(pieceName(account, "a", 26)) || has(pieceName(account, "a", 27)) || has(pieceName(account, "b", 1)) {
		t.Error("it is not in 26 pieces")
	}
	if err := s.Delete(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	for number := range 27 {
		if has(pieceName(account, "a", number+1)) {
			t.Errorf("piece %d is left", number+1)
		}
	}
	testStore(t, s, func(account, data string) {
		if err := keyring.Set("langkeep", account, data); err != nil {
			t.Fatal(err)
		}
	}, open)
}

// openPieces opens a Secret Service's keychain with the little room of Windows' own.
func openPieces(t *testing.T) Store {
	t.Helper()
	s := newOS(osConfig{
		service: "langkeep", ring: goKeyring{}, gate: newGate(), limit: sizeLimit("windows"),
		quick: quickLimit, ask: askLimit, log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() { s.Close() })
	return s
}

// killedRole has this test binary, run again, be the program that is killed.
const killedRole = "LANGKEEP_TEST_ROLE"

// TestRealPiecesKilled kills a program, again and again, that replaces a long secret by
// another: a reader finds one of them whole, and no piece is left over at the end.
func TestRealPiecesKilled(t *testing.T) {
	secrets := []Item{{Secret: secret.New(strings.Repeat("a", 20000))}, {Secret: secret.New(strings.Repeat("b", 30000))}}
	if os.Getenv(killedRole) == "writer" {
		s := openPieces(t)
		for i := 0; ; i++ {
			if err := s.Set(t.Context(), account, secrets[i%2]); err != nil {
				t.Fatal(err)
			}
			os.Stdout.WriteString("set\n")
		}
	}
	keychaintest.Start(t).Enter(t)
	s := openPieces(t)
	middle := 0
	for round := range 20 {
		writer := exec.Command(os.Args[0], "-test.run=^TestRealPiecesKilled$")
		writer.Env = append(os.Environ(), killedRole+"=writer")
		out, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "set\n" {
			t.Fatalf("the program says %q, %v", line, err)
		}
		time.Sleep(time.Duration(round) * 11 * time.Millisecond) // into another moment of its next writes
		if err := writer.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = writer.Wait() // it was killed
		it, err := s.Get(t.Context(), account)
		if err != nil || !sameItem(it, secrets[0]) && !sameItem(it, secrets[1]) {
			t.Fatalf("after kill %d: %d bytes, %v", round, len(it.Secret.Reveal()), err)
		}
		data, err := encode(account, it)
		if err != nil {
			t.Fatal(err)
		}
		left := -len(s.(*osStore).split(data)) // pieces that the head does not name
		for _, set := range pieceSets {
			for number := range maxPieces {
				if _, err := keyring.Get("langkeep", pieceName(account, set, number+1)); err != nil {
					break
				}
				left++
			}
		}
		if left > 0 {
			middle++
		}
	}
	t.Logf("in %d of 20 rounds it was killed between two writes", middle)
	if middle == 0 {
		t.Error("it was never killed between two writes")
	}
	if err := s.Delete(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	for _, set := range pieceSets {
		for number := range maxPieces {
			if _, err := keyring.Get("langkeep", pieceName(account, set, number+1)); !errors.Is(err, keyring.ErrNotFound) {
				t.Errorf("piece %s%d: %v", set, number+1, err)
			}
		}
	}
}

func TestRealLocked(t *testing.T) {
	session := keychaintest.Start(t)
	session.Enter(t)
	s, ctx := openOS(t, "langkeep"), t.Context()
	if err := s.Set(ctx, "prod/password", everything); err != nil {
		t.Fatal(err)
	}
	session.Lock()
	start := time.Now()
	_, get := s.Get(ctx, "prod/password")
	for what, err := range map[string]error{
		"get": get, "ready": s.Ready(ctx), "set": s.Set(ctx, "prod/password", Item{Secret: secret.New("new")}),
		"delete": s.Delete(ctx, "prod/password"),
	} {
		if !errors.Is(err, ErrLocked) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("locked: answers only after %v", took)
	}
	if n := session.Prompts(); n != 0 {
		t.Errorf("%d prompts that nobody asked for", n)
	}
	session.Unlock()
	if it, err := s.Get(ctx, "prod/password"); err != nil || !sameItem(it, everything) {
		t.Errorf("unlocked again: %+v, %v", it, err)
	}
}

func TestRealUnlock(t *testing.T) {
	session := keychaintest.Start(t)
	session.Enter(t)
	c := osConfig{service: "langkeep", ring: goKeyring{}, gate: newGate(), quick: quickLimit, ask: time.Second, log: slog.New(slog.DiscardHandler)}
	s, ctx := newOS(c), t.Context()
	defer s.Close()
	if err := s.Set(ctx, "prod/password", everything); err != nil {
		t.Fatal(err)
	}
	session.Lock()

	session.Person(keychaintest.Away)
	done := make(chan error)
	go func() { done <- s.Unlock(ctx) }()
	eventually(t, "the prompt shows", func() bool { return session.Showing() == 1 })
	if _, err := s.Get(ctx, "prod/password"); !errors.Is(err, ErrLocked) {
		t.Errorf("get during the prompt: %v", err)
	}
	if err := <-done; !errors.Is(err, ErrSilent) {
		t.Errorf("nobody answered: %v", err)
	}
	session.Person(keychaintest.Consents)
	eventually(t, "a late answer unlocks", func() bool { return s.Ready(ctx) == nil })

	session.Lock()
	session.Person(keychaintest.Cancels)
	if err := s.Unlock(ctx); !errors.Is(err, ErrLocked) {
		t.Errorf("the person said no: %v", err)
	}
	session.Person(keychaintest.Consents)
	if err := s.Unlock(ctx); err != nil {
		t.Errorf("the person said yes: %v", err)
	}
	if n := session.Prompts(); n != 3 {
		t.Errorf("%d prompts, want 3", n)
	}
	if it, err := s.Get(ctx, "prod/password"); err != nil || !sameItem(it, everything) {
		t.Errorf("unlocked: %+v, %v", it, err)
	}
}

// TestRealFresh: a keyring daemon that no one ever logged in to has no
// collection; a person's action makes one.
func TestRealFresh(t *testing.T) {
	session := keychaintest.StartBus(t)
	session.StartLocked()
	session.Enter(t)
	s, ctx := openOS(t, "langkeep"), t.Context()
	if err := s.Ready(ctx); !errors.Is(err, ErrMissing) {
		t.Errorf("ready: %v", err)
	}
	if err := s.Set(ctx, "prod/password", everything); !errors.Is(err, ErrMissing) {
		t.Errorf("set: %v", err)
	}
	if n := session.Prompts(); n != 0 {
		t.Errorf("%d prompts that nobody asked for", n)
	}
	session.Person(keychaintest.Consents)
	if err := s.Unlock(ctx); err != nil {
		t.Fatalf("unlock: %v", err)
	}
	if err := s.Set(ctx, "prod/password", everything); err != nil {
		t.Errorf("set: %v", err)
	}
	if it, err := s.Get(ctx, "prod/password"); err != nil || !sameItem(it, everything) {
		t.Errorf("get: %+v, %v", it, err)
	}
}

func TestRealMissing(t *testing.T) {
	session := keychaintest.StartBus(t)
	session.Enter(t)
	s, ctx := openOS(t, "langkeep"), t.Context()
	missing := func(when string) {
		t.Helper()
		_, get := s.Get(ctx, "prod/password")
		for what, err := range map[string]error{"get": get, "ready": s.Ready(ctx), "unlock": s.Unlock(ctx)} {
			if !errors.Is(err, ErrMissing) {
				t.Errorf("%s, %s: %v", when, what, err)
			}
		}
	}
	missing("no keyring daemon")
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+t.TempDir()+"/nothing")
	missing("no bus")
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	os.Unsetenv("DBUS_SESSION_BUS_ADDRESS")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	missing("no address of a bus")
}

func TestRealDaemonKilled(t *testing.T) {
	session := keychaintest.Start(t)
	session.Enter(t)
	s, ctx := openOS(t, "langkeep"), t.Context()
	if err := s.Set(ctx, "prod/password", everything); err != nil {
		t.Fatal(err)
	}
	session.StopDaemon()
	if _, err := s.Get(ctx, "prod/password"); !errors.Is(err, ErrMissing) {
		t.Errorf("killed: %v", err)
	}
	session.StartLocked()
	if _, err := s.Get(ctx, "prod/password"); !errors.Is(err, ErrLocked) {
		t.Errorf("restarted, locked: %v", err)
	}
	session.Unlock()
	if it, err := s.Get(ctx, "prod/password"); err != nil || !sameItem(it, everything) {
		t.Errorf("restarted: %+v, %v", it, err)
	}
	// In the middle: no answer may be wrong, and afterwards all is well.
	stop := make(chan struct{})
	done := make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			err := s.Set(ctx, "prod/refresh-token", everything)
			if errors.Is(err, ErrNotFound) || errors.Is(err, ErrTooBig) {
				done <- err
				return
			}
		}
	}()
	for range 3 {
		session.StopDaemon()
		session.StartDaemon()
	}
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("killed in the middle: %v", err)
	}
	if err := s.Set(ctx, "prod/refresh-token", everything); err != nil {
		t.Errorf("after it all: %v", err)
	}
	if n := session.Prompts(); n != 0 {
		t.Errorf("%d prompts", n)
	}
}

func TestRealServices(t *testing.T) {
	keychaintest.Start(t).Enter(t)
	ctx := t.Context()
	plain := openOS(t, paths.Paths{}.KeychainService())
	other := openOS(t, paths.Paths{Home: "/srv/langkeep"}.KeychainService())
	if err := plain.Set(ctx, "prod/password", everything); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Get(ctx, "prod/password"); !errors.Is(err, ErrNotFound) {
		t.Errorf("seen from another LANGKEEP_HOME: %v", err)
	}
	if err := other.Delete(ctx, "prod/password"); err != nil {
		t.Error(err)
	}
	if _, err := plain.Get(ctx, "prod/password"); err != nil {
		t.Errorf("another LANGKEEP_HOME deleted it: %v", err)
	}
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// A Secret Service may ask before it deletes, and the person may say no.
func TestRealDeleteDismissed(t *testing.T) {
	session := keychaintest.StartBus(t)
	session.Enter(t)
	service := session.StartAsking()
	s, ctx := openOS(t, "langkeep"), t.Context()
	if err := s.Set(ctx, account, everything); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, account); !errors.Is(err, ErrKept) {
		t.Errorf("dismissed: %v", err)
	}
	if it, err := s.Get(ctx, account); err != nil || !sameItem(it, everything) {
		t.Errorf("what stayed: %+v, %v", it, err)
	}
	service.Consent()
	if err := s.Delete(ctx, account); err != nil {
		t.Errorf("allowed: %v", err)
	}
	if _, err := s.Get(ctx, account); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
	if n := service.Asked(); n != 2 {
		t.Errorf("the person was asked %d times", n)
	}
}
