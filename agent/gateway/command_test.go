package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/clock"
)

// fakeProgram is a program that a test writes.
type fakeProgram struct {
	mu    sync.Mutex // protects the following
	runs  []time.Duration
	takes time.Duration
	next  func(n int) result // of the n-th run, from 1
}

func (p *fakeProgram) run(ctx context.Context, _ []string) result {
	p.mu.Lock()
	p.runs = append(p.runs, time.Since(start))
	n, takes, next := len(p.runs), p.takes, p.next
	p.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return result{err: ctx.Err()}
	}
	return next(n)
}

func (p *fakeProgram) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.runs)
}

// start is when every bubble begins.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// prints is what a run gives that prints a line with its number, and lives so long.
func prints(n int, life time.Duration) result {
	return result{stdout: fmt.Appendf(nil, `{"headers":{"a":"%d"},"expires_at":%q}`, n, time.Now().Add(life).Format(time.RFC3339Nano))}
}

func fails(said string) result { return result{stderr: []byte(said), err: errors.New("broke")} }

// rig is a Command of a fake program.
type rig struct {
	*testing.T
	*Command
	program *fakeProgram
	clock   *clock.Jumping
}

// bubble runs f with a Command whose n-th run gives next(n), which may be replaced.
func bubble(t *testing.T, next func(n int) result, f func(r rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, jumping := &fakeProgram{next: next}, clock.NewJumping()
		c := NewCommand([]string{"gcloud", "--password=hunter2"}, "", jumping, slog.New(slog.DiscardHandler))
		c.run = p.run
		defer c.Close()
		f(rig{t, c, p, jumping})
	})
}

// gets is the run that Get's output is of, after all that goes on has come to rest.
func (r rig) gets() string {
	r.Helper()
	o, err := r.Get(r.Context())
	synctest.Wait()
	if err != nil {
		return err.Error()
	}
	return o.Headers["A"].Reveal()
}

func (r rig) want(when, want string, runs int) {
	r.Helper()
	if got := r.gets(); got != want || r.program.count() != runs {
		r.Errorf("%s: %q after %d runs, want %q after %d", when, got, r.program.count(), want, runs)
	}
}

// TestKept: an output is given out until a little before its end.
func TestKept(t *testing.T) {
	for _, tc := range []struct{ life, early time.Duration }{
		{time.Hour, 30 * time.Second}, {time.Minute, 6 * time.Second}, {20 * time.Second, 2 * time.Second},
	} {
		t.Run(tc.life.String(), func(t *testing.T) {
			bubble(t, func(n int) result { return prints(n, tc.life) }, func(r rig) {
				r.want("at first", "1", 1)
				time.Sleep(tc.life - tc.early - time.Millisecond)
				r.want("before", "1", 1)
				time.Sleep(time.Millisecond)
				r.want("a little before its end", "1", 2)
				r.want("then", "2", 2)
				time.Sleep(2 * tc.life)
				r.want("long after its end", "3", 3)
			})
		})
	}
}

// TestEnded: an output that seems to have ended is tried too, since the clock may be
// wrong, and is replaced no sooner than any that is refused.
func TestEnded(t *testing.T) {
	bubble(t, func(n int) result { return prints(n, -time.Hour) }, func(r rig) {
		r.want("at first", "1", 1)
		time.Sleep(leastPause - 2*leastLeft)
		r.want("before", "1", 1)
		time.Sleep(2 * leastLeft)
		r.want("after", "2", 2)
	})
}

// TestJumps: whichever clock is wrong, an output is not kept beyond its end.
func TestJumps(t *testing.T) {
	bubble(t, func(n int) result { return prints(n, time.Hour) }, func(r rig) {
		r.want("at first", "1", 1)
		r.clock.Jump(-24 * time.Hour)
		time.Sleep(58 * time.Minute)
		r.want("the wall clock was set back", "1", 1)
		time.Sleep(2 * time.Minute)
		r.want("after its end", "2", 2)
		r.clock.Jump(25 * time.Hour)
		r.want("the computer has slept", "3", 3)
		r.program.next = func(int) result { return fails("") }
		r.clock.Jump(2 * time.Hour)
		r.want("it fails", "the command gcloud broke", 4)
		r.clock.Jump(-48 * time.Hour)
		time.Sleep(leastPause)
		r.want("it is tried again, the wall clock set back", "the command gcloud broke", 5)
		r.clock.Jump(48 * time.Hour)
		r.want("it is tried again after a sleep", "the command gcloud broke", 6)
	})
}

// TestOneRun: all who wait share a run, and it goes on without one who leaves.
func TestOneRun(t *testing.T) {
	bubble(t, func(n int) result { return prints(n, time.Hour) }, func(r rig) {
		r.program.takes = 20 * time.Second
		var callers sync.WaitGroup
		for i := range 20 {
			callers.Go(func() {
				ctx, cancel := r.Context(), context.CancelFunc(func() {})
				if i == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Second)
				}
				defer cancel()
				o, err := r.Get(ctx)
				if i == 0 && !errors.Is(err, context.DeadlineExceeded) {
					r.Errorf("the one who leaves: %v", err)
				}
				if i > 0 && (err != nil || o.Headers["A"].Reveal() != "1") {
					r.Errorf("%v, %v", shown(o), err)
				}
			})
		}
		callers.Wait()
		r.want("afterwards", "1", 1)
		time.Sleep(time.Hour - 25*time.Second)
		begin := time.Now()
		r.want("while it is renewed", "1", 2)
		if took := time.Since(begin); took != 0 {
			r.Errorf("a caller waited %v", took)
		}
		time.Sleep(24500 * time.Millisecond) // the renewal has long ended
		r.want("afterwards", "2", 2)
	})
}

// TestBackoff: a command that fails is started after 10 s, and then half as often each
// time; callers get its failure at once meanwhile.
func TestBackoff(t *testing.T) {
	bubble(t, func(int) result { return fails("no session") }, func(r rig) {
		r.program.takes = time.Second
		const failure = "the command gcloud broke; it says: no session"
		for i, pause := range []time.Duration{10, 20, 40, 80, 120, 120} {
			r.want("when it is due", failure, i+1)
			begin := time.Now()
			time.Sleep(pause*time.Second - time.Millisecond)
			r.want("before", failure, i+1)
			if waited := time.Since(begin) - pause*time.Second + time.Millisecond; waited != 0 {
				r.Errorf("a caller waited %v", waited)
			}
			time.Sleep(time.Millisecond)
		}
		var failed *CommandError
		if _, err := r.Get(r.Context()); !errors.As(err, &failed) || failed.Program != "gcloud" || failed.Said != "no session" {
			r.Errorf("%v", err)
		}
		time.Sleep(2 * time.Minute)
		r.program.next = func(n int) result { return prints(n, time.Minute) }
		r.want("it works again", "8", 8)
		time.Sleep(time.Minute)
		r.program.next = func(int) result { return fails("") }
		r.want("it fails again", "the command gcloud broke", 9)
		time.Sleep(10 * time.Second)
		r.want("after the first pause", "the command gcloud broke", 10)
	})
}

// TestEarlyFailure: a renewal that fails leaves the output till its end.
func TestEarlyFailure(t *testing.T) {
	bubble(t, func(n int) result { return prints(n, time.Hour) }, func(r rig) {
		r.want("at first", "1", 1)
		r.program.next = func(int) result { return fails("") }
		time.Sleep(time.Hour - 30*time.Second)
		r.want("30 s before its end", "1", 2)
		time.Sleep(9 * time.Second)
		r.want("21 s before", "1", 2)
		time.Sleep(time.Second)
		r.want("20 s before, again", "1", 3)
		time.Sleep(19 * time.Second)
		r.want("1 s before", "1", 3)
		time.Sleep(time.Second - time.Millisecond)
		r.want("at its end", "the command gcloud broke", 3)
	})
}

// TestDrop: what was refused is replaced at most every 10 s, and what was replaced
// meanwhile is not run for again.
func TestDrop(t *testing.T) {
	bubble(t, func(n int) result { return prints(n, time.Hour) }, func(r rig) {
		get := func() Output {
			o, err := r.Get(r.Context())
			if err != nil {
				r.Fatal(err)
			}
			return o
		}
		first := get()
		if r.Drop(first) {
			r.Error("it is refused at once, and run again")
		}
		r.want("refused at once", "1", 1)
		time.Sleep(leastPause)
		if !r.Drop(first) {
			r.Error("it is not run again after 10 s")
		}
		if !r.Drop(first) {
			r.Error("it was dropped already")
		}
		second := get()
		r.want("refused", "2", 2)
		if !r.Drop(first) {
			r.Error("another output is there")
		}
		r.want("the first refused, late", "2", 2)
		time.Sleep(leastPause)
		r.program.next = func(int) result { return fails("") }
		if !r.Drop(second) {
			r.Error("it is not run again")
		}
		r.want("it fails after a refusal", "the command gcloud broke", 3)
	})
}

// TestDropWhileRenewing: an output that is refused while the command runs to renew it is
// not given out again, and the next caller waits for the run.
func TestDropWhileRenewing(t *testing.T) {
	bubble(t, func(n int) result { return prints(n, time.Minute) }, func(r rig) {
		first, err := r.Get(r.Context())
		if err != nil {
			r.Fatal(err)
		}
		r.program.takes = 5 * time.Second
		time.Sleep(55 * time.Second)
		r.want("shortly before its end", "1", 2)
		if !r.Drop(first) {
			r.Error("it stays, while another one is on its way")
		}
		begin := time.Now()
		r.want("refused", "2", 2)
		if took := time.Since(begin); took != r.program.takes {
			r.Errorf("the caller waited for %v", took)
		}
	})
}

func TestTooSlow(t *testing.T) {
	bubble(t, nil, func(r rig) {
		r.program.takes = time.Hour
		begin := time.Now()
		r.want("a command that hangs", "the command gcloud did not end within 30 s", 1)
		if took := time.Since(begin); took != runLimit {
			r.Errorf("it took %v", took)
		}
		time.Sleep(leastPause - time.Millisecond)
		r.want("it rests afterwards", "the command gcloud did not end within 30 s", 1)
	})
}

func TestClose(t *testing.T) {
	bubble(t, nil, func(r rig) {
		r.program.takes = time.Hour
		done := make(chan error)
		go func() {
			_, err := r.Get(r.Context())
			done <- err
		}()
		synctest.Wait()
		begin := time.Now()
		r.Close()
		if err := <-done; !errors.Is(err, errClosed) || time.Since(begin) != 0 {
			r.Errorf("a caller that waits: %v after %v", err, time.Since(begin))
		}
		if _, err := r.Get(r.Context()); !errors.Is(err, errClosed) {
			r.Errorf("afterwards: %v", err)
		}
	})
}

// TestSaid: of stderr an error has the last line, and nothing that is also on stdout.
func TestSaid(t *testing.T) {
	const token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2ln"
	for name, tc := range map[string]struct{ stdout, stderr, said string }{
		"nothing":                   {"", "", ""},
		"one line":                  {"", "ERROR: sign in first\n", "ERROR: sign in first"},
		"the last":                  {"", "Traceback:\n  at x\r\nValueError: no session \r\n\n", "ValueError: no session"},
		"progress":                  {"", "10 %\r20 %\rfailed", "failed"},
		"colours and tricks":        {"", "\x1b[31mred\x1b[0m\u202e\x07 \ttext", "[31mred[0m  text"},
		"a long one":                {"", strings.Repeat("ü", 300), strings.Repeat("ü", 200)},
		"no text":                   {"", "broken \xff\xfe here", "broken  here"},
		"other words on stdout":     {"some help\n", "ERROR: sign in first", "ERROR: sign in first"},
		"the token":                 {token, "got " + token, ""},
		"the token's beginning":     {token, "got eyJhbGciOiJS…", ""},
		"the token's end":           {token, "…dWIiOiJhbm4ifQ.c2ln", ""},
		"with controls between":     {token, "got e\x00y\x00J\x00hbGciOi", ""},
		"over lines of stdout":      {"header.pay\nload.signature", "header.payload", ""},
		"its arguments":             {"", "bad -u, bad --password=pw2, bad pw2", "bad -u, bad …, bad …"},
		"a short password":          {`{"headers":{"a":"pw1"}}`, "password pw1 is wrong", ""},
		"a password among controls": {"pw\x001", "password pw1 is wrong", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (result{stdout: []byte(tc.stdout), stderr: []byte(tc.stderr)}).said([]string{"-u", "ann=", "--password=pw2", "-v"}); got != tc.said {
				t.Errorf("%q, want %q", got, tc.said)
			}
		})
	}
	if got := (result{overflow: true, stderr: []byte("what came later")}).said(nil); got != "" {
		t.Errorf("of one that printed more than was read: %q", got)
	}
}

// TestErrorHidesArguments: no argument is in an error or the log.
func TestErrorHidesArguments(t *testing.T) {
	var log strings.Builder
	c := NewCommand([]string{"./relative", "hunter2"}, "", clock.System(), slog.New(slog.NewTextHandler(&log, nil)))
	defer c.Close()
	_, err := c.Get(t.Context())
	if err == nil || !strings.Contains(err.Error(), "./relative is neither a full path") || strings.Contains(err.Error()+log.String(), "hunter2") {
		t.Errorf("%v; log: %s", err, log.String())
	}
	if !strings.Contains(log.String(), "a command failed") {
		t.Errorf("the log has %q", log.String())
	}
	c = NewCommand([]string{os.Args[0], "act=fail", "hunter2"}, "", clock.System(), slog.New(slog.NewTextHandler(&log, nil)))
	defer c.Close()
	if _, err := c.Get(t.Context()); err == nil || !strings.Contains(err.Error(), "ended with exit code 3; it says: no session") || strings.Contains(err.Error()+log.String(), "hunter2") {
		t.Errorf("%v; log: %s", err, log.String())
	}
}
