package asks

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/clock"
)

// rig is a desk with a person who sees the questions.
type rig struct {
	*testing.T
	*Desk
	alive map[string]bool
}

// desk runs a test with a desk, whose answers for ever are in a file.
func desk(t *testing.T, test func(r *rig)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "allowed.json")
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, alive: map[string]bool{"tty": true, "other": true}}
		r.open(path)
		test(r)
	})
}

func (r *rig) open(path string) {
	r.Desk = New(Config{Clock: clock.System(), Log: slog.New(slog.DiscardHandler), File: path, Alive: func(s string) bool { return r.alive[s] }})
	_, leave := r.Attend()
	r.Cleanup(leave)
}

var curl = Request{Mode: ModeNew, Wish: Wish{Program: Program{Exe: "/usr/bin/curl", Session: "tty", Terminal: true}, Profile: "prod", Want: Token}}

// asks begins to ask. The returned function waits for the answer.
func (r *rig) asks(q Request) func() error {
	got := make(chan error, 1)
	go func() { got <- r.Ask(r.Context(), q) }()
	synctest.Wait()
	return func() error { return <-got }
}

// answers wants one question, and answers it.
func (r *rig) answers(a Answer) {
	r.Helper()
	open := r.Open()
	if len(open) != 1 {
		r.Fatalf("%d questions are open: %v", len(open), open)
	}
	if err := r.Answer(open[0].ID, a); err != nil {
		r.Error(err)
	}
}

// atOnce wants an answer from memory.
func (r *rig) atOnce(q Request, want error) {
	r.Helper()
	begin := time.Now()
	if err := r.Ask(r.Context(), q); !errors.Is(err, want) || time.Since(begin) != 0 {
		r.Errorf("%v, after %v; want %v at once", err, time.Since(begin), want)
	}
}

// answered asks, answers, and wants what comes of it.
func (r *rig) answered(q Request, a Answer, want error) {
	r.Helper()
	wait := r.asks(q)
	r.answers(a)
	if err := wait(); !errors.Is(err, want) {
		r.Errorf("answered %s it says %v, want %v", a, err, want)
	}
}

func TestAnswers(t *testing.T) {
	desk(t, func(r *rig) {
		never := curl
		never.Mode = ModeNever
		r.atOnce(never, nil)

		r.answered(curl, Once, nil)
		r.answered(curl, InSession, nil) // asked again
		r.atOnce(curl, nil)
		for what, change := range map[string]func(*Request){
			"another program":  func(q *Request) { q.Program.Exe = "/usr/bin/wget" },
			"another script":   func(q *Request) { q.Program.Script = "/tmp/x.py" },
			"another terminal": func(q *Request) { q.Program.Session = "other" },
			"another profile":  func(q *Request) { q.Profile = "other" },
			"another want":     func(q *Request) { q.Want = Client },
			"asked each time":  func(q *Request) { q.Mode = ModeAlways },
		} {
			q := curl
			change(&q)
			wait := r.asks(q)
			if len(r.Open()) != 1 {
				r.Errorf("%s is not asked about", what)
			}
			r.answers(Once)
			if err := wait(); err != nil {
				r.Error(what, err)
			}
		}
		time.Sleep(longest)
		r.answered(curl, InSession, nil)
		r.alive["tty"] = false
		r.answered(curl, Once, nil) // the terminal is gone

		r.answered(curl, Deny, ErrDenied)
		r.atOnce(curl, ErrDenied)
		time.Sleep(quiet)
		r.answered(curl, AlwaysAllow, nil)
		r.atOnce(curl, nil)
		r.open(r.File) // after a restart
		r.atOnce(curl, nil)
		always := curl
		always.Mode = ModeAlways
		r.answered(always, AlwaysDeny, ErrDenied)
		r.atOnce(always, ErrDenied)
		r.atOnce(curl, ErrDenied)
		if n, err := r.Forget("/usr/bin/curl", false); n != 0 || err != nil {
			r.Error("a no is taken back:", n, err)
		}
		r.atOnce(curl, ErrDenied)
		if n, err := r.Forget("/usr/bin/curl", true); n != 1 || err != nil {
			r.Error(n, err)
		}
		r.answered(curl, Once, nil)
	})
}

func TestNobodyAnswers(t *testing.T) {
	desk(t, func(r *rig) {
		begin := time.Now()
		if err := r.Ask(r.Context(), curl); !errors.Is(err, ErrNobody) || time.Since(begin) != patience {
			r.Errorf("%v after %v", err, time.Since(begin))
		}
		if len(r.Open()) != 0 {
			r.Error("the question stays")
		}
		wait := r.asks(curl)
		r.Dismiss()
		if err := wait(); !errors.Is(err, ErrNobody) || time.Since(begin) != patience {
			r.Errorf("dismissed: %v after %v", err, time.Since(begin))
		}
		headless := New(Config{Clock: clock.System(), Log: slog.New(slog.DiscardHandler)})
		if err := headless.Ask(r.Context(), curl); !errors.Is(err, ErrNobody) || time.Since(begin) != patience {
			r.Errorf("without a desktop: %v after %v", err, time.Since(begin))
		}
	})
}

// A program that can't be told is asked about each time, whatever was answered.
func TestUnknownProgram(t *testing.T) {
	desk(t, func(r *rig) {
		unknown := Request{Mode: ModeNew, Wish: Wish{Profile: "prod", Want: Token}}
		for _, a := range []Answer{AlwaysAllow, InSession, Once} {
			r.answered(unknown, a, nil)
		}
		r.answered(unknown, AlwaysDeny, ErrDenied)
		r.answered(unknown, Once, nil)
		first, second := r.asks(unknown), r.asks(unknown)
		if len(r.Open()) != 2 {
			r.Errorf("two of them are %d questions", len(r.Open()))
		}
		for _, q := range r.Open() {
			if err := r.Answer(q.ID, Once); err != nil {
				r.Error(err)
			}
		}
		if err := errors.Join(first(), second()); err != nil {
			r.Error(err)
		}
	})
}

// All who ask the same wait for one answer, and there is room for so many questions.
func TestManyAsk(t *testing.T) {
	desk(t, func(r *rig) {
		var asking sync.WaitGroup
		for range 100 {
			asking.Go(func() {
				if err := r.Ask(r.Context(), curl); err != nil {
					r.Error(err)
				}
			})
		}
		synctest.Wait()
		r.answers(Once)
		asking.Wait()

		ctx, cancel := context.WithCancel(r.Context())
		for i := range most {
			q := curl
			q.Program.Exe = strings.Repeat("x", i+1)
			asking.Go(func() { _ = r.Ask(ctx, q) })
		}
		synctest.Wait()
		r.atOnce(curl, ErrTooMany)
		cancel()
		asking.Wait()
		time.Sleep(patience)
		r.answered(curl, Once, nil)
	})
}

// A command that asks a second time after a short wait finds the same question, or its
// answer.
func TestProgramThatAsksAgain(t *testing.T) {
	desk(t, func(r *rig) {
		for _, mode := range []Mode{ModeNew, ModeAlways} {
			q := curl
			q.Mode = mode
			short, cancel := context.WithTimeout(r.Context(), time.Second)
			if err := r.Ask(short, q); !errors.Is(err, context.DeadlineExceeded) {
				r.Error(err)
			}
			cancel()
			r.answered(q, Once, nil)

			short, cancel = context.WithTimeout(r.Context(), time.Second)
			_ = r.Ask(short, q) // it leaves
			cancel()
			r.answers(Once)
			r.atOnce(q, nil)
			r.answered(q, Once, nil) // once
		}
	})
}

// A command's answer counts when the person has confirmed it.
func TestPropose(t *testing.T) {
	desk(t, func(r *rig) {
		for _, c := range []struct {
			person Answer
			want   error
		}{{AlwaysAllow, nil}, {Once, nil}, {Deny, ErrProposed}, {"", ErrProposed}} {
			wait := r.asks(curl)
			id := r.Open()[0].ID
			got := make(chan error, 1)
			go func() { got <- r.Propose(r.Context(), id, AlwaysAllow) }()
			synctest.Wait()
			select {
			case err := <-got:
				r.Fatalf("it is in force without the person: %v", err)
			default:
			}
			if p := r.Open()[0].Proposed; p != AlwaysAllow {
				r.Errorf("the person sees %q", p)
			}
			if c.person != "" {
				r.answers(c.person)
			}
			if err := <-got; !errors.Is(err, c.want) {
				r.Errorf("the person says %q, it %v", c.person, err)
			}
			_ = wait()
			if _, err := r.Forget("", true); err != nil {
				r.Error(err)
			}
		}
		if err := r.Propose(r.Context(), "nonsense", Once); !errors.Is(err, ErrNoSuch) {
			r.Error(err)
		}
		if err := r.Answer("nonsense", Once); !errors.Is(err, ErrNoSuch) {
			r.Error(err)
		}
	})
}

func TestRemembered(t *testing.T) {
	desk(t, func(r *rig) {
		r.answered(curl, InSession, nil)
		wget, node := curl, curl
		wget.Program.Exe, node.Program.Exe = "/usr/bin/wget", "/usr/bin/node"
		r.answered(wget, Deny, ErrDenied)
		r.answered(node, AlwaysAllow, nil)
		all, err := r.Desk.Remembered()
		if err != nil || len(all) != 3 || all[0].Answer != InSession || all[0].Until != time.Now().Add(longest) ||
			all[1].Answer != AlwaysAllow || !all[1].Until.IsZero() || all[2].Until != time.Now().Add(quiet) {
			r.Errorf("%+v, %v", all, err)
		}
		if n, err := r.Forget("", true); n != 3 || err != nil {
			r.Error(n, err)
		}
		if all, err := r.Desk.Remembered(); len(all) != 0 || err != nil {
			r.Error(all, err)
		}
	})
}

// A person may write the file. A file that can't be read allows nothing, and is left alone.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "allowed.json")
	d := New(Config{Clock: clock.System(), Log: slog.New(slog.DiscardHandler), File: path})
	write := func(text string, mode os.FileMode) {
		t.Helper()
		_ = os.Remove(path) // which may not be there
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	const good = `{"schema":1,"answers":[{"program":"/usr/bin/curl","profile":"prod","want":"token","answer":"always"}]}`
	write(good, 0o600)
	if err := d.Ask(t.Context(), curl); err != nil {
		t.Error(err)
	}
	for name, text := range map[string]string{
		"no json": "{", "newer": `{"schema":99}`, "no program": strings.Replace(good, "/usr/bin/curl", "", 1),
		"another want": strings.Replace(good, `"token"`, `"everything"`, 1), "another answer": strings.Replace(good, `"always"`, `"once"`, 1),
	} {
		write(text, 0o600)
		if err := d.Ask(t.Context(), curl); err == nil || errors.Is(err, ErrNobody) {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.kept.put(curl.subject(), AlwaysAllow, time.Now()); err == nil {
			t.Errorf("%s: it is written over", name)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != text {
			t.Errorf("%s: it becomes %q, %v", name, kept, err)
		}
	}
}
