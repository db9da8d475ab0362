package clients

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
)

var quiet = slog.New(slog.DiscardHandler)

// running opens a list and keeps it going until the test is over.
func running(t *testing.T, path string, c clock.Clock) *List {
	t.Helper()
	l := Open(path, c, quiet)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return l
}

func (l *List) mustAdd(t *testing.T, c Client, token string) {
	t.Helper()
	if err := l.Add(c, secret.New(token)); err != nil {
		t.Fatal(err)
	}
}

func (l *List) takes(token string) bool {
	_, _, ok := l.Lookup(token)
	return ok
}

func in(d time.Duration) time.Time { return time.Now().Add(d) }

func TestClientsLiveUntilTheirEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clients.json")
	synctest.Test(t, func(t *testing.T) {
		l := running(t, path, clock.System())
		l.mustAdd(t, Client{Name: "ci", Scopes: []string{"read"}, Profiles: []string{"prod"}, Expires: in(time.Hour)}, "lk_ci")
		c, ended, ok := l.Lookup("lk_ci")
		if !ok || c.Name != "ci" || !slices.Equal(c.Profiles, []string{"prod"}) {
			t.Fatalf("found %+v, %v", c, ok)
		}
		if l.takes("lk_c") || l.takes("lk_ci ") || l.takes("") {
			t.Error("takes a token that is nearly right")
		}
		if err := l.Add(Client{Name: "ci"}, secret.New("lk_other")); !errors.Is(err, ErrExists) {
			t.Errorf("a second one of its name: %v", err)
		}
		if err := l.Add(Client{Name: "no good"}, secret.New("lk_other")); err == nil {
			t.Error("took a bad name")
		}
		data, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(data), "lk_ci") {
			t.Errorf("the file has the token: %s, %v", data, err)
		}
		if again := Open(path, clock.System(), quiet); !again.takes("lk_ci") {
			t.Error("a restart forgets it")
		}
		time.Sleep(time.Hour - time.Second)
		if !l.takes("lk_ci") {
			t.Error("ended early")
		}
		time.Sleep(2 * time.Second)
		select {
		case <-ended:
		default:
			t.Error("who uses it is not told of its end")
		}
		if c, _, ok := l.Lookup("lk_ci"); ok || c == nil {
			t.Errorf("after its end: %v, %v", c, ok)
		}
		if len(l.All()) != 1 {
			t.Error("not listed any more")
		}
		time.Sleep(remembered)
		if all := Open(path, clock.System(), quiet).All(); len(all) != 0 {
			t.Errorf("still listed after a week: %v", all)
		}
	})
}

func TestClientsAreRevoked(t *testing.T) {
	l := Open(filepath.Join(t.TempDir(), "clients.json"), clock.System(), quiet)
	l.mustAdd(t, Client{Name: "a", Profiles: []string{"prod"}, Expires: in(time.Hour)}, "lk_a")
	l.mustAdd(t, Client{Name: "b", Profiles: []string{"prod", "test"}, Expires: in(time.Hour)}, "lk_b")
	l.mustAdd(t, Client{Name: "c", Profiles: []string{"test"}, Expires: in(time.Hour)}, "lk_c")
	if err := l.Forget("prod"); err != nil {
		t.Fatal(err)
	}
	if b, _, ok := l.Lookup("lk_b"); l.takes("lk_a") || !ok || !slices.Equal(b.Profiles, []string{"test"}) {
		t.Errorf("after the profile's end: %+v, %v", b, ok)
	}
	_, ended, _ := l.Lookup("lk_b")
	if err := l.Revoke("b"); err != nil || l.takes("lk_b") {
		t.Errorf("revoked: %v", err)
	}
	<-ended
	if err := l.Revoke("b"); !errors.Is(err, ErrNone) {
		t.Errorf("twice: %v", err)
	}
	names, err := l.RevokeAll(func(c Client) bool { return slices.Contains(c.Profiles, "test") })
	if err != nil || !slices.Equal(names, []string{"c"}) || len(l.All()) != 0 {
		t.Errorf("revoked %v, %v; left %v", names, err, l.All())
	}
}

func TestLeaseOutlivesTheAgentForAWhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clients.json")
	synctest.Test(t, func(t *testing.T) {
		first := Open(path, clock.System(), quiet)
		first.mustAdd(t, Client{Name: "exec-1", Lease: true, Profiles: []string{"prod"}}, "lk_1")
		first.mustAdd(t, Client{Name: "exec-2", Lease: true, Profiles: []string{"prod"}}, "lk_2")
		if _, err := first.Hold("exec-1"); !errors.Is(err, ErrNone) {
			t.Errorf("held twice: %v", err)
		}
		second := running(t, path, clock.System())
		time.Sleep(ResumeWithin - time.Second)
		if !second.takes("lk_1") {
			t.Error("gone before it could be taken up")
		}
		ended, err := second.Hold("exec-1")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if !second.takes("lk_1") || second.takes("lk_2") {
			t.Error("the one that was not taken up must go, and no other")
		}
		time.Sleep(time.Hour)
		if len(second.All()) != 1 {
			t.Errorf("listed: %+v", second.All())
		}
		if err := second.Revoke("exec-1"); err != nil {
			t.Fatal(err)
		}
		<-ended
	})
}

// A client's leases end with it, also at the next agent.
func TestLeaseEndsWithItsGranter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clients.json")
	first := Open(path, clock.System(), quiet)
	first.mustAdd(t, Client{Name: "x", Profiles: []string{"prod"}, Expires: in(time.Hour)}, "lk_x")
	first.mustAdd(t, Client{Name: "exec-1", Lease: true, GrantedBy: "x", Profiles: []string{"prod"}, Expires: in(time.Hour)}, "lk_1")
	first.mustAdd(t, Client{Name: "exec-2", Lease: true, GrantedBy: "exec-1", Profiles: []string{"prod"}, Expires: in(time.Hour)}, "lk_2")
	first.mustAdd(t, Client{Name: "exec-3", Lease: true, Profiles: []string{"prod"}}, "lk_3")
	second := Open(path, clock.System(), quiet)
	for _, name := range []string{"exec-1", "exec-2", "exec-3"} {
		if _, err := second.Hold(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := second.Revoke("x"); err != nil {
		t.Fatal(err)
	}
	if second.takes("lk_1") || second.takes("lk_2") || !second.takes("lk_3") || len(second.All()) != 1 {
		t.Errorf("left: %+v", second.All())
	}
}

func TestClientsThatCannotBeRead(t *testing.T) {
	for name, content := range map[string]string{
		"newer":   `{"schema":2,"clients":[]}`,
		"corrupt": `{"schema":1,"clients":[`,
		"no hash": `{"schema":1,"clients":[{"name":"a","sha256":"00"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "clients.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			l := Open(path, clock.System(), quiet)
			if l.Problem() == nil || !strings.Contains(l.Problem().Error(), path) {
				t.Errorf("said: %v", l.Problem())
			}
			if err := l.Add(Client{Name: "a"}, secret.New("lk_a")); err == nil || l.takes("lk_a") {
				t.Error("added to it")
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != content {
				t.Errorf("it is now %s, %v", now, err)
			}
		})
	}
}

// BenchmarkLookup has how much longer a lookup takes for a token that is wrong
// in one letter, or right, than for one that is wrong in all: the shortest of
// many turns that take turns, which is 1 but for chance.
func BenchmarkLookup(b *testing.B) {
	l := Open("", clock.System(), quiet)
	name := func(n int) string { return fmt.Sprintf("lk_%043d", n) }
	for n := range most {
		if err := l.Add(Client{Name: fmt.Sprint("c", n), Expires: in(time.Hour)}, secret.New(name(n))); err != nil {
			b.Fatal(err)
		}
	}
	first := name(0)
	guesses := []struct{ is, token string }{
		{"all-wrong", "xx_" + strings.Repeat("x", 43)}, {"half-right", first[:23] + strings.Repeat("x", 23)}, {"one-letter-wrong", first[:45] + "x"},
		{"right-first", first}, {"right-last", name(most - 1)},
	}
	shortest := make([]time.Duration, len(guesses))
	for b.Loop() {
		for i, guess := range guesses {
			begin := time.Now()
			l.takes(guess.token)
			if took := time.Since(begin); shortest[i] == 0 || took < shortest[i] {
				shortest[i] = took
			}
		}
	}
	for i, guess := range guesses[1:] {
		b.ReportMetric(float64(shortest[i+1])/float64(shortest[0]), guess.is)
	}
}

// A file that can be read can be added to, and is read again as it was.
func FuzzFile(f *testing.F) {
	f.Add(`{"schema":1,"clients":[{"name":"ci","scopes":["read"],"profiles":["prod"],"created_at":"2026-01-02T03:04:05Z","expires_at":"2026-02-02T03:04:05Z","sha256":"` + strings.Repeat("0a", 32) + `"}]}`)
	f.Add(`{"schema":2}`)
	f.Add(`{"clients":[{"lease":true,"sha256":"00"}]}`)
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(t.TempDir(), "clients.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		l := Open(path, clock.System(), quiet)
		err := l.Add(Client{Name: "new-one", Expires: in(time.Hour)}, secret.New("lk_new"))
		if l.Problem() != nil {
			if now, readErr := os.ReadFile(path); err == nil || readErr != nil || string(now) != content {
				t.Errorf("%v, and it was changed: %s", l.Problem(), now)
			}
			return
		}
		again := Open(path, clock.System(), quiet)
		if again.Problem() != nil || len(again.All()) != len(l.All()) || err == nil && !again.takes("lk_new") {
			t.Errorf("%v: %+v, and then %+v", again.Problem(), l.All(), again.All())
		}
	})
}

// A client that is revoked while the file can't be written must not be back with
// the next agent.
func TestRevokedWhileItCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "clients.json")
	synctest.Test(t, func(t *testing.T) {
		l := running(t, path, clock.System())
		for _, name := range []string{"revoked", "forgotten", "kept"} {
			profile := "prod"
			if name == "forgotten" {
				profile = "gone"
			}
			l.mustAdd(t, Client{Name: name, Scopes: []string{"read"}, Profiles: []string{profile}, Expires: in(time.Hour)}, "lk_"+name)
		}
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		if err := l.Revoke("revoked"); err == nil {
			t.Error("nobody is told that it could not be written down")
		}
		if err := l.Forget("gone"); err == nil {
			t.Error("nobody is told that the profile could not be taken out")
		}
		if l.takes("lk_revoked") || l.takes("lk_forgotten") || !l.takes("lk_kept") {
			t.Error("not ended at once, or too much is")
		}
		if err := l.Add(Client{Name: "new", Profiles: []string{"prod"}, Expires: in(time.Hour)}, secret.New("lk_new")); err == nil || l.takes("lk_new") {
			t.Errorf("a client that is not written down was let in: %v", err)
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(tick + time.Second)
		if next := Open(path, clock.System(), quiet); next.takes("lk_revoked") || next.takes("lk_forgotten") || !next.takes("lk_kept") {
			t.Errorf("the next agent has %+v", next.All())
		}
	})
}

// A file that was mended is taken up without another start.
func TestMendedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clients.json")
	synctest.Test(t, func(t *testing.T) {
		Open(path, clock.System(), quiet).mustAdd(t, Client{Name: "ci", Scopes: []string{"read"}, Profiles: []string{"prod"}, Expires: in(time.Hour)}, "lk_ci")
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, good[:len(good)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		l := running(t, path, clock.System())
		if l.Problem() == nil || l.takes("lk_ci") {
			t.Error("half a file was taken up")
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(tick + time.Second)
		if l.Problem() != nil || !l.takes("lk_ci") {
			t.Errorf("mended: %v", l.Problem())
		}
	})
}

// A client that may give tokens uses up neither the list nor the owner's room.
func TestRoomForTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Open("", clock.System(), quiet)
		n := 0
		give := func(by string) (string, error) {
			n++
			name := fmt.Sprintf("exec-%d", n)
			return name, l.Add(Client{Name: name, Scopes: []string{"read"}, Profiles: []string{"prod"}, Lease: true, GrantedBy: by}, secret.New("lk_"+name))
		}
		// Alone, and through what it has given: the chain counts as one.
		l.mustAdd(t, Client{Name: "greedy", Scopes: []string{"read"}, Profiles: []string{"prod"}, Expires: in(time.Hour)}, "lk_greedy")
		by := "greedy"
		for i := range mostLeases {
			name, err := give(by)
			if err != nil {
				t.Fatalf("lease %d: %v", i, err)
			}
			if i%2 == 0 {
				by = name
			}
		}
		for _, by := range []string{"greedy", by} {
			if _, err := give(by); !errors.Is(err, ErrShare) {
				t.Errorf("one more by %s: %v", by, err)
			}
		}
		// Many together leave room, too.
		for i := range 20 {
			name := fmt.Sprintf("other-%d", i)
			l.mustAdd(t, Client{Name: name, Scopes: []string{"read"}, Profiles: []string{"prod"}, Expires: in(time.Hour)}, "lk_"+name)
			for range mostLeases {
				if _, err := give(name); err != nil && !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
			}
		}
		for i := range 50 {
			if _, err := give(""); err != nil {
				t.Fatalf("the owner's program %d: %v", i, err)
			}
		}
		l.mustAdd(t, Client{Name: "tool", Scopes: []string{"run"}, Profiles: []string{"prod"}, Expires: in(time.Hour)}, "lk_tool")
	})
}

// No client passes for somebody else in the audit log. One of an earlier version
// keeps its token.
func TestReservedNames(t *testing.T) {
	for _, name := range []string{"owner", "page", "exec-0a1b2c3d", LeaseName("mcp")} {
		l := Open("", clock.System(), quiet)
		if err := l.Add(Client{Name: name, Scopes: []string{"read"}, Profiles: []string{"prod"}}, secret.New("lk_x")); !errors.Is(err, ErrName) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"mcp-client", "exec-0a1b2c3", "exec-0a1b2c3d4", "env-0a1b2c3d", "page-2", "mcp"} {
		l := Open("", clock.System(), quiet)
		l.mustAdd(t, Client{Name: name, Scopes: []string{"read"}, Profiles: []string{"prod"}}, "lk_x")
	}
	path := filepath.Join(t.TempDir(), "clients.json")
	line := `{"name": %q, "scopes": ["read"], "profiles": ["prod"], "created_at": "2026-01-02T03:04:05Z", "expires_at": "2096-01-02T03:04:05Z", "lease": %v, "sha256": "%064d"}`
	text := `{"schema": 1, "clients": [` + fmt.Sprintf(line, "owner", false, 1) + "," + fmt.Sprintf(line, "client-owner", false, 2) + "," +
		strings.Replace(fmt.Sprintf(line, "exec-1", true, 3), "{", `{"granted_by": "owner", `, 1) + "]}"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := Open(path, clock.System(), quiet)
	var names []string
	for _, c := range l.All() {
		names = append(names, c.Name)
	}
	if !slices.Equal(names, []string{"client-client-owner", "client-owner", "exec-1"}) {
		t.Errorf("read as %v", names)
	}
	if err := l.Revoke("client-client-owner"); err != nil {
		t.Fatal(err)
	}
	if left := l.All(); len(left) != 1 || left[0].Name != "client-owner" {
		t.Errorf("without the client that was renamed there are %+v: its lease outlives it", left)
	}
}

// Clients whose time is over are listed for a week, and make room for others.
func TestEndedClientsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Open("", clock.System(), quiet)
		for i := range most {
			name := fmt.Sprintf("env-%d", i)
			l.mustAdd(t, Client{Name: name, Scopes: []string{"read"}, Profiles: []string{"prod"}, Expires: in(time.Second)}, "lk_"+name)
		}
		c := Client{Name: "one-more", Scopes: []string{"read"}, Profiles: []string{"prod"}, Expires: in(time.Hour)}
		if err := l.Add(c, secret.New("lk_more")); !errors.Is(err, ErrMany) {
			t.Errorf("while they live: %v", err)
		}
		time.Sleep(2 * time.Second) // of the bubble's
		l.mustAdd(t, c, "lk_more")
		if !l.takes("lk_more") || l.takes("lk_env-1") {
			t.Error("the wrong one is let in")
		}
	})
}

// Every request looks its token up, so no lookup waits for the disk: each change is
// seen, or not seen yet, while the file is being written.
func TestLookupsDuringAWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clients.json")
	client := func(name, profile string) Client {
		return Client{Name: name, Scopes: []string{"run"}, Profiles: []string{profile}, Expires: in(time.Hour)}
	}
	names := func(l *List) string {
		var all []string
		for _, c := range l.All() {
			all = append(all, c.Name)
		}
		return strings.Join(all, " ")
	}
	for name, change := range map[string]struct {
		do   func(l *List) error
		seen string // while the file is written
		then string
	}{
		"Add":       {func(l *List) error { return l.Add(client("new", "prod"), secret.New("lk_new")) }, "a b", "a b new"},
		"Revoke":    {func(l *List) error { return l.Revoke("a") }, "b", "b"},
		"RevokeAll": {func(l *List) error { _, err := l.RevokeAll(func(c Client) bool { return c.Name == "b" }); return err }, "a", "a"},
		"Forget":    {func(l *List) error { return l.Forget("test") }, "a", "a"},
		"Seen":      {func(l *List) error { return l.Seen() }, "a b", "a b"},
		"sweep":     {func(l *List) error { l.sweep(); return nil }, "a", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := Open(path+name, clock.System(), quiet)
				l.mustAdd(t, Client{Name: "a", Scopes: []string{"run"}, Profiles: []string{"prod"}, Expires: in(remembered * 2), Narrowed: true}, "lk_a")
				l.mustAdd(t, client("b", "test"), "lk_b")
				if name == "sweep" {
					time.Sleep(remembered + 2*time.Hour) // b goes
				}
				writes := 0
				l.file = func(path string, data []byte) error {
					writes++
					if !l.mu.TryLock() {
						t.Fatal("who looks a token up waits for the disk")
					}
					l.mu.Unlock()
					if got := names(l); got != change.seen {
						t.Errorf("while it is written there are %q, want %q", got, change.seen)
					}
					for _, name := range []string{"a", "b", "new"} {
						listed := slices.Contains(strings.Fields(change.seen), name)
						_, known := l.Hash(func(hash [32]byte) bool { return hash == sha256.Sum256([]byte("lk_"+name)) })
						if l.takes("lk_"+name) != listed || known != listed {
							t.Errorf("while it is written %s is taken: %v", name, !listed)
						}
					}
					return paths.WriteFile(path, data)
				}
				if err := change.do(l); err != nil || writes != 1 {
					t.Errorf("%v, after %d writes", err, writes)
				}
				if next := Open(path+name, clock.System(), quiet); names(l) != change.then || names(next) != change.then {
					t.Errorf("then there are %q, and in the file %q, want %q", names(l), names(next), change.then)
				}
			})
		})
	}
}

// A client that is revoked, or whose profile is removed, while a lease of it is
// written down takes that along, and does not wait for it to be dead.
func TestRevokedDuringAWrite(t *testing.T) {
	for name, end := range map[string]func(l *List) error{
		"the grantor": func(l *List) error { return l.Revoke("x") },
		"the lease":   func(l *List) error { return l.Revoke("exec-1") },
		"all":         func(l *List) error { _, err := l.RevokeAll(func(Client) bool { return true }); return err },
		"the profile": func(l *List) error { return l.Forget("prod") },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "clients.json")
			l := Open(path, clock.System(), quiet)
			l.mustAdd(t, Client{Name: "x", Profiles: []string{"prod"}, Expires: in(time.Hour)}, "lk_x")
			writing, disk := make(chan struct{}, 2), make(chan struct{})
			l.file = func(path string, data []byte) error {
				writing <- struct{}{}
				<-disk
				return paths.WriteFile(path, data)
			}
			added, revoked := make(chan error, 1), make(chan error, 1)
			go func() {
				added <- l.Add(Client{Name: "exec-1", Lease: true, GrantedBy: "x", Profiles: []string{"prod"}, Expires: in(time.Hour)}, secret.New("lk_1"))
			}()
			<-writing
			go func() { revoked <- end(l) }()
			for begin := time.Now(); ; runtime.Gosched() { // until it is dead
				l.mu.Lock()
				left := named(l.records, "exec-1")
				l.mu.Unlock()
				if left == nil && (name == "the lease" || !l.takes("lk_x")) {
					break
				}
				if time.Since(begin) > 10*time.Second {
					t.Error("it lives until the disk is done")
					break
				}
			}
			close(disk)
			if err := <-added; !errors.Is(err, ErrNone) {
				t.Errorf("the lease came to be: %v", err)
			}
			if err := <-revoked; err != nil {
				t.Error(err)
			}
			if l.takes("lk_1") || Open(path, clock.System(), quiet).takes("lk_1") {
				t.Error("the lease's token is good")
			}
		})
	}
}

// A lease needs a grantor who could still ask for it.
func TestLeaseOfAGrantorThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Open("", clock.System(), quiet)
		for _, name := range []string{"revoked", "over", "without-the-profile", "good"} {
			l.mustAdd(t, Client{Name: name, Profiles: []string{"prod", "test"}, Expires: in(time.Hour)}, "lk_"+name)
		}
		if err := l.Revoke("revoked"); err != nil {
			t.Fatal(err)
		}
		if err := l.Forget("test"); err != nil {
			t.Fatal(err)
		}
		lease := func(by, profile string) error {
			return l.Add(Client{Name: LeaseName("exec"), Lease: true, GrantedBy: by, Profiles: []string{profile}, Expires: in(time.Hour)}, secret.New("lk_1"))
		}
		for by, profile := range map[string]string{"revoked": "prod", "nobody": "prod", "without-the-profile": "test"} {
			if err := lease(by, profile); !errors.Is(err, ErrGrantor) || l.takes("lk_1") {
				t.Errorf("%s: %v", by, err)
			}
		}
		for _, by := range []string{"good", ""} {
			if err := lease(by, "prod"); err != nil {
				t.Errorf("%q: %v", by, err)
			}
		}
		time.Sleep(time.Hour)
		if err := lease("over", "prod"); !errors.Is(err, ErrGrantor) {
			t.Errorf("over: %v", err)
		}
	})
}

// Somebody who takes a client out of the file takes its leases out as well.
func TestLeasesWithoutAGrantorInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clients.json")
	line := `{"name": %q, "scopes": ["read"], "profiles": ["prod"], "created_at": "2026-01-02T03:04:05Z", "lease": true, "granted_by": %q, "sha256": "%064d"}`
	var lines []string
	for i, c := range [][2]string{{"exec-1", "gone"}, {"exec-2", "exec-1"}, {"exec-3", ""}, {"exec-4", "exec-3"}} {
		lines = append(lines, fmt.Sprintf(line, c[0], c[1], i))
	}
	if err := os.WriteFile(path, []byte(`{"schema": 1, "clients": [`+strings.Join(lines, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, c := range Open(path, clock.System(), quiet).All() {
		left = append(left, c.Name)
	}
	if !slices.Equal(left, []string{"exec-3", "exec-4"}) {
		t.Errorf("left are %v", left)
	}
}
