package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent"
	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

func all() config.Notify { return config.Default().Notify }

func fromTray(string) string { return "Sign in from the tray menu." }

const (
	ended  = "sign in | The server ended this session. Sign in from the tray menu. [Sign in]"
	normal = "back to normal | Signed in, and refreshes by itself."
)

// screen is a desktop in memory.
type screen struct {
	mu   sync.Mutex // protects the following
	seen []string
}

func (s *screen) show(m Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, said(m))
	return nil
}

// said is a message in a line.
func said(m Message) string {
	if m.Over {
		return "over"
	}
	line := strings.TrimPrefix(m.Title, m.Subject+": ") + " | " + m.Text
	for _, b := range m.Buttons {
		line += " [" + b.Label + "]"
	}
	return line
}

func (s *screen) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// TestRun runs the agent against the stand-in, with tokens of 1 h and 20 h.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := langflowtest.NewInProcess(langflowtest.Options{AccessLifetime: time.Hour, RefreshLifetime: 20 * time.Hour})
		defer server.Close()
		log := slog.New(slog.DiscardHandler)
		a := agent.New(agent.Config{
			Store: keychain.NewMemory(), Clock: clock.System(), Log: log, ProfilesDir: t.TempDir(), Network: func() string { return "" },
			Transport: func([]byte) (http.RoundTripper, error) { return server.RoundTripper(), nil },
		})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		running.Go(func() { a.Run(ctx) })
		changes := a.Subscribe()
		defer a.Unsubscribe(changes)
		desk := &screen{}
		running.Go(func() {
			Run(ctx, Config{Changes: changes, Wanted: all, SignIn: fromTray, Show: desk.show, Clock: clock.System(), Log: log})
		})
		see := func(when string, after time.Duration, want ...string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := desk.take(); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		if _, err := a.Add(config.Profile{Name: "prod", ServerURL: server.URL}); err != nil {
			t.Fatal(err)
		}
		signIn := func() {
			t.Helper()
			_, err := a.Login(ctx, "prod", agent.Credentials{
				Method: "password", Username: "admin", Password: secret.New(langflowtest.Admin().Password),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		signIn()
		see("signed in", 3*time.Hour)
		server.Stop()
		see("retrying", 10*time.Minute)
		see("offline", time.Hour, "offline | Can't reach the server; the session ends in 19 h. [Try now]")
		see("still offline", time.Hour)
		server.Start()
		see("back", 10*time.Minute, normal)
		server.RotateSecret()
		see("refused", 2*time.Hour, ended)
		see("still refused", 5*time.Hour)
		signIn()
		see("signed in again", time.Minute, normal)
	})
}

// changes are given by hand.
type changes chan []agent.Event

func (c changes) Ready() <-chan struct{} {
	ready := make(chan struct{}, 1)
	if len(c) > 0 {
		ready <- struct{}{}
	}
	return ready
}

func (c changes) Take() []agent.Event {
	select {
	case e := <-c:
		return e
	default:
		return nil
	}
}

func TestAHangingDesktopIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refused []agent.Event
		for i := range 2 * waiting {
			refused = append(refused, agent.Event{Snapshot: agent.Snapshot{Profile: config.Profile{Name: fmt.Sprint("p", i)}, State: agent.SignInRequired}})
		}
		given := make(changes, 1)
		given <- refused
		ctx, stop := context.WithCancel(t.Context())
		hangs, shown := make(chan struct{}), 0
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			Run(ctx, Config{
				Changes: given, Wanted: all, SignIn: fromTray, Clock: clock.System(), Log: slog.New(slog.DiscardHandler),
				Show: func(Message) error { <-hangs; shown++; return nil },
			})
		}()
		synctest.Wait()
		stop()
		<-ended
		close(hangs)
		synctest.Wait()
		if shown != waiting && shown != waiting+1 {
			t.Errorf("%d of %d were shown in the end, want %d", shown, 2*waiting, waiting)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const profiles = 50
		var refused []agent.Event
		for i := range profiles {
			refused = append(refused, agent.Event{Snapshot: agent.Snapshot{Profile: config.Profile{Name: fmt.Sprint("p", i)}, State: agent.SignInRequired}})
		}
		given := make(changes, 1)
		given <- refused
		ctx, stop := context.WithCancel(t.Context())
		shown := 0
		go Run(ctx, Config{
			Changes: given, Wanted: all, SignIn: fromTray, Clock: clock.System(), Log: slog.New(slog.DiscardHandler),
			Show: func(Message) error { time.Sleep(5 * time.Millisecond); shown++; return nil },
		})
		time.Sleep(time.Minute)
		stop()
		synctest.Wait()
		if shown != profiles {
			t.Errorf("%d of %d were shown", shown, profiles)
		}
	})
}
