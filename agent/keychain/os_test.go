package keychain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zalando/go-keyring"

	"langkeep/agent/secret"
)

// fakeRing is a ring that a test can break. As the gate it is open unless
// locked.
type fakeRing struct {
	mu       sync.Mutex // protects the following
	items    map[string]string
	inFlight int
	most     int // calls in flight at once
	sets     int
	locked   error
	keeps    bool                                    // Delete says that it is done, and is not
	past     int                                     // how many earlier values it keeps, as KeePassXC does
	saving   func() bool                             // it keeps none now; nil: it always does
	kept     bool                                    // the value before the last Set, as an earlier one
	earlier  map[string][]string                     // these, also of what was deleted, oldest first
	before   func(op string) error                   // runs in each call, outside mu
	change   func(items map[string]string, k string) // runs after each Set
}

func (r *fakeRing) do(op string, f func() error) error {
	r.mu.Lock()
	r.inFlight++
	r.most = max(r.most, r.inFlight)
	before := r.before
	r.mu.Unlock()
	var err error
	if before != nil {
		err = before(op)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	if err != nil {
		return err
	}
	return f()
}

func (r *fakeRing) Get(service, account string) (string, error) {
	var data string
	err := r.do("get", func() error {
		var ok bool
		if data, ok = r.items[service+":"+account]; !ok {
			return keyring.ErrNotFound
		}
		return nil
	})
	return data, err
}

func (r *fakeRing) Set(service, account, data string) error {
	return r.do("set", func() error {
		r.sets++
		r.keep(service+":"+account, data)
		r.items[service+":"+account] = data
		if r.change != nil {
			r.change(r.items, service+":"+account)
		}
		return nil
	})
}

func (r *fakeRing) Delete(service, account string) error {
	return r.do("delete", func() error {
		if _, ok := r.items[service+":"+account]; !ok {
			return keyring.ErrNotFound
		}
		if r.keeps {
			return nil
		}
		r.keep(service+":"+account, "")
		delete(r.items, service+":"+account)
		return nil
	})
}

// keep puts a value that another replaces into the history.
func (r *fakeRing) keep(name, by string) {
	was, ok := r.items[name]
	r.kept = r.past > 0 && ok && was != by && (r.saving == nil || !r.saving())
	if !r.kept {
		return
	}
	if r.earlier == nil {
		r.earlier = map[string][]string{}
	}
	all := append(r.earlier[name], was)
	r.earlier[name] = all[max(0, len(all)-r.past):]
}

func (r *fakeRing) history(context.Context) int { return r.past }

func (r *fakeRing) recorded(_ context.Context, write func() error) (bool, error) {
	err := write()
	return err == nil && r.kept, err
}

func (r *fakeRing) check(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locked
}

func (r *fakeRing) open(ctx context.Context) error {
	return r.do("open", func() error {
		r.locked = nil
		return nil
	})
}

func (r *fakeRing) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func newFake() (*fakeRing, *osStore) {
	r := &fakeRing{items: map[string]string{}}
	return r, newOS(osConfig{
		service: "langkeep", ring: r, gate: r, limit: sizeLimit("windows"),
		quick: quickLimit, ask: askLimit, log: slog.New(slog.DiscardHandler),
	})
}

// bubble runs f with a store over a fake ring in a synctest bubble, which also
// sees that Close leaves no goroutine behind.
func bubble(t *testing.T, f func(t *testing.T, r *fakeRing, s *osStore)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, s := newFake()
		defer s.Close()
		f(t, r, s)
	})
}

func TestOSStore(t *testing.T) {
	bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
		testStore(t, s, func(account, data string) { r.items["langkeep:"+account] = data },
			func() Store { _ = s.Close(); s = newOS(s.osConfig); return s })
	})
}

const account = "prod/refresh-token"

var errOdd = errors.New("the keyring said something odd")

// No fault removes the item that was there, and none makes the store call an item absent
// that may be there.
func TestOSFaults(t *testing.T) {
	huge := Item{Secret: secret.New(strings.Repeat("x", MaxSecret+1))}
	for name, tc := range map[string]struct {
		brk  func(r *fakeRing)
		do   func(ctx context.Context, s *osStore) error
		want error
	}{
		"get, false failure to unlock": {
			func(r *fakeRing) { r.before = fail("get", errOdd) }, get, ErrFailing},
		"set, the old item can't be read": {
			func(r *fakeRing) { r.before = fail("get", errOdd) }, set, ErrFailing},
		"set, refused": {
			func(r *fakeRing) { r.before = fail("set", errOdd) }, set, ErrFailing},
		"set, go-keyring finds it too big": {
			func(r *fakeRing) { r.before = fail("set", keyring.ErrSetDataTooBig) }, set, ErrFailing},
		"delete, refused": {
			func(r *fakeRing) { r.before = fail("delete", errOdd) },
			func(ctx context.Context, s *osStore) error { return s.Delete(ctx, account) }, ErrFailing},
		"delete, its question dismissed": {
			func(r *fakeRing) { r.keeps = true },
			func(ctx context.Context, s *osStore) error { return s.Delete(ctx, account) }, ErrKept},
		"ready, failing": {
			func(r *fakeRing) { r.before = fail("get", errOdd) },
			func(ctx context.Context, s *osStore) error { return s.Ready(ctx) }, ErrFailing},
		"get, locked": {
			func(r *fakeRing) { r.locked = ErrLocked; r.before = fail("get", errors.New("touched")) }, get, ErrLocked},
		"set, missing": {
			func(r *fakeRing) { r.locked = ErrMissing; r.before = fail("set", errors.New("touched")) }, set, ErrMissing},
		"set, too big": {
			func(r *fakeRing) { r.before = fail("get", errors.New("touched")) },
			func(ctx context.Context, s *osStore) error { return s.Set(ctx, account, huge) }, ErrTooBig},
		"unlock, refused": {
			func(r *fakeRing) { r.locked = ErrLocked; r.before = fail("open", ErrLocked) },
			func(ctx context.Context, s *osStore) error { return s.Unlock(ctx) }, ErrLocked},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
				if err := s.Set(t.Context(), account, everything); err != nil {
					t.Fatal(err)
				}
				before := maps.Clone(r.items)
				tc.brk(r)
				if err := tc.do(t.Context(), s); !errors.Is(err, tc.want) || errors.Is(err, ErrNotFound) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if !maps.Equal(r.items, before) {
					t.Error("the items changed")
				}
			})
		})
	}
}

func get(ctx context.Context, s *osStore) error {
	_, err := s.Get(ctx, account)
	return err
}

func set(ctx context.Context, s *osStore) error {
	return s.Set(ctx, account, Item{Secret: secret.New("new")})
}

func fail(op string, err error) func(string) error {
	return func(now string) error {
		if now == op {
			return err
		}
		return nil
	}
}

// TestOSReadBack: a write that can't be read back is no write.
func TestOSReadBack(t *testing.T) {
	for name, change := range map[string]func(map[string]string, string){
		"lost":    func(items map[string]string, k string) { delete(items, k) },
		"changed": func(items map[string]string, k string) { items[k] = items[k][:len(items[k])-2] },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
				r.change = change
				err := set(t.Context(), s)
				if !errors.Is(err, ErrFailing) || errors.Is(err, ErrNotFound) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestOSHangs: nobody waits longer than the limit, or at all behind a call that
// hangs; when it comes back it does not go on, and all is well again.
func TestOSHangs(t *testing.T) {
	bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
		release := make(chan struct{})
		r.before = func(string) error { <-release; return nil }
		start := time.Now()
		if err := set(t.Context(), s); !errors.Is(err, ErrSilent) {
			t.Errorf("the call that hangs: %v", err)
		}
		if took := time.Since(start); took < quickLimit || took > quickLimit+time.Second {
			t.Errorf("it took %v", took)
		}
		start = time.Now()
		for _, err := range []error{get(t.Context(), s), set(t.Context(), s), s.Ready(t.Context()), s.Unlock(t.Context())} {
			if !errors.Is(err, ErrSilent) {
				t.Errorf("a call behind it: %v", err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the calls behind it took %v", took)
		}
		r.set(func() { r.before = nil })
		close(release)
		synctest.Wait()
		if r.sets != 0 {
			t.Error("a call went on after its caller was told that it failed")
		}
		if err := set(t.Context(), s); err != nil {
			t.Errorf("after it came back: %v", err)
		}
	})
}

// A panic of the library under the ring is an error of that call alone.
func TestOSPanics(t *testing.T) {
	for _, op := range []string{"get", "set", "delete"} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
				if err := set(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				r.before = func(now string) error {
					if now == op {
						panic("its connection was closed")
					}
					return nil
				}
				do := map[string]func(context.Context, *osStore) error{"get": get, "set": set, "delete": func(ctx context.Context, s *osStore) error { return s.Delete(ctx, account) }}[op]
				if err := do(t.Context(), s); !errors.Is(err, ErrFailing) || !strings.Contains(err.Error(), "try again") {
					t.Errorf("got %v", err)
				}
				r.before = nil
				if it, err := s.Get(t.Context(), account); err != nil || it.Secret.Reveal() != "new" {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

// TestOSUnlock: a person gets more time than a program, and meanwhile nobody
// else waits.
func TestOSUnlock(t *testing.T) {
	bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
		r.locked = ErrLocked
		r.before = func(op string) error {
			if op == "open" {
				time.Sleep(30 * time.Second)
			}
			return nil
		}
		done := make(chan error)
		go func() { done <- s.Unlock(t.Context()) }()
		synctest.Wait()
		start := time.Now()
		if err := get(t.Context(), s); !errors.Is(err, ErrLocked) {
			t.Errorf("while the person is asked: %v", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it waited %v", took)
		}
		if err := <-done; err != nil {
			t.Errorf("unlock: %v", err)
		}
		if err := get(t.Context(), s); !errors.Is(err, ErrNotFound) {
			t.Errorf("unlocked: %v", err)
		}
	})
}

func TestOSOneCallAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
		r.before = func(string) error { time.Sleep(10 * time.Millisecond); return nil }
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if err := s.Set(t.Context(), ItemName(string(rune('a'+i)), Password), everything); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if r.most != 1 || len(r.items) != 20 {
			t.Errorf("%d calls at once, %d items", r.most, len(r.items))
		}
	})
}

// The store does not wait for a caller that gives up, and does not begin its call.
func TestOSCallerLeaves(t *testing.T) {
	bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
		r.before = func(string) error { time.Sleep(time.Second); return nil }
		go func() { _ = get(t.Context(), s) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := set(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
		if r.sets != 0 {
			t.Error("it was done all the same")
		}
		if err := get(t.Context(), s); !errors.Is(err, ErrNotFound) {
			t.Errorf("the next caller: %v", err)
		}
	})
}

func TestOSClose(t *testing.T) {
	for name, tc := range map[string]struct {
		brk  func(r *fakeRing, release <-chan struct{})
		do   func(ctx context.Context, s *osStore) error
		wait time.Duration // how long after the call was made Close is called
		want error         // of the call
		most time.Duration // that Close may take
	}{
		"waits for a write": {
			func(r *fakeRing, _ <-chan struct{}) {
				r.before = func(string) error { time.Sleep(time.Second); return nil }
			}, set, 0, nil, 5 * time.Second},
		"not for one that hangs": {
			func(r *fakeRing, release <-chan struct{}) { r.before = func(string) error { <-release; return nil } },
			set, 6 * time.Second, ErrSilent, 0},
		"not for a person": {
			func(r *fakeRing, release <-chan struct{}) { r.before = func(string) error { <-release; return nil } },
			func(ctx context.Context, s *osStore) error { return s.Unlock(ctx) }, time.Second, ErrFailing, 0},
		"not for a person who may delete": {
			func(r *fakeRing, release <-chan struct{}) { r.before = func(string) error { <-release; return nil } },
			func(ctx context.Context, s *osStore) error { return s.Delete(ctx, account) }, 6 * time.Second, ErrFailing, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
				release := make(chan struct{})
				defer close(release)
				tc.brk(r, release)
				done := make(chan error, 1)
				go func() { done <- tc.do(t.Context(), s) }()
				synctest.Wait()
				time.Sleep(tc.wait)
				start := time.Now()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > tc.most {
					t.Errorf("Close took %v", took)
				}
				if err := <-done; !errors.Is(err, tc.want) {
					t.Errorf("the call: %v", err)
				}
				if err := get(t.Context(), s); !errors.Is(err, ErrFailing) {
					t.Errorf("after Close: %v", err)
				}
			})
		})
	}
}

func TestSecurityErrors(t *testing.T) {
	for code, want := range map[string]error{
		"36": ErrLocked, "51": ErrLocked, "128": ErrLocked, "44": ErrNotFound, "37": ErrMissing, "50": ErrMissing, "1": ErrFailing,
	} {
		shell := exec.Command("sh", "-c", "exit "+code)
		if runtime.GOOS == "windows" {
			shell = exec.Command("cmd", "/c", "exit "+code)
		}
		if got := securityError(shell.Run()); got != want {
			t.Errorf("exit code %s: %v", code, got)
		}
	}
	if got := securityError(errors.New("odd")); got != ErrFailing {
		t.Errorf("%v", got)
	}
}

func TestCredentialErrors(t *testing.T) {
	for code, want := range map[syscall.Errno]error{1168: ErrNotFound, 1312: ErrMissing, 5: ErrFailing} {
		if got := credentialError(code); got != want {
			t.Errorf("error %d: %v", code, got)
		}
	}
	if got := credentialError(errors.New("odd")); got != ErrFailing {
		t.Errorf("%v", got)
	}
}

// A keychain that keeps what was deleted has no secret then. If a person says no to the
// deletion the secret stays.
func TestOSHistory(t *testing.T) {
	bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
		r.past = 10
		for n := range 15 {
			if err := s.Set(t.Context(), account, Item{Secret: secret.New("hunter" + strings.Repeat("!", n))}); err != nil {
				t.Fatal(err)
			}
		}
		left := func() string { return fmt.Sprint(r.earlier) }
		if !strings.Contains(left(), "hunter") {
			t.Fatal("the fake keeps nothing")
		}
		r.keeps = true
		if err := s.Delete(t.Context(), account); !errors.Is(err, ErrKept) {
			t.Errorf("a person says no: %v", err)
		}
		if it, err := s.Get(t.Context(), account); err != nil || it.Secret.Reveal() != "hunter"+strings.Repeat("!", 14) {
			t.Errorf("what stayed: %v, %v", it, err)
		}
		r.keeps = false
		if err := s.Delete(t.Context(), account); err != nil {
			t.Error(err)
		}
		if strings.Contains(left(), "hunter") || !strings.Contains(left(), `"secret":""`) {
			t.Errorf("it keeps %s", left())
		}
		// What can't be written over can be deleted all the same.
		if err := set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		r.before = fail("set", errOdd)
		if err := s.Delete(t.Context(), account); err != nil {
			t.Error(err)
		}
		if err := get(t.Context(), s); !errors.Is(err, ErrNotFound) {
			t.Errorf("it is there: %v", err)
		}
	})
}

// KeePassXC puts nothing into the history while it saves, which a change has it do. A
// keychain that never records a write does not keep a secret from being deleted.
func TestOSHistoryWhileSaving(t *testing.T) {
	bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
		r.past = 10
		start := time.Now()
		r.saving = func() bool { return time.Since(start)%(1150*time.Millisecond) >= 150*time.Millisecond }
		for n := range 15 {
			if err := s.Set(t.Context(), account, Item{Secret: secret.New("hunter" + strings.Repeat("!", n))}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(200 * time.Millisecond)
		before := time.Now()
		if err := s.Delete(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		if left := fmt.Sprint(r.earlier); strings.Contains(left, "hunter") || !strings.Contains(left, `"secret":""`) {
			t.Errorf("it keeps %s", left)
		}
		if took := time.Since(before); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}

		if err := set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		r.saving = func() bool { return true }
		before = time.Now()
		if err := s.Delete(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(before); took > blankLimit+time.Second {
			t.Errorf("it took %v", took)
		}
		if err := get(t.Context(), s); !errors.Is(err, ErrNotFound) {
			t.Errorf("it is there: %v", err)
		}
	})
}

// A person may be asked before something is deleted, and has as long as for other
// questions. Nobody else waits for them, nor does the end of the agent.
func TestOSDeleteAsks(t *testing.T) {
	bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
		if err := set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		answered := make(chan struct{})
		r.before = func(op string) error {
			if op == "delete" {
				<-answered
			}
			return nil
		}
		done := make(chan error, 1)
		go func() { done <- s.Delete(t.Context(), account) }()
		time.Sleep(quickLimit + time.Second)
		start := time.Now()
		if err := get(t.Context(), s); !errors.Is(err, ErrLocked) || time.Since(start) != 0 {
			t.Errorf("get during the question: %v after %v", err, time.Since(start))
		}
		time.Sleep(time.Minute)
		close(answered)
		if err := <-done; err != nil {
			t.Errorf("a late answer: %v", err)
		}
		if err := get(t.Context(), s); !errors.Is(err, ErrNotFound) {
			t.Errorf("after it: %v", err)
		}

		if err := set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		answered = make(chan struct{})
		defer close(answered)
		go func() { done <- s.Delete(t.Context(), account) }()
		time.Sleep(askLimit + 2*quickLimit)
		if err := <-done; !errors.Is(err, ErrSilent) {
			t.Errorf("no answer: %v", err)
		}
		start = time.Now()
		if err := s.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("close: %v after %v", err, time.Since(start))
		}
	})
}

// A keychain that is killed before it has saved loses what was written last, or has an item
// without content. The store writes it again once it can.
func TestOSLost(t *testing.T) {
	key := "langkeep:" + account
	for name, lose := range map[string]func(r *fakeRing){
		"an earlier value": func(r *fakeRing) { r.items[key] = `{"v":1,"secret":"earlier"}` },
		"no content":       func(r *fakeRing) { r.items[key] = "" },
		"no item":          func(r *fakeRing) { delete(r.items, key) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
				s = onLinux(s)
				defer s.Close()
				if err := s.Set(t.Context(), account, everything); err != nil {
					t.Fatal(err)
				}
				r.set(func() { lose(r); r.locked = ErrMissing })
				time.Sleep(time.Hour)
				r.set(func() { r.locked = nil })
				back := func(within time.Duration) bool {
					for begin := time.Now(); time.Since(begin) <= within; time.Sleep(100 * time.Millisecond) {
						if it, err := s.Get(t.Context(), account); err == nil && sameItem(it, everything) {
							return true
						}
					}
					return false
				}
				if !back(settlePause) {
					t.Error("it did not come back with the keychain")
				}
				// What is lost again meanwhile is written again too.
				time.Sleep(time.Second)
				r.set(func() { lose(r) })
				if !back(s.settle) {
					t.Error("lost once more, it did not come back")
				}
				// Later changes are a person's.
				time.Sleep(s.settle + time.Second)
				r.set(func() { lose(r) })
				time.Sleep(time.Hour)
				if it, err := s.Get(t.Context(), account); err == nil && sameItem(it, everything) {
					t.Error("a late change was taken back")
				}
				if err := s.Set(t.Context(), account, everything); err != nil {
					t.Fatal(err)
				}
				if err := s.Delete(t.Context(), account); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				if err := get(t.Context(), s); !errors.Is(err, ErrNotFound) {
					t.Errorf("a deleted item came back: %v", err)
				}
			})
		})
	}
}

// onLinux is a store in the place of s that proves its items after Linux' time.
func onLinux(s *osStore) *osStore {
	_ = s.Close()
	c := s.osConfig
	c.settle = settleTime("linux")
	return newOS(c)
}

// KeePassXC does not save what was written at the end of a save, until something else is
// written. What a person has deleted meanwhile does not come back.
func TestOSUnsaved(t *testing.T) {
	bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
		s = onLinux(s)
		defer s.Close()
		r.past = 10
		r.saving = func() bool { return true }
		if err := s.Set(t.Context(), account, everything); err != nil {
			t.Fatal(err)
		}
		r.set(func() { r.saving = nil })
		time.Sleep(s.settle + time.Second)
		r.set(func() {
			if !r.kept || r.sets != 2 {
				t.Errorf("%d writes, the last one noticed: %v", r.sets, r.kept)
			}
		})
		if it, err := s.Get(t.Context(), account); err != nil || !sameItem(it, everything) {
			t.Errorf("it is %v: %v", it, err)
		}
		if err := s.Set(t.Context(), account, everything); err != nil {
			t.Fatal(err)
		}
		r.set(func() { delete(r.items, "langkeep:"+account) })
		time.Sleep(time.Hour)
		if err := get(t.Context(), s); !errors.Is(err, ErrNotFound) {
			t.Errorf("after a person has deleted it: %v", err)
		}
	})
}

// KWallet gives an empty secret for an item whose wallet was locked a moment ago.
func TestOSEmpty(t *testing.T) {
	bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
		r.items["langkeep:"+account] = ""
		if err := get(t.Context(), s); !errors.Is(err, ErrNotFound) {
			t.Errorf("an empty item: %v", err)
		}
		r.before = func(op string) error { r.set(func() { r.locked = ErrLocked }); return nil }
		if err := get(t.Context(), s); !errors.Is(err, ErrLocked) {
			t.Errorf("locked in between: %v", err)
		}
	})
}
