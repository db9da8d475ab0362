// Package gateway lets requests through a gateway in front of a Langflow server: it adds
// the headers, the cookies and the client's token that the gateway wants, in the place
// where it wants them.
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/secret"
)

// Headers are those that a gateway wants of a profile's requests, by canonical name.
type Headers map[string]secret.Text

// Encode writes headers as the secret of a store's item: a JSON object.
func (h Headers) Encode() secret.Text {
	plain := map[string]string{}
	for name, value := range h {
		plain[name] = value.Reveal()
	}
	data, _ := json.Marshal(plain) // strings always can be
	return secret.New(string(data))
}

// DecodeHeaders reads what Encode has written. Its errors quote nothing of it.
func DecodeHeaders(item secret.Text) (Headers, error) {
	var plain map[string]secret.Text
	if json.Unmarshal([]byte(item.Reveal()), &plain) != nil {
		return nil, errors.New("the stored headers can't be read; give them again")
	}
	return NewHeaders(plain)
}

// NewHeaders checks headers, and makes one spelling of their names. The error names the
// header and says what is wrong with it.
func NewHeaders(given map[string]secret.Text) (Headers, error) {
	h := Headers{}
	for name, value := range given {
		if err := CheckHeader(name, value.Reveal()); err != nil {
			return nil, err
		}
		name = http.CanonicalHeaderKey(name)
		if _, twice := h[name]; twice {
			return nil, fmt.Errorf("the header %s comes twice, in other letters", name)
		}
		h[name] = value
	}
	return h, nil
}

// With returns the headers with changes: each is set, or with an empty value taken away.
// Errors are as NewHeaders'.
func (h Headers) With(changes map[string]secret.Text) (Headers, error) {
	set, next := map[string]secret.Text{}, maps.Clone(h)
	for name, value := range changes {
		if value.Empty() {
			delete(next, http.CanonicalHeaderKey(name))
			continue
		}
		set[name] = value
	}
	checked, err := NewHeaders(set)
	if err != nil {
		return nil, err
	}
	if next == nil {
		next = Headers{}
	}
	maps.Copy(next, checked)
	return next, nil
}

// Cookie is one of a gateway's cookies.
type Cookie struct {
	Name     string
	Value    secret.Text
	Path     string    // "" is all paths
	Expires  time.Time // zero: with the browser's session, so unknown
	HTTPOnly bool      // pages can't read it
}

// cookieJSON is a Cookie in a store's item.
type cookieJSON struct {
	Name     string     `json:"name"`
	Value    string     `json:"value"`
	Path     string     `json:"path,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"`
	HTTPOnly bool       `json:"http_only,omitempty"`
}

// EncodeCookies writes cookies as the secret of a store's item: a JSON array.
func EncodeCookies(cookies []Cookie) secret.Text {
	plain := []cookieJSON{}
	for _, c := range cookies {
		j := cookieJSON{Name: c.Name, Value: c.Value.Reveal(), Path: c.Path, HTTPOnly: c.HTTPOnly}
		// An end in a far year may become the year 10000 in UTC, which JSON can't have.
		if at := c.Expires.UTC(); !at.IsZero() && at.Year() > 0 && at.Year() < 10000 {
			j.Expires = &at
		}
		plain = append(plain, j)
	}
	data, _ := json.Marshal(plain) // these always can be
	return secret.New(string(data))
}

// DecodeCookies reads what EncodeCookies has written. Its errors quote nothing of it.
func DecodeCookies(item secret.Text) ([]Cookie, error) {
	var plain []cookieJSON
	if json.Unmarshal([]byte(item.Reveal()), &plain) != nil {
		return nil, errors.New("the stored cookies can't be read; sign in again")
	}
	var cookies []Cookie
	for _, j := range plain {
		c := Cookie{Name: j.Name, Value: secret.New(j.Value), Path: j.Path, HTTPOnly: j.HTTPOnly}
		if j.Expires != nil {
			c.Expires = *j.Expires
		}
		cookies = append(cookies, c)
	}
	return cookies, nil
}

// Config is what a Pass is made of.
type Config struct {
	Server *url.URL // with its root path
	// HeaderCommand prints further headers; nil is none.
	HeaderCommand *Command
	// TokenHeader is the header in which the server wants the session's access token; ""
	// is Authorization.
	TokenHeader string
}

// Pass is what a gateway in front of one server wants to be sent. It is safe for
// concurrent use.
type Pass struct {
	Config
	origin        string
	accessCookies []string // the names of Langflow's access cookie

	mu      sync.Mutex     // protects the following
	headers Headers        // kept ones; never changed in place
	cookies []Cookie       // of a browser's sign-in; never changed in place
	printed Output         // what HeaderCommand gave last
	renewed func([]Cookie) // hears the cookies when an answer has renewed some; may be nil
}

// NewPass makes a Pass that has no kept headers or cookies.
func NewPass(c Config) *Pass {
	return &Pass{Config: c, origin: langflow.OriginOf(c.Server), accessCookies: langflow.AccessCookies(c.Server)}
}

// Keep sets the kept headers and the browser's cookies.
func (p *Pass) Keep(h Headers, cookies []Cookie) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.headers, p.cookies = h, cookies
}

// Kept returns the kept headers and the browser's cookies. Callers must not change them.
func (p *Pass) Kept() (Headers, []Cookie) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.headers, p.cookies
}

// OnRenewal sets who hears all cookies when an answer has renewed some; nil is nobody.
// That function must not call p.
func (p *Pass) OnRenewal(f func([]Cookie)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewed = f
}

// Keeps tells whether there are kept headers or cookies.
func (p *Pass) Keeps() bool {
	h, cookies := p.Kept()
	return len(h) > 0 || len(cookies) > 0
}

// ByBrowser tells whether a person's sign-in in the browser lets requests through, and no
// command, so that nothing but another sign-in helps when the gateway refuses.
func (p *Pass) ByBrowser() bool {
	_, cookies := p.Kept()
	return p.HeaderCommand == nil && len(cookies) > 0
}

// Through returns a way to the server that sends along what the gateway wants. Requests
// to other origins go by foreign, and carry nothing of it.
func (p *Pass) Through(own, foreign http.RoundTripper) http.RoundTripper {
	return passed{p, own, foreign}
}

type passed struct {
	pass         *Pass
	own, foreign http.RoundTripper
}

// RoundTrip implements http.RoundTripper. A header command that fails is a
// *langflow.Error of kind CommandFailed.
func (t passed) RoundTrip(r *http.Request) (*http.Response, error) {
	if langflow.OriginOf(r.URL) != t.pass.origin {
		return t.foreign.RoundTrip(r)
	}
	dressed, err := t.pass.dress(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as every RoundTripper does
		}
		return nil, err
	}
	res, err := t.own.RoundTrip(dressed)
	if err == nil {
		t.pass.renewCookies(res)
	}
	return res, err
}

// dress returns the request with what the gateway wants. It does not change r.
func (p *Pass) dress(r *http.Request) (*http.Request, error) {
	var printed Output
	if p.HeaderCommand != nil {
		var err error
		if printed, err = p.printedNow(r.Context()); err != nil {
			return nil, err
		}
	}
	kept, cookies := p.Kept()
	if len(kept) == 0 && len(printed.Headers) == 0 && len(cookies) == 0 && p.TokenHeader == "" {
		return r, nil
	}
	dressed := r.WithContext(r.Context()) // which copies it
	dressed.Header = r.Header.Clone()
	h := dressed.Header
	all := maps.Clone(kept)
	if all == nil {
		all = Headers{}
	}
	maps.Copy(all, printed.Headers)
	token, hasToken := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	_, used := all["Authorization"]
	switch {
	case !hasToken:
	case p.TokenHeader != "":
		h.Del("Authorization")
		h.Set(p.TokenHeader, "Bearer "+token)
	case used: // by the gateway: Langflow reads its token from its access cookie too
		for _, name := range p.accessCookies {
			addCookie(h, name, token)
		}
	}
	for _, c := range cookies {
		if c.goesTo(r.URL) {
			addCookie(h, c.Name, c.Value.Reveal())
		}
	}
	for name, value := range all {
		h[name] = []string{value.Reveal()}
	}
	return dressed, nil
}

func addCookie(h http.Header, name, value string) {
	pair := name + "=" + value
	if before := h.Get("Cookie"); before != "" {
		pair = before + "; " + pair
	}
	h.Set("Cookie", pair)
}

// goesTo tells whether a cookie goes with a request (RFC 6265, section 5.1.4). One whose
// time has come still goes: the gateway knows best, and its answer says what it wants.
func (c Cookie) goesTo(u *url.URL) bool {
	at, of := u.Path, strings.TrimSuffix(c.Path, "/")
	return of == "" || at == of || strings.HasPrefix(at, of+"/")
}

// printedNow returns what the header command has printed.
func (p *Pass) printedNow(ctx context.Context) (Output, error) {
	printed, err := p.HeaderCommand.Get(ctx)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return Output{}, ctx.Err()
		}
		if ctx.Err() != nil { // the request's time is as long as the command's, and began earlier
			err = errors.New("the header_command has not ended in time")
		}
		return Output{}, &langflow.Error{Op: "get through the gateway", Kind: langflow.CommandFailed, Detail: err.Error()}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.printed = printed
	return printed, nil
}

// TryAgain tells whether to send a request again that the gateway refused, with other
// headers. The request is as it was sent: the header command has printed others
// since, or may be asked for them.
func (p *Pass) TryAgain(sent *http.Request) bool {
	if p.HeaderCommand == nil || sent == nil {
		return false
	}
	p.mu.Lock()
	printed := p.printed
	p.mu.Unlock()
	for name, value := range printed.Headers {
		if sent.Header.Get(name) != value.Reveal() {
			return true
		}
	}
	return p.HeaderCommand.Drop(printed)
}

// langflows are the beginnings of the names of Langflow's own cookies.
var langflows = [...]string{"access_token_lf", "refresh_token_lf", "apikey_tkn_lflw"}

// IsLangflows tells whether a cookie of that name is Langflow's own, and no gateway's.
func IsLangflows(name string) bool {
	return slices.ContainsFunc(langflows[:], func(own string) bool { return strings.HasPrefix(name, own) })
}

// family is a cookie's name without the number of its part, and its path: oauth2-proxy
// (7.15), AWS load balancers and Auth.js split long ones into _oauth2_proxy_0,
// _oauth2_proxy_1 and so on.
type family struct{ name, path string }

func (c Cookie) family() family {
	f := family{c.Name, strings.TrimSuffix(c.Path, "/")}
	whole := strings.TrimRight(c.Name, "0123456789")
	if whole != c.Name && strings.ContainsAny(whole[max(0, len(whole)-1):], "_-.") {
		f.name = whole[:len(whole)-1]
	}
	return f
}

// renewCookies replaces cookies by those that an answer renews, all parts of one together. It
// ignores cookies that were not kept before, and deletions: a gateway that ends a session
// says so by refusing.
func (p *Pass) renewCookies(res *http.Response) {
	if len(res.Header["Set-Cookie"]) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.cookies) == 0 {
		return
	}
	next := p.cookies
	renewed := renewals(res, p.cookies)
	if len(renewed) > 0 {
		next = slices.Clone(renewed)
		for _, c := range p.cookies {
			if !slices.ContainsFunc(renewed, func(r Cookie) bool { return r.family() == c.family() }) {
				next = append(next, c)
			}
		}
	}
	changed := !sameValues(next, p.cookies)
	p.cookies = next
	if changed && p.renewed != nil {
		p.renewed(p.cookies)
	}
}

// renewals are an answer's cookies that take the place of kept ones.
func renewals(res *http.Response, kept []Cookie) []Cookie {
	var renewed []Cookie
	twice := map[family]bool{}
	now := time.Now() // a deletion's date is years ago
	for _, set := range res.Cookies() {
		c := Cookie{Name: set.Name, Value: secret.New(set.Value), Path: set.Path, Expires: set.Expires, HTTPOnly: set.HttpOnly}
		if set.MaxAge > 0 {
			c.Expires = now.Add(time.Duration(min(set.MaxAge, int(langflow.MaxLifetime/time.Second))) * time.Second)
		}
		gone := set.MaxAge < 0 || set.Value == "" || !set.Expires.IsZero() && set.Expires.Before(now)
		before := slices.IndexFunc(kept, func(k Cookie) bool {
			return k.family().name == c.family().name && (set.Path == "" || k.family().path == c.family().path)
		})
		// The server behind the gateway may have a cookie of the same name.
		if gone || before < 0 || kept[before].HTTPOnly && !set.HttpOnly || !isFor(set.Domain, res.Request) {
			continue
		}
		c.Path = kept[before].Path
		if slices.ContainsFunc(renewed, func(r Cookie) bool { return r.Name == c.Name && r.family() == c.family() }) {
			twice[c.family()] = true // once by the gateway, and once by the server: which is which can't be told
		}
		renewed = append(renewed, c)
	}
	return slices.DeleteFunc(renewed, func(c Cookie) bool { return twice[c.family()] })
}

// isFor tells whether a cookie with the attribute Domain goes to the host that was asked
// (RFC 6265, section 5.1.3).
func isFor(domain string, asked *http.Request) bool {
	if domain == "" || asked == nil {
		return domain == ""
	}
	domain, host := strings.ToLower(strings.TrimPrefix(domain, ".")), strings.ToLower(asked.URL.Hostname())
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// sameValues tells whether two lists have the same cookies, whatever their order and ends.
func sameValues(a, b []Cookie) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(c Cookie) bool {
		return !slices.ContainsFunc(b, func(d Cookie) bool {
			return c.Name == d.Name && c.family() == d.family() && c.Value.Equal(d.Value)
		})
	})
}
