package guard

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/secret"
	"langkeep/localapi/proof"
)

const (
	// CodeLifetime is how long a code opens the control page.
	CodeLifetime = 30 * time.Second
	// PageLifetime is how long a page token lives; it ends with the agent too.
	PageLifetime = 12 * time.Hour

	maxCodes = 8  // a person uses the newest
	maxPages = 32 // tabs open at once
)

// Pages is the authority for the control page's tokens, and for the codes that a
// browser exchanges for them. If there are too many the oldest is dropped.
type Pages struct {
	clock  clock.Clock
	caller *Caller
	speaks *Caller                           // the caller of a page that the person has confirmed
	same   func(a, b [sha256.Size]byte) bool // compares hashes; secret.SameHash but in tests

	mu          sync.Mutex // protects the following
	codes       []pageCredential
	tokens      []pageCredential
	shown       *shownCode    // nil: none
	wrong       int           // codes for it
	pausedUntil time.Duration // as clock.Elapsed
	screen      Screen        // nil: there is none

	showing sync.Mutex // held while the screen changes; taken before mu
}

// pageCredential is a code or a token. It keeps the hash, so that the time of a
// comparison depends neither on the text nor on its length.
type pageCredential struct {
	secret    proof.Secret
	wall      time.Time
	elapsed   time.Duration
	byFile    bool // the code reached the browser in a file that only our user can read
	confirmed bool // a token that speaks for the person
}

// NewPages makes an authority without pages. Their callers may read and manage, and do
// what is the owner's, but get no credential: the page never needs one.
func NewPages(c clock.Clock) *Pages {
	scopes := []Scope{Read, Manage, Owner}
	return &Pages{
		clock: c, same: secret.SameHash,
		caller: &Caller{Name: "page", Page: true, Scopes: scopes}, speaks: &Caller{Name: "page", Page: true, Confirmed: true, Scopes: scopes},
	}
}

// NewCode makes a code. With byFile the code is good even if the browser's user can't
// be told, because only our user can read the file.
func (p *Pages) NewCode(byFile bool) secret.Text {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.add(&p.codes, maxCodes, byFile)
}

// Exchange gives a page token for a code, once. It takes the code's secret, since a
// page that sealed its request shows no more.
func (p *Pages) Exchange(code proof.Secret, peerKnown bool) (secret.Text, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.find(p.codes, code, CodeLifetime)
	if i < 0 || !peerKnown && !p.codes[i].byFile {
		return secret.Text{}, false
	}
	p.codes = slices.Delete(p.codes, i, i+1)
	return p.add(&p.tokens, maxPages, false), true
}

// Lookup implements Authority.
func (p *Pages) Lookup(token string) (*Caller, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var room [64]byte // on the stack, for a token of the right length
	return p.holder(sha256.Sum256(append(room[:0], token...)))
}

// Holder returns the caller whose token has the secret, for sealed requests.
func (p *Pages) Holder(token proof.Secret) (*Caller, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.holder(token)
}

// holder is Holder for a caller that holds mu.
func (p *Pages) holder(token proof.Secret) (*Caller, bool) {
	switch i := p.find(p.tokens, token, PageLifetime); {
	case i < 0:
		return nil, false
	case p.tokens[i].confirmed:
		return p.speaks, true
	}
	return p.caller, true
}

// Secret implements Authority.
func (p *Pages) Secret(id string) (proof.Secret, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return named(p.tokens, id)
}

// Code returns the secret of the code with the ID. Exchange checks whether the code
// still lives.
func (p *Pages) Code(id string) (proof.Secret, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return named(p.codes, id)
}

func named(list []pageCredential, id string) (found proof.Secret, ok bool) {
	for i := range list {
		if list[i].secret.Named(id) {
			found, ok = list[i].secret, true
		}
	}
	return found, ok
}

func (p *Pages) add(list *[]pageCredential, most int, byFile bool) secret.Text {
	t := NewToken()
	if n := len(*list) - most + 1; n > 0 {
		*list = slices.Delete(*list, 0, n)
	}
	*list = append(*list, pageCredential{secret: proof.Of(t), wall: p.clock.Now(), elapsed: p.clock.Elapsed(), byFile: byFile})
	return t
}

// find returns the index of the living credential with that hash, or -1. It compares
// with all of them, so that its time does not tell which fits.
func (p *Pages) find(list []pageCredential, hash proof.Secret, life time.Duration) int {
	found := -1
	for i := range list {
		if p.same(hash, list[i].secret) && p.lives(&list[i], life) {
			found = i
		}
	}
	return found
}

// lives tells whether a credential has not ended. Either clock can end it: the wall clock
// goes on while the computer sleeps, the monotonic one when the time is set back.
func (p *Pages) lives(c *pageCredential, life time.Duration) bool {
	return p.clock.Now().Sub(c.wall) < life && p.clock.Elapsed()-c.elapsed < life
}
