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
	same   func(a, b [sha256.Size]byte) bool // compares hashes; secret.SameHash but in tests

	mu     sync.Mutex // protects the following
	codes  []pageCredential
	tokens []pageCredential
}

// pageCredential is a code or a token. It keeps the hash, so that the time of a
// comparison depends neither on the text nor on its length.
type pageCredential struct {
	secret  proof.Secret
	wall    time.Time
	elapsed time.Duration
	byFile  bool // the code reached the browser in a file that only our user can read
}

// NewPages makes an authority without pages. Their callers may read and manage, and do
// what is the owner's, but get no credential: the page never needs one.
func NewPages(c clock.Clock) *Pages {
	return &Pages{clock: c, same: secret.SameHash, caller: &Caller{Name: "page", Page: true, Scopes: []Scope{Read, Manage, Owner}}}
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
	if p.find(p.tokens, sha256.Sum256(append(room[:0], token...)), PageLifetime) < 0 {
		return nil, false
	}
	return p.caller, true
}

// Holder returns the caller whose token has the secret, for sealed requests.
func (p *Pages) Holder(token proof.Secret) (*Caller, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.caller, p.find(p.tokens, token, PageLifetime) >= 0
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
	*list = append(*list, pageCredential{proof.Of(t), p.clock.Now(), p.clock.Elapsed(), byFile})
	return t
}

// find returns the index of the living credential with that hash, or -1. It compares
// with all of them, so that its time does not tell which fits. Either clock can end a
// credential: the wall clock goes on while the computer sleeps, the monotonic one when
// the time is set back.
func (p *Pages) find(list []pageCredential, hash proof.Secret, life time.Duration) int {
	found := -1
	for i := range list {
		if p.same(hash, list[i].secret) && p.clock.Now().Sub(list[i].wall) < life && p.clock.Elapsed()-list[i].elapsed < life {
			found = i
		}
	}
	return found
}
