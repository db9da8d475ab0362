package gateway

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"langkeep/agent/secret"
)

// recorder is a RoundTripper that keeps the last request, and answers with cookies.
type recorder struct {
	last *http.Request
	sets []string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.last = req
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Set-Cookie": r.sets}, Body: http.NoBody, Request: req}, nil
}

func newPass(t *testing.T, server string) *Pass {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	return NewPass(Config{Server: u})
}

func request(t *testing.T, address string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, address, io.NopCloser(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer langflows")
	r.Header.Set("Cookie", "refresh_token_lf=r")
	return r
}

// A gateway's headers and cookies go to the server's origin, in the place where it wants
// them, and nowhere else.
func TestPass(t *testing.T) {
	for name, tt := range map[string]struct {
		headers Headers
		cookies []Cookie
		to      string
		header  string // that is looked at
		want    string
	}{
		"a header":                   {headers: Headers{"X-Pass": secret.New("p")}, to: "https://a.example/team/api", header: "X-Pass", want: "p"},
		"beside Langflow's token":    {headers: Headers{"X-Pass": secret.New("p")}, to: "https://a.example/team/api", header: "Authorization", want: "Bearer langflows"},
		"in the place of it":         {headers: Headers{"Authorization": secret.New("Basic p")}, to: "https://a.example/team/api", header: "Authorization", want: "Basic p"},
		"which then is a cookie":     {headers: Headers{"Authorization": secret.New("Basic p")}, to: "https://a.example/team/api", header: "Cookie", want: "refresh_token_lf=r; access_token_lf=langflows; access_token_lf_%2Fteam=langflows"},
		"a cookie":                   {cookies: []Cookie{{Name: "c", Value: secret.New("1")}}, to: "https://a.example/team/api", header: "Cookie", want: "refresh_token_lf=r; c=1"},
		"a cookie of this path":      {cookies: []Cookie{{Name: "c", Value: secret.New("1"), Path: "/team/"}}, to: "https://a.example/team/api", header: "Cookie", want: "refresh_token_lf=r; c=1"},
		"a cookie of another path":   {cookies: []Cookie{{Name: "c", Value: secret.New("1"), Path: "/tea"}}, to: "https://a.example/team/api", header: "Cookie", want: "refresh_token_lf=r"},
		"the same origin, spelled":   {headers: Headers{"X-Pass": secret.New("p")}, to: "https://A.example:443/api", header: "X-Pass", want: "p"},
		"another port":               {headers: Headers{"X-Pass": secret.New("p")}, to: "https://a.example:8443/api", header: "X-Pass"},
		"another scheme":             {headers: Headers{"X-Pass": secret.New("p")}, to: "http://a.example/api", header: "X-Pass"},
		"another host":               {headers: Headers{"X-Pass": secret.New("p")}, to: "https://b.example/api", header: "X-Pass"},
		"another host, with cookies": {cookies: []Cookie{{Name: "c", Value: secret.New("1")}}, to: "https://b.example/api", header: "Cookie", want: "refresh_token_lf=r"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPass(t, "https://a.example/team")
			p.Keep(tt.headers, tt.cookies)
			own, foreign := &recorder{}, &recorder{}
			r := request(t, tt.to)
			before := r.Header.Clone()
			if _, err := p.Through(own, foreign).RoundTrip(r); err != nil {
				t.Fatal(err)
			}
			sent := own.last
			if sent == nil {
				sent = foreign.last
			}
			if got := sent.Header.Get(tt.header); got != tt.want {
				t.Errorf("%s is %q, want %q", tt.header, got, tt.want)
			}
			for name := range before {
				if r.Header.Get(name) != before.Get(name) {
					t.Errorf("the caller's request has changed: %s", name)
				}
			}
			if elsewhere := !strings.EqualFold(r.URL.Hostname(), "a.example") || r.URL.Scheme == "http" || r.URL.Port() == "8443"; elsewhere != (foreign.last != nil) {
				t.Error("the request went the wrong way")
			}
		})
	}
}

// The header that a server wants its token in is neither Authorization nor a cookie.
func TestTokenHeader(t *testing.T) {
	p := newPass(t, "https://a.example")
	p.TokenHeader = "X-Token"
	p.Keep(Headers{"Authorization": secret.New("Basic p")}, nil)
	own := &recorder{}
	if _, err := p.Through(own, nil).RoundTrip(request(t, "https://a.example/api")); err != nil {
		t.Fatal(err)
	}
	h := own.last.Header
	if h.Get("X-Token") != "Bearer langflows" || h.Get("Authorization") != "Basic p" || h.Get("Cookie") != "refresh_token_lf=r" {
		t.Errorf("sent are %v", h)
	}
}

// An answer renews the cookies that are kept, and no others.
func TestRenewedCookies(t *testing.T) {
	const past, future = "; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "; Max-Age=60"
	for name, tt := range map[string]struct{ kept, sets, want string }{
		"nothing":            {"a=1 b=2", "", "a=1 b=2"},
		"a new value":        {"a=1 b=2", "a=3" + future, "a=3 b=2"},
		"another cookie":     {"a=1", "c=3", "a=1"},
		"Langflow's":         {"a=1", "access_token_lf=3", "a=1"},
		"with a great age":   {"a=1", "a=3; Max-Age=99999999999", "a=3"},
		"a deletion by date": {"a=1", "a=gone" + past, "a=1"},
		"a deletion by age":  {"a=1", "a=gone; Max-Age=0", "a=1"},
		"an empty one":       {"a=1", "a=", "a=1"},
		"into parts":         {"a=1 b=2", "a_0=3|a_1=4|a=" + past, "a_0=3 a_1=4 b=2"},
		"fewer parts":        {"a_0=1 a_1=2 a_2=3", "a_0=4|a_1=5|a_2=" + past, "a_0=4 a_1=5"},
		"into one":           {"a-0=1 a-1=2", "a=3", "a=3"},
		"the same value":     {"a=1 b=2", "b=2" + future, "b=2 a=1"},
		"other parts":        {"s_1=1 s_2=2 b=3", "s_1=4", "s_1=4 b=3"},
		"parts with dots":    {"s.0=1 s.1=2", "s.0=4", "s.0=4"},
		"twice":              {"a=1 b=2", "a=3; Path=/|a=4; Path=/|b=5", "b=5 a=1"},
		"of another path":    {"a=1", "a=3; Path=/other", "a=1"},
		"of the same path":   {"a=1", "a=3; Path=/", "a=3"},
		"its own domain":     {"a=1", "a=3; Domain=A.example", "a=3"},
		"a foreign domain":   {"a=1", "a=3; Domain=b.example", "a=1"},
		"read by pages":      {"a=1=http-only", "a=3", "a=1"},
		"kept from pages":    {"a=1=http-only", "a=3; HttpOnly", "a=3"},
		"a name with digits": {"sess1=1 sess2=2", "sess1=3", "sess1=3 sess2=2"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPass(t, "https://a.example")
			var kept []Cookie
			for _, c := range strings.Fields(tt.kept) {
				c, httpOnly := strings.CutSuffix(c, "=http-only")
				n, v, _ := strings.Cut(c, "=")
				kept = append(kept, Cookie{Name: n, Value: secret.New(v), HTTPOnly: httpOnly})
			}
			p.Keep(nil, kept)
			var heard []Cookie
			p.OnRenewal(func(all []Cookie) { heard = all })
			var sets []string
			if tt.sets != "" {
				sets = strings.Split(tt.sets, "|")
			}
			if _, err := p.Through(&recorder{sets: sets}, nil).RoundTrip(request(t, "https://a.example/api")); err != nil {
				t.Fatal(err)
			}
			_, now := p.Kept()
			if got := written(now); got != tt.want {
				t.Errorf("kept are %s, want %s", got, tt.want)
			}
			if changed := !sameValues(now, kept); changed != (heard != nil) || changed && written(heard) != tt.want {
				t.Errorf("heard are %s", written(heard))
			}
		})
	}
}

func written(cookies []Cookie) string {
	var all []string
	for _, c := range cookies {
		all = append(all, c.Name+"="+c.Value.Reveal())
	}
	return strings.Join(all, " ")
}

// A pass reads its own stored form as it was, and no other text.
func TestPassIsStored(t *testing.T) {
	headers, err := NewHeaders(map[string]secret.Text{"x-pass": secret.New("p")})
	if err != nil {
		t.Fatal(err)
	}
	read, err := DecodeHeaders(headers.Encode())
	if err != nil || len(read) != 1 || read["X-Pass"].Reveal() != "p" {
		t.Errorf("read are %d headers, %v", len(read), err)
	}
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	if _, err := NewHeaders(map[string]secret.Text{"x-pass": secret.New("p"), "X-Pass": secret.New("q")}); err == nil {
		t.Error("a header comes twice")
	}
	cookies, err := DecodeCookies(EncodeCookies([]Cookie{{Name: "a", Value: secret.New("1"), Path: "/x", Expires: at, HTTPOnly: true}, {Name: "b", Value: secret.New("2")}}))
	if err != nil || written(cookies) != "a=1 b=2" || cookies[0].Path != "/x" || !cookies[0].HTTPOnly || cookies[1].HTTPOnly || !cookies[0].Expires.Equal(at) || !cookies[1].Expires.IsZero() {
		t.Errorf("read are %s, %v", written(cookies), err)
	}
	// The end of a cookie does not keep it out of the store.
	for _, end := range []time.Time{time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -12*3600)), time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 12*3600))} {
		if cookies, err := DecodeCookies(EncodeCookies([]Cookie{{Name: "a", Value: secret.New("1"), Expires: end}})); err != nil || written(cookies) != "a=1" {
			t.Errorf("with the end %v: read are %s, %v", end, written(cookies), err)
		}
	}
	for _, odd := range []string{"", "[]x", `{"X-Pass":1}`, `{"Host":"h"}`, `{"X-Pass":"two\r\nlines"}`} {
		if _, err := DecodeHeaders(secret.New(odd)); err == nil || odd != "" && strings.Contains(err.Error(), "lines") {
			t.Errorf("%q as headers: %v", odd, err)
		}
	}
	for _, odd := range []string{"", "{}x", `[{"name":1}]`} {
		if _, err := DecodeCookies(secret.New(odd)); err == nil {
			t.Errorf("%q as cookies", odd)
		}
	}
}
