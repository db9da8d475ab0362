package langflow

import (
	"context"
	"errors"
	"io"
	"net/http"
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

// Whatever a server answers, nothing breaks, no secret of the request gets into
// an error, and what is said is fit for a terminal.
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
