package guard

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"langkeep/agent/asks"
	"langkeep/agent/secret"
	"langkeep/localapi/proof"
)

const (
	// ShownLifetime is how long a code that a screen shows confirms its page.
	ShownLifetime = 2 * time.Minute
	// shownPause follows after too many wrong codes.
	shownPause = 10 * time.Minute

	shownDigits = 6
	wrongCodes  = 3
)

// A Screen shows codes to the person, as notifications and the tray do: in no place that a
// request can ask for.
type Screen interface {
	// ShowCode shows a code in the place of any that is shown.
	ShowCode(ShownCode) error
	HideCode()
}

// ShownCode is a code on a screen.
type ShownCode struct {
	Code    secret.Text  // digits
	Program asks.Program // that shows the page
}

// The errors of ShowCode and Confirm.
var (
	ErrNoScreen    = errors.New("nothing here can show the person a code")
	ErrNoShownCode = errors.New("no code is shown for this page")
	ErrWrongCode   = errors.New("this is not the code")
)

// ErrPaused is the error of ShowCode and Confirm after too many wrong codes.
type ErrPaused struct{ For time.Duration }

func (e ErrPaused) Error() string { return "too many wrong codes" }

// shownCode is the code that a screen shows.
type shownCode struct {
	ShownCode
	pageCredential // of the page that it is for
	hash           proof.Secret
}

// SetScreen says what can show codes.
func (p *Pages) SetScreen(s Screen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.screen = s
}

// HasScreen tells whether something can show codes.
func (p *Pages) HasScreen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.screen != nil
}

// ShowCode has the screen show a code for the page with the token. It takes the place of
// any other page's.
func (p *Pages) ShowCode(token proof.Secret, program asks.Program) error {
	p.showing.Lock() // so that the screen shows the code that is good
	defer p.showing.Unlock()
	code := newShownCode()
	s := &shownCode{
		ShownCode:      ShownCode{code, program},
		pageCredential: pageCredential{secret: token, wall: p.clock.Now(), elapsed: p.clock.Elapsed()},
		hash:           proof.Of(code),
	}
	p.mu.Lock()
	paused, screen := p.pausedUntil-p.clock.Elapsed(), p.screen
	if paused <= 0 && screen != nil {
		p.shown = s
	}
	p.mu.Unlock()
	switch {
	case screen == nil:
		return ErrNoScreen
	case paused > 0:
		return ErrPaused{paused}
	}
	if err := screen.ShowCode(s.ShownCode); err != nil {
		p.mu.Lock()
		p.shown = nil
		p.mu.Unlock()
		return fmt.Errorf("%w: %w", ErrNoScreen, err)
	}
	time.AfterFunc(ShownLifetime, func() { p.hide(s) })
	return nil
}

// newShownCode makes one: anything that a person can type in a moment, since only so many
// can be tried.
func newShownCode() secret.Text {
	n, err := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(10), big.NewInt(shownDigits), nil))
	if err != nil {
		panic(err) // never, see crypto/rand.Read
	}
	return secret.New(fmt.Sprintf("%0*d", shownDigits, n))
}

// hide takes a code off the screen, unless another is there by now.
func (p *Pages) hide(s *shownCode) {
	p.showing.Lock()
	defer p.showing.Unlock()
	p.mu.Lock()
	screen, other := p.screen, p.shown != s && p.shown != nil
	if !other {
		p.shown = nil
	}
	p.mu.Unlock()
	if screen != nil && !other {
		screen.HideCode()
	}
}

// Confirm returns a token that speaks for the person, for the page with the token whose
// code it is. The page's own token stays what it was.
func (p *Pages) Confirm(token proof.Secret, typed secret.Text) (confirmed secret.Text, err error) {
	p.mu.Lock()
	s := p.shown
	over := false // the code's time on the screen
	defer func() {
		p.mu.Unlock()
		if over {
			p.hide(s)
		}
	}()
	if left := p.pausedUntil - p.clock.Elapsed(); left > 0 {
		return secret.Text{}, ErrPaused{left}
	}
	if s == nil || p.find([]pageCredential{s.pageCredential}, token, ShownLifetime) < 0 || p.find(p.tokens, token, PageLifetime) < 0 {
		return secret.Text{}, ErrNoShownCode
	}
	digits := strings.Join(strings.Fields(typed.Reveal()), "")
	if !p.same(sha256.Sum256([]byte(digits)), s.hash) {
		p.wrong++
		if p.wrong < wrongCodes {
			return secret.Text{}, ErrWrongCode
		}
		p.shown, p.wrong, over = nil, 0, true
		p.pausedUntil = p.clock.Elapsed() + shownPause
		return secret.Text{}, ErrPaused{shownPause}
	}
	p.shown, p.wrong, over = nil, 0, true
	confirmed = p.add(&p.tokens, maxPages, false)
	p.tokens[len(p.tokens)-1].confirmed = true
	return confirmed, nil
}

// Shown is the code that is on the screen.
func (p *Pages) Shown() (ShownCode, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.shown; s != nil && p.lives(&s.pageCredential, ShownLifetime) {
		return s.ShownCode, true
	}
	return ShownCode{}, false
}
