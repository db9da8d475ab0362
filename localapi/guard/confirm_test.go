package guard

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/asks"
	"langkeep/agent/clock"
	"langkeep/agent/secret"
	"langkeep/localapi/proof"
)

// screen is what a person sees.
type screen struct {
	err error

	mu  sync.Mutex // protects the following
	now ShownCode  // the zero ShownCode: nothing
}

func (s *screen) ShowCode(c ShownCode) error {
	if s.err != nil {
		return s.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = c
	return nil
}

func (s *screen) HideCode() { _ = s.ShowCode(ShownCode{}) }

// sees is what the person sees.
func (s *screen) sees() ShownCode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// confirming runs a test with a page before a person.
func confirming(t *testing.T, test func(t *testing.T, p *Pages, s *screen, open func() proof.Secret)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, s := NewPages(clock.System()), &screen{}
		p.SetScreen(s)
		test(t, p, s, func() proof.Secret {
			t.Helper()
			token, ok := p.Exchange(proof.Of(p.NewCode(false)), true)
			if !ok {
				t.Fatal("no page")
			}
			return proof.Of(token)
		})
	})
}

// other is a code that a code is not.
func other(code secret.Text) secret.Text {
	if code.Reveal() == "000000" {
		return secret.New("000001")
	}
	return secret.New("000000")
}

func TestConfirm(t *testing.T) {
	confirming(t, func(t *testing.T, p *Pages, s *screen, open func() proof.Secret) {
		page, another := open(), open()
		if _, err := p.Confirm(page, secret.New("000000")); !errors.Is(err, ErrNoShownCode) {
			t.Errorf("without a code: %v", err)
		}
		if err := p.ShowCode(page, asks.Program{Exe: "/usr/bin/firefox"}); err != nil {
			t.Fatal(err)
		}
		code := s.sees().Code
		if shown, ok := p.Shown(); len(code.Reveal()) != shownDigits || s.sees().Program.Exe != "/usr/bin/firefox" || !ok || !shown.Code.Equal(code) {
			t.Errorf("it shows %+v", s.sees())
		}
		if said := fmt.Sprintf("%v %+v %#v", s.sees(), s.sees(), s.sees()); strings.Contains(said, code.Reveal()) {
			t.Error("a code can be printed")
		}
		for what, token := range map[string]proof.Secret{"another page": another, "no page": proof.Of(NewToken())} {
			if _, err := p.Confirm(token, code); !errors.Is(err, ErrNoShownCode) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := p.Confirm(page, other(code)); !errors.Is(err, ErrWrongCode) {
			t.Errorf("a wrong code: %v", err)
		}
		if _, err := p.Confirm(page, secret.Text{}); !errors.Is(err, ErrWrongCode) {
			t.Errorf("no code: %v", err)
		}
		confirmed, err := p.Confirm(page, secret.New(" "+code.Reveal()[:3]+" "+code.Reveal()[3:]))
		if err != nil {
			t.Fatal(err)
		}
		if _, shown := p.Shown(); s.sees() != (ShownCode{}) || shown {
			t.Error("the code stays on the screen")
		}
		if caller, ok := p.Lookup(confirmed.Reveal()); !ok || !caller.Confirmed || !caller.Page || caller.Owner {
			t.Errorf("the confirmed page is %+v", caller)
		}
		for what, token := range map[string]proof.Secret{"the page's first token": page, "another page's": another} {
			if caller, ok := p.Holder(token); !ok || caller.Confirmed {
				t.Errorf("%s is %+v", what, caller)
			}
		}
		if _, err := p.Confirm(page, code); !errors.Is(err, ErrNoShownCode) {
			t.Errorf("a code a second time: %v", err)
		}
	})
}

// One code is good at a time, and each for so long.
func TestShownCodeEnds(t *testing.T) {
	confirming(t, func(t *testing.T, p *Pages, s *screen, open func() proof.Secret) {
		page, another := open(), open()
		show := func(token proof.Secret) secret.Text {
			t.Helper()
			if err := p.ShowCode(token, asks.Program{}); err != nil {
				t.Fatal(err)
			}
			return s.sees().Code
		}
		first := show(page)
		time.Sleep(time.Minute)
		second := show(another)
		if _, err := p.Confirm(page, first); !errors.Is(err, ErrNoShownCode) {
			t.Errorf("the code before: %v", err)
		}
		time.Sleep(ShownLifetime - 1) // the first's end does not hide the second
		if s.sees().Code != second {
			t.Error("the second code is not shown any more")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if _, shown := p.Shown(); s.sees() != (ShownCode{}) || shown {
			t.Error("a code that is over is shown")
		}
		if _, err := p.Confirm(another, second); !errors.Is(err, ErrNoShownCode) {
			t.Errorf("a code that is over: %v", err)
		}

		// Nothing shows it.
		s.err = errors.New("no desktop")
		if err := p.ShowCode(page, asks.Program{}); !errors.Is(err, ErrNoScreen) {
			t.Error(err)
		}
		if _, shown := p.Shown(); shown {
			t.Error("a code is good that nobody saw")
		}
		s.err = nil
		show(page)
		p.SetScreen(nil)
		if err := p.ShowCode(page, asks.Program{}); !errors.Is(err, ErrNoScreen) {
			t.Error(err)
		}
		time.Sleep(ShownLifetime)
		synctest.Wait()
	})
}

// A program that opens pages and guesses has a few guesses in ten minutes, however many
// codes it has shown.
func TestGuesses(t *testing.T) {
	confirming(t, func(t *testing.T, p *Pages, s *screen, open func() proof.Secret) {
		guesses := 0
		begin := time.Now()
		for time.Since(begin) < time.Hour {
			page := open()
			var paused ErrPaused
			if err := p.ShowCode(page, asks.Program{}); errors.As(err, &paused) {
				if _, err := p.Confirm(page, s.sees().Code); !errors.As(err, &paused) {
					t.Fatalf("in a pause: %v", err)
				}
				time.Sleep(paused.For)
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			code := s.sees().Code
			guesses++
			if _, err := p.Confirm(page, other(code)); errors.As(err, &paused) {
				if s.sees() != (ShownCode{}) {
					t.Error("the code stays on the screen")
				}
				if _, err := p.Confirm(page, code); !errors.As(err, &paused) {
					t.Errorf("the right code, too late: %v", err)
				}
			}
		}
		if want := 6 * wrongCodes; guesses != want {
			t.Errorf("%d guesses in an hour, want %d", guesses, want)
		}
	})
}
