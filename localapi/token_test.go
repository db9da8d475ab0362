package localapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// FuzzTokenAnswer holds the answer that is put together by hand against
// encoding/json.
func FuzzTokenAnswer(f *testing.F) {
	f.Add("prod", "https://flows.example.org", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", int64(1800000000), int64(3599999999999))
	f.Add("prod", "http://[::1]:7860/a%20b", "", int64(0), int64(0))
	f.Add("", `"\<>&`, "\x00\n\u2028é\xff~\x7f", int64(1), int64(-5))
	f.Fuzz(func(t *testing.T, profile, server, token string, at, left int64) {
		g := agent.Grant{Profile: profile, ServerURL: server, Token: secret.New(token), ExpiresIn: time.Duration(left)}
		if at > 0 {
			g.ExpiresAt = time.Unix(at%253402300000, 5) // up to the year 9999
		}
		want := map[string]any{
			"profile": profile, "server_url": server, "access_token": token, "token_type": "Bearer", "expires_at": nil, "expires_in": nil,
		}
		if !g.ExpiresAt.IsZero() {
			want["expires_at"], want["expires_in"] = g.ExpiresAt.UTC().Truncate(time.Second), left/int64(time.Second)
		}
		expected, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		body := appendToken(nil, g)
		// The same fields in the same order as ever, for readers of the text.
		var answer struct {
			Profile     json.RawMessage `json:"profile"`
			ServerURL   json.RawMessage `json:"server_url"`
			AccessToken json.RawMessage `json:"access_token"`
			TokenType   json.RawMessage `json:"token_type"`
			ExpiresAt   json.RawMessage `json:"expires_at"`
			ExpiresIn   json.RawMessage `json:"expires_in"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		again, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		if string(again)+"\n" != string(body) {
			t.Errorf("%q is written as %q", again, body)
		}
		var got, wanted map[string]any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(expected, &wanted); err != nil {
			t.Fatal(err)
		}
		for name := range wanted {
			if got[name] != wanted[name] {
				t.Errorf("%s is %v, want %v", name, got[name], wanted[name])
			}
		}
	})
}

// Every byte, in every place of the eight that are looked at together and behind them.
func TestStringAsEncodingJSON(t *testing.T) {
	for c := range 256 {
		for at := range 12 {
			s := []byte("abcdefghijkl")
			s[at] = byte(c)
			want, err := json.Marshal(string(s))
			if err != nil {
				t.Fatal(err)
			}
			if got := appendString(nil, string(s)); string(got) != string(want) {
				t.Errorf("%q is written as %s", s, got)
			}
		}
	}
}

func TestToken(t *testing.T) {
	r := newRig(t)
	r.signIn()
	var token map[string]any
	if err := json.Unmarshal([]byte(r.must(200, "GET", "/v1/profiles/prod/token", "")), &token); err != nil {
		t.Fatal(err)
	}
	access, _ := token["access_token"].(string)
	if token["profile"] != "prod" || token["server_url"] != r.langflow.URL || token["token_type"] != "Bearer" || len(strings.Split(access, ".")) != 3 {
		t.Errorf("token: %v", token)
	}
	if in, _ := token["expires_in"].(float64); in < 3500 || in > 3600 || in != float64(int(in)) {
		t.Errorf("expires_in is %v", token["expires_in"])
	}
	if at, _ := token["expires_at"].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`).MatchString(at) {
		t.Errorf("expires_at is %q", at)
	}
	status, header, plain := r.ask("token", "GET", "/v1/profiles/prod/token", "", "Accept", "text/plain")
	if status != 200 || plain != access || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Errorf("as text: %d %q %v", status, plain, header)
	}
	r.must(200, "GET", "/v1/profiles/prod/token?min_valid=30m", "")
	for _, bad := range []string{"", "soon", "-5s", "10", "%zz", "1s&min_valid=2s", "1s&min_valid=1s", "1s&min%5Fvalid=1s", "1s;x"} {
		r.refused(client.TypeBadRequest, "owner", "GET", "/v1/profiles/prod/token?min_valid="+bad, "")
	}
	p := r.refused(client.TypeLifetimeTooShort, "owner", "GET", "/v1/profiles/prod/token?min_valid=3h", "")
	if p.MaxValid == nil || *p.MaxValid < 3500 || *p.MaxValid > 3600 {
		t.Errorf("max_valid is %v", p.MaxValid)
	}
}

// Some HTTP libraries name JSON and text in one Accept, and expect JSON.
func TestTokenAsText(t *testing.T) {
	r := newRig(t)
	r.signIn()
	for accept, want := range map[string]string{
		"text/plain": "text/plain; charset=utf-8", "text/plain, */*;q=0.1": "text/plain; charset=utf-8",
		"application/json, text/plain, */*": "application/json", "*/*": "application/json", "": "application/json",
	} {
		if _, header, _ := r.ask("owner", "GET", "/v1/profiles/prod/token", "", "Accept", accept); header.Get("Content-Type") != want {
			t.Errorf("Accept: %s is answered with %s", accept, header.Get("Content-Type"))
		}
	}
}

func TestTokenProblems(t *testing.T) {
	r := newRig(t)
	r.refused(client.TypeNotFound, "owner", "GET", "/v1/profiles/absent/token", "")
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
	if p := r.refused(client.TypeSignInRequired, "owner", "GET", "/v1/profiles/prod/token", ""); !strings.Contains(p.Detail, `"prod"`) || !strings.Contains(p.Detail, "langkeep login prod") {
		t.Errorf("the detail is %q", p.Detail)
	}
	key := r.langflow.AddAPIKey("admin")
	r.must(200, "POST", "/v1/profiles/prod/login", fmt.Sprintf(`{"method":"api-key","api_key":%q}`, key.Reveal()))
	r.refused(client.TypeNotSupported, "owner", "GET", "/v1/profiles/prod/token", "")
	r.must(200, "POST", "/v1/profiles/prod/login", fmt.Sprintf(`{"method":"password","username":"admin","password":%q}`, langflowtest.Admin().Password))
	r.langflow.Stop()
	status, header, body := r.ask("owner", "GET", "/v1/profiles/prod/token?min_valid=59m59s", "")
	var p client.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatal(err)
	}
	if status != 200 { // the token of this very second may just do
		if p.Kind() != client.TypeServerUnreachable || header.Get("Retry-After") == "" || p.HeldValid == nil || *p.HeldValid < 3000 {
			t.Errorf("%d %s", status, body)
		}
	}
}

// min_valid is a Go duration that is not negative, or it is refused; and only one of
// them counts.
func FuzzMinValid(f *testing.F) {
	for _, s := range []string{
		"min_valid=90s", "min_valid=", "min_valid=-5s", "min_valid=1e9h", "min_valid=9223372036854775807ns", "min_valid=2562047h47m16.854775807s",
		"min_valid=5", "x=1&min_valid=1h&min_valid=1s", "min_valid=%zz", "min_valid=1s;x", "MIN_VALID=1s", "min%5fvalid=1s", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}}
		values, parseErr := url.ParseQuery(query)
		if p := checkQuery(r); p != nil {
			if p.Kind() != client.TypeBadRequest || parseErr == nil && !slices.ContainsFunc(slices.Collect(maps.Values(values)), func(all []string) bool { return len(all) > 1 }) {
				t.Errorf("%q: %v", query, p)
			}
			return
		}
		d, err := minValidOf(r)
		switch {
		case err != nil:
			var p *client.Problem
			if !errors.As(err, &p) || p.Kind() != client.TypeBadRequest || strings.Contains(p.Detail, query) && len(query) > 9 {
				t.Errorf("%q: %v", query, err)
			}
		case d == agent.AnyLifetime:
			if parseErr != nil || values.Has("min_valid") {
				t.Errorf("%q counts as nothing", query)
			}
		case d < 0 || parseErr != nil || len(values["min_valid"]) > 1:
			t.Errorf("%q: %v", query, d)
		default:
			if want, err := time.ParseDuration(values.Get("min_valid")); err != nil || want != d {
				t.Errorf("%q: %v, want %v, %v", query, d, want, err)
			}
		}
	})
}
