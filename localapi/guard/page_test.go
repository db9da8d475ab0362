package guard

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/proof"
)

func TestPageCode(t *testing.T) {
	p := NewPages(clock.System())
	code := p.NewCode(false)
	for name, wrong := range map[string]secret.Text{"none": {}, "another": NewToken(), "a part": secret.New(code.Reveal()[:45])} {
		if _, ok := p.Exchange(proof.Of(wrong), true); ok {
			t.Errorf("%s opens the page", name)
		}
	}
	if _, ok := p.Lookup(code.Reveal()); ok {
		t.Error("a code is a token")
	}
	if _, ok := p.Exchange(proof.Of(code), false); ok {
		t.Error("a code of an address opens the page for a user who can't be told")
	}
	token, ok := p.Exchange(proof.Of(code), true)
	if !ok {
		t.Fatal("a code does not open the page")
	}
	if _, ok := p.Exchange(proof.Of(code), true); ok {
		t.Error("a code opens the page twice")
	}
	if _, ok := p.Exchange(proof.Of(token), true); ok {
		t.Error("a token is a code")
	}
	caller, ok := p.Lookup(token.Reveal())
	if !ok || !caller.Page || caller.Owner {
		t.Fatalf("the token's caller is %+v, %v", caller, ok)
	}
	for scope, want := range map[Scope]bool{Read: true, Manage: true, Owner: true, Anyone: true, Token: false, APIKey: false, Run: false, Proxy: false} {
		if caller.Has(scope) != want || !caller.Sees("prod") {
			t.Errorf("the page has %s: %v, want %v", scope, caller.Has(scope), want)
		}
	}
	byFile := p.NewCode(true)
	if _, ok := p.Exchange(proof.Of(byFile), false); !ok {
		t.Error("a code that only our user could read does not open the page")
	}
}

func TestPageEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := clock.NewJumping()
		p := NewPages(j)
		old, kept := p.NewCode(false), p.NewCode(false)
		time.Sleep(CodeLifetime - 1)
		token, ok := p.Exchange(proof.Of(kept), true)
		if !ok {
			t.Fatal("a code ends too early")
		}
		time.Sleep(time.Nanosecond)
		if _, ok := p.Exchange(proof.Of(old), true); ok {
			t.Error("a code lives too long")
		}
		time.Sleep(PageLifetime - 2)
		if _, ok := p.Lookup(token.Reveal()); !ok {
			t.Error("a token ends too early")
		}
		time.Sleep(time.Nanosecond)
		if _, ok := p.Lookup(token.Reveal()); ok {
			t.Error("a token lives too long")
		}
		// The computer slept, which the monotonic clock does not see.
		code := p.NewCode(false)
		j.Jump(CodeLifetime)
		if _, ok := p.Exchange(proof.Of(code), true); ok {
			t.Error("a code outlives a sleep")
		}
		// The time was set back.
		code = p.NewCode(false)
		j.Jump(-time.Hour)
		time.Sleep(CodeLifetime)
		if _, ok := p.Exchange(proof.Of(code), true); ok {
			t.Error("a code outlives its time when the clock is set back")
		}
	})
}

func TestPagesAreBounded(t *testing.T) {
	p := NewPages(clock.System())
	first := p.NewCode(false)
	for range maxCodes {
		p.NewCode(false)
	}
	if _, ok := p.Exchange(proof.Of(first), true); ok || len(p.codes) != maxCodes {
		t.Errorf("%d codes, the oldest is good: %v", len(p.codes), ok)
	}
	var tokens []secret.Text
	for range maxPages + 1 {
		token, ok := p.Exchange(proof.Of(p.NewCode(false)), true)
		if !ok {
			t.Fatal("no token")
		}
		tokens = append(tokens, token)
	}
	if _, ok := p.Lookup(tokens[0].Reveal()); ok || len(p.tokens) != maxPages {
		t.Errorf("%d tokens, the oldest is good: %v", len(p.tokens), ok)
	}
	if _, ok := p.Lookup(tokens[1].Reveal()); !ok {
		t.Error("more than the oldest has gone")
	}
}

func TestAuthorities(t *testing.T) {
	token := NewToken()
	all := Authorities{callers, OwnerToken(token)}
	for name, want := range map[string]string{token.Reveal(): "owner", "lk_client": "script", "lk_nobody": ""} {
		caller, ok := all.Lookup(name)
		if ok != (want != "") || ok && caller.Name != want {
			t.Errorf("got %v, %v, want %q", caller, ok, want)
		}
	}
}

func TestCheckExchange(t *testing.T) {
	exchange := "POST /v1/page/token HTTP/1.1\nHost: 127.0.0.1:17860"
	cannotTell := errors.New("not permitted")
	tests := []struct {
		name    string
		uid     uint32
		err     error
		request string
		want    string
	}{
		{"our page", 1000, nil, exchange + ours, ""},
		{"our page says where it is", 1000, nil, exchange + ours + "\nSec-Fetch-Site: same-origin", ""},
		{"no Origin", 1000, nil, exchange, client.TypeForbiddenOrigin},
		{"no Origin, with the owner's token", 1000, nil, exchange + bearerLine, client.TypeForbiddenOrigin},
		{"another port", 1000, nil, exchange + "\nOrigin: http://127.0.0.1:3000", client.TypeForbiddenOrigin},
		{"another name of ours", 1000, nil, exchange + "\nOrigin: http://localhost:17860", client.TypeForbiddenOrigin},
		{"a file", 1000, nil, exchange + "\nOrigin: null", client.TypeForbiddenOrigin},
		{"cross-site", 1000, nil, exchange + ours + "\nSec-Fetch-Site: cross-site", client.TypeForbiddenOrigin},
		{"a navigation", 1000, nil, exchange + ours + "\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", client.TypeForbiddenOrigin},
		{"a rebound name", 1000, nil, strings.Replace(exchange, "127.0.0.1", "evil.example", 1) + "\nOrigin: http://evil.example:17860", client.TypeForbiddenHost},
		{"another user", 1001, nil, exchange + ours, client.TypeForbidden},
		{"another user who may connect", 7, nil, exchange + ours, client.TypeForbidden},
		{"a user who is gone", 1000, errNobody, exchange + ours, client.TypeForbidden},
		{"a user who can't be told", 0, cannotTell, exchange + ours, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := guardFor(test.uid, test.err)
			g.lookUp = func(_, _ netip.AddrPort) (peer, error) { return peer{uid: test.uid}, test.err }
			g.allowUIDs = func() []uint32 { return []uint32{7} }
			r := request(t, fakeTCP(), test.request)
			caller, p := g.Check(r, Exchange)
			if kind(p) != test.want {
				t.Fatalf("got %q, want %q", kind(p), test.want)
			}
			if p != nil {
				return
			}
			if PeerKnown(r) != (test.err == nil) {
				t.Errorf("the user is known: %v", PeerKnown(r))
			}
			for _, s := range []Scope{Read, Token, APIKey, Run, Proxy, Manage, Owner} {
				if caller.Has(s) {
					t.Errorf("who has no token yet has the scope %s", s)
				}
			}
		})
	}
}
