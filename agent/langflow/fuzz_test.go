package langflow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"langkeep/agent/secret"
)

// answerer answers every request alike.
type answerer struct {
	status int
	header http.Header
	body   string
}

func (a answerer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Header: a.header.Clone(), Request: r, Body: io.NopCloser(strings.NewReader(a.body)),
	}, nil
}

// No answer of a server breaks the client or gets a secret of the request into an error,
// and the error's text is fit for a terminal.
func FuzzAnswer(f *testing.F) {
	const ours = "s3cret-refresh-token"
	for _, body := range []string{
		`{"access_token":"a.b.c","refresh_token":"d.e.f","token_type":"bearer"}`, `{"detail":"Incorrect username or password"}`,
		`{"detail":{"message":"Auto login is disabled","auto_login":false}}`, `{"detail":"Invalid refresh token","retry_after":"60"}`,
		`{"version":"1.13.0","main_version":"1.13.0","package":"Langflow"}`, `{"id":"1","username":"admin"}`,
		`{"total_count":1,"user_id":"1","api_keys":[{"id":"1","name":"n","api_key":"sk-****","created_at":"2026-01-02T03:04:05"}]}`,
		`{"authenticated":true}`, `<html>`, `null`, ``,
	} {
		f.Add(200, body, "application/json", "60", "access_token_lf=a.b.c; Path=/", "/elsewhere", "Mon, 02 Mar 2026 03:04:05 GMT")
		f.Add(401, body, "text/html", "Mon, 02 Mar 2026 03:04:05 GMT", "refresh_token_lf="+ours, "http://127.0.0.1/"+ours, "")
	}
	f.Fuzz(func(t *testing.T, status int, body, contentType, retry, cookie, location, date string) {
		if status < 200 || status > 599 {
			return
		}
		transport := answerer{status, http.Header{
			"Content-Type": {contentType}, "Retry-After": {retry}, "Set-Cookie": {cookie}, "Location": {location}, "Date": {date},
		}, body}
		c, err := New("https://flows.example.org/team", Options{Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		held := secret.New(ours)
		tokens, loginErr := c.Login(ctx, "admin", held)
		if loginErr == nil && tokens.Access.Empty() {
			t.Error("a sign-in without a token")
		}
		refreshed, refreshErr := c.Refresh(ctx, held, "refresh_token_lf")
		if refreshErr == nil && refreshed.Access.Empty() {
			t.Error("a refresh without a token")
		}
		_, autoErr := c.AutoLogin(ctx)
		_, versionErr := c.Version(ctx)
		_, whoErr := c.WhoAmI(ctx, Bearer(held))
		_, keysErr := c.Keys(ctx, Key(held))
		made, createErr := c.CreateKey(ctx, Bearer(held), "name", time.Now())
		if createErr == nil && made.Key.Empty() {
			t.Error("a key without a key")
		}
		_, opensErr := c.Opens(ctx, Bearer(held), TokenOnly)
		for _, err := range []error{loginErr, refreshErr, autoErr, versionErr, whoErr, keysErr, createErr, opensErr, c.DeleteKey(ctx, Bearer(held), "id"), c.Logout(ctx, held)} {
			if err == nil {
				continue
			}
			var e *Error
			if !errors.As(err, &e) {
				continue // it needs no answer
			}
			// A server that was not told of it by the request has it from elsewhere.
			if strings.Contains(err.Error(), ours) && err != autoErr && err != versionErr {
				t.Errorf("an error tells a secret: %v", err)
			}
			if i := strings.IndexFunc(e.Detail, func(r rune) bool { return !unicode.IsGraphic(r) }); i >= 0 || len([]rune(e.Detail)) > 200 {
				t.Errorf("a detail for no terminal: %q", e.Detail)
			}
			if e.RetryAfter < 0 || e.RetryAfter > time.Hour {
				t.Errorf("wait %v", e.RetryAfter)
			}
			if e.Final() && (status < 400 || status > 499) {
				t.Errorf("final with status %d: %v", status, err)
			}
		}
	})
}

func FuzzInspect(f *testing.F) {
	f.Add("a.eyJleHAiOjE3NjAwMDAwMDB9.c", int64(1760000000))
	f.Add("a.eyJleHAiOjFlOTl9.c", int64(0))
	f.Fuzz(func(t *testing.T, token string, now int64) {
		if now < 0 || now > 1<<40 {
			return
		}
		expiry, lifetime := Inspect(secret.New(token), time.Unix(now, 0))
		if lifetime < 0 || expiry.IsZero() && lifetime != 0 {
			t.Errorf("%v, %v", expiry, lifetime)
		}
	})
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"https://flows.example.org/team/a/", "http://[::1]:7860", "HTTPS://User:pw@Host:443/a//b?x#y", "flows.example.org"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := ParseURL(raw)
		if err != nil {
			return
		}
		if again, err := ParseURL(u); err != nil || again != u {
			t.Errorf("%q becomes %q, and that %q, %v", raw, u, again, err)
		}
		origin, err := Origin(u)
		if again, againErr := Origin(origin); err != nil || againErr != nil || again != origin || strings.Contains(origin, "@") {
			t.Errorf("%q of origin %q, and that of %q, %v", u, origin, again, err)
		}
	})
}

// With any cookies that a server sets at a sign-in, the next refresh sends its token in
// one cookie that no text of the server's has ended or added to.
func FuzzCookies(f *testing.F) {
	for _, s := range []string{
		"refresh_token_lf=d.e.f; HttpOnly; Path=/; SameSite=lax", "refresh_token_lf_%2Fteam=d.e.f; Path=/team/", "refresh_token_lf_;x=1",
		"refresh_token_lf_\r\nX-Evil: 1=2", "refresh_token_lf_a b=1; Domain=evil.test", "refresh_token_lf_\x00=1", "refresh_token_lf_\xff=\"\"", "=",
	} {
		f.Add(s, "access_token_lf=a.b.c; Max-Age=-1", "d.e.f")
	}
	f.Fuzz(func(t *testing.T, first, second, refresh string) {
		body, err := json.Marshal(map[string]string{"access_token": "a.b.c", "refresh_token": refresh})
		if err != nil {
			t.Fatal(err)
		}
		var sent *http.Request
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			sent = r
			return answerer{200, http.Header{"Set-Cookie": {first, second}}, string(body)}.RoundTrip(r)
		})
		c, err := New("https://flows.example.org/team", Options{Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := c.Login(context.Background(), "admin", secret.New("password"))
		if err != nil || tokens.Refresh.Empty() {
			return
		}
		sent = nil
		_, err = c.Refresh(context.Background(), tokens.Refresh, tokens.CookieName)
		if sent == nil {
			if err == nil {
				t.Error("refreshed without asking")
			}
			return
		}
		lines := sent.Header["Cookie"]
		if len(lines) != 1 || strings.ContainsFunc(lines[0], func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("sent the cookies %q", lines)
		}
		names := []string{plainCookie, plainCookie + "_%2Fteam"}
		if learned := tokens.CookieName; learned != "" && !slices.Contains(names, learned) {
			names = append(names, learned)
		}
		cookies := sent.Cookies()
		if len(cookies) != len(names) {
			t.Fatalf("%q are not %q", lines, names)
		}
		for i, cookie := range cookies {
			if cookie.Name != names[i] || !strings.HasPrefix(cookie.Name, plainCookie) || cookie.Value != tokens.Refresh.Reveal() {
				t.Errorf("%q: %q = %q", lines, cookie.Name, cookie.Value)
			}
		}
	})
}

// roundTripper is a function that answers.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// However a server asks to wait, it is never for more than an hour, and for
// exactly the seconds that it says where they are a number.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{
		"60", "-1", "0", "1e9", "18446744073709551616", "99999999999999999999999", " 5 ", "5s", "+5", "0x10", "١",
		"Mon, 02 Mar 2026 03:04:05 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT",
	} {
		f.Add(s, "Mon, 02 Mar 2026 03:00:00 GMT", int64(1772420640))
		f.Add(s, "never", int64(0))
	}
	f.Fuzz(func(t *testing.T, value, date string, now int64) {
		got := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, time.Unix(now%(1<<40), 0))
		if got < 0 || got > time.Hour {
			t.Errorf("%q at %q: %v", value, date, got)
		}
		digits := strings.TrimSpace(value)
		if n, err := strconv.Atoi(digits); err == nil && n >= 0 && n <= 3600 && digits[0] != '+' && digits[0] != '-' && got != time.Duration(n)*time.Second {
			t.Errorf("%q: %v", value, got)
		}
	})
}

// With any Date and any exp, the time left is that of a believable token, and the offset
// of the server's clock stays within ten years.
func FuzzDate(f *testing.F) {
	for _, s := range []string{
		"Mon, 02 Mar 2026 03:04:05 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "Monday, 02-Mar-26 03:04:05 GMT",
		"Mon Mar  2 03:04:05 2026", "yesterday", "",
	} {
		f.Add(s, "", 1772424245.0)
		f.Add(s, "7", 1e300)
		f.Add(s, "0", -5.0)
		f.Add(s, "", 253402300900.0) // a minute into the year 10000
	}
	f.Fuzz(func(t *testing.T, date, age string, exp float64) {
		claims, err := json.Marshal(map[string]float64{"exp": exp})
		if err != nil {
			return // not a number of JSON's
		}
		token := "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c"
		header := http.Header{"Date": {date}}
		if age != "" {
			header.Set("Age", age)
		}
		c, err := New("https://flows.example.org", Options{Transport: answerer{200, header, `{"access_token":"` + token + `","refresh_token":"` + token + `"}`}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time something is known
			got, err := c.AutoLogin(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if got.AccessLifetime < 0 || got.AccessLifetime > MaxLifetime+time.Second || got.AccessLifetime != got.RefreshLifetime {
				t.Errorf("Date %q, exp %v: lives %v and %v", date, exp, got.AccessLifetime, got.RefreshLifetime)
			}
			if got.AccessExpiry.IsZero() != (exp < 1) {
				t.Errorf("exp %v is %v", exp, got.AccessExpiry)
			}
			if _, err := json.Marshal(got.AccessExpiry); err != nil {
				t.Errorf("Date %q, exp %v: an end that no answer of ours can hold: %v", date, exp, err)
			}
		}
	})
}
