package localapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent"
	"langkeep/agent/clock"
	"langkeep/agent/keychain"
	"langkeep/localapi/guard"
)

// stream reads a body's events one by one, as "event data"; "" at its end.
func stream(body io.Reader) (next func() string) {
	lines := bufio.NewScanner(body)
	kind := ""
	return func() string {
		for lines.Scan() {
			if k, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				kind = k
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return kind + " " + data
			}
		}
		return ""
	}
}

func TestEvents(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.must(201, "POST", "/v1/profiles", `{"name":"other","server_url":"https://x.test"}`)
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer read")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("header: %v", res.Header)
	}
	next := stream(res.Body)
	if first := next(); !strings.HasPrefix(first, `state {"name":"prod"`) {
		t.Fatalf("it begins with %q", first)
	}
	r.must(200, "DELETE", "/v1/profiles/other", "") // which this client may not see
	r.must(200, "DELETE", "/v1/profiles/prod", "")
	for {
		switch e := next(); {
		case e == `removed {"name":"prod"}`:
			return
		case e == "", strings.Contains(e, "other"):
			t.Fatalf("a client hears of %q", e)
		}
	}
}

// A quiet stream has a comment every 15 s.
func TestEventsKeepAlive(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a := agent.New(agent.Config{Store: keychain.NewMemory(), Clock: clock.System(), Log: slog.New(slog.DiscardHandler), ProfilesDir: dir})
		s := New(Config{Agent: a, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		if err := s.events(w, httptest.NewRequestWithContext(ctx, "GET", "/v1/events", nil), &guard.Caller{Owner: true}, ""); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(w.Body.String(), ": "); n != 4 {
			t.Errorf("%d comments in a minute: %q", n, w.Body.String())
		}
	})
}

// A page's stream ends with its token.
func TestStreamsEndWithTheToken(t *testing.T) {
	r := newRig(t)
	r.signIn()
	token := r.pageToken()
	for _, path := range []string{"/v1/page/events", "/v1/events"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", r.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		next := stream(res.Body)
		if next() == "" {
			t.Fatalf("%s shows nothing", path)
		}
		for { // newer pages take the token's place
			status, _, _ := r.ask(token, "GET", "/v1/status", "")
			if status == http.StatusUnauthorized {
				break
			}
			r.pageToken()
		}
		r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"later%d","server_url":"https://x.test"}`, len(path)))
		for e := next(); e != ""; e = next() {
			if strings.Contains(e, "later") {
				t.Errorf("%s still tells %s", path, e)
				break
			}
		}
		if ctx.Err() != nil {
			t.Errorf("%s does not end", path)
		}
		token = r.pageToken()
	}
}
