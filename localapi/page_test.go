package localapi

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/config"
	"langkeep/assets"
	"langkeep/localapi/client"
)

func TestPageFiles(t *testing.T) {
	r := newRig(t)
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/ui/app.js": "text/javascript; charset=utf-8",
		"/ui/style.css": "text/css; charset=utf-8", "/ui/icon.svg": "image/svg+xml",
	} {
		res, err := http.Get(r.url + path) // no token
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		h := res.Header
		if res.StatusCode != 200 || h.Get("Content-Type") != kind {
			t.Errorf("%s: %d %q", path, res.StatusCode, h.Get("Content-Type"))
		}
		policy := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy lacks %s", path, part)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
		if h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Set-Cookie") != "" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// No script imports another in a circle: a reader would have no end to begin at, and what a
// script has at its top might not be there yet.
func TestPageImportsRunOneWay(t *testing.T) {
	files, err := assets.Page.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for _, f := range files {
		text, err := assets.Page.ReadFile("page/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^import [^;]*"\./([a-z]+\.js)"`).FindAllStringSubmatch(string(text), -1) {
			imports[f.Name()] = append(imports[f.Name()], found[1])
		}
	}
	if len(imports) < 5 {
		t.Fatalf("only %v import anything", imports)
	}
	done := map[string]bool{}
	var follow func(way []string)
	follow = func(way []string) {
		last := way[len(way)-1]
		if i := slices.Index(way, last); i < len(way)-1 {
			t.Errorf("a circle: %s", strings.Join(way[i:], " → "))
			return
		}
		for _, next := range imports[last] {
			if !done[next] {
				follow(append(slices.Clone(way), next))
			}
		}
		done[last] = true
	}
	for name := range imports {
		follow([]string{name})
	}
}

// The page's files try nothing that its policy forbids.
func TestPageIsPlain(t *testing.T) {
	var page string
	files, err := assets.Page.ReadDir("page")
	if err != nil || len(files) < 3 {
		t.Fatalf("the page has the files %v: %v", files, err)
	}
	for _, f := range files {
		text, err := assets.Page.ReadFile("page/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		page += string(text)
	}
	for name, bad := range map[string]string{
		"markup from text": `innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function`,
		"a cookie":         `document\.cookie`,
		"another place":    `https?://[a-z0-9.-]+\.(com|net|io|dev)|@import|url\(`,
	} {
		if found := regexp.MustCompile(bad).FindString(page); found != "" {
			t.Errorf("%s: %s", name, found)
		}
	}
	if found := regexp.MustCompile(`<style| style=| on[a-z]+=|<script>`).FindString(page); found != "" {
		t.Errorf("inline: %s", found)
	}
}

// The page may all but what gives a credential, and changes nothing without an
// Origin.
func TestPageRights(t *testing.T) {
	r := newRig(t)
	r.signIn()
	token := r.pageToken()
	for _, test := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/v1/status", "", 200},
		{"GET", "/v1/profiles/prod", "", 200},
		{"GET", "/v1/profiles/prod/token", "", 403},
		{"GET", "/v1/events/recent", "", 200},
		{"GET", "/v1/settings", "", 200},
		{"PATCH", "/v1/settings", `{"notify":{"offline":false}}`, 200},
		{"POST", "/v1/probe", `{"profile":"prod"}`, 200},
		{"POST", "/v1/profiles/prod/refresh", "", 200},
		{"PATCH", "/v1/profiles/prod", `{"allow_http":true}`, 200},
		{"POST", "/v1/profiles/prod/logout", "", 200},
		{"DELETE", "/v1/profiles/prod", "", 200},
		{"POST", "/v1/profiles/absent/refresh", "", 404},
	} {
		if test.method != "GET" {
			status, _, body := r.ask(token, test.method, test.path, test.body)
			if status != 403 || !strings.Contains(body, client.TypeForbiddenOrigin) {
				t.Errorf("%s %s without an Origin: %d %s", test.method, test.path, status, body)
			}
		}
		status, _, body := r.ask(token, test.method, test.path, test.body, "Origin", r.url)
		if status != test.want {
			t.Errorf("%s %s: %d %s, want %d", test.method, test.path, status, body, test.want)
		}
	}
}

func TestPageEvents(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.must(201, "POST", "/v1/profiles", `{"name":"other","server_url":"https://x.test"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", r.url+"/v1/page/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer read") // which sees prod alone
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	next := stream(res.Body)
	var kinds []string
	for len(kinds) == 0 || kinds[len(kinds)-1] != "ready" {
		kind, data, _ := strings.Cut(next(), " ")
		if kind == "" || strings.Contains(data, "other") {
			t.Fatalf("after %v: %s", kinds, data)
		}
		kinds = append(kinds, kind)
		if kind == "card" {
			var c client.Card
			if err := json.Unmarshal([]byte(data), &c); err != nil {
				t.Fatal(err)
			}
			if c.Name != "prod" || !strings.HasPrefix(c.Long, "Signed in as admin.") || c.Share == nil || *c.Share < .9 || c.NeedsYou {
				t.Errorf("the card is %s", data)
			}
		}
	}
	if got := strings.Join(kinds, " "); got != "about card recent ready" {
		t.Errorf("it begins with %s", got)
	}
	r.must(200, "DELETE", "/v1/profiles/prod", "")
	for {
		e := next()
		if e == "" {
			t.Fatal("nobody tells of the removal")
		}
		if e == `removed {"name":"prod"}` {
			return
		}
	}
}

// The state is nothing that a person should take for a promise once they are
// needed.
func TestCardThatNeedsYou(t *testing.T) {
	now := time.Now()
	p := Present(agent.Snapshot{Profile: config.Profile{Name: "x"}, State: agent.SignInRequired, Reason: "session-ended",
		AccessExpires: now.Add(time.Hour), RefreshExpires: now.Add(time.Hour), LastRefresh: now})
	if c := card(p, now); !c.NeedsYou || c.Share != nil || c.TokenLeft != "–" || c.SessionLeft != "–" {
		t.Errorf("the card is %+v", c)
	}
	p.State = client.SignedOut
	if card(p, now).NeedsYou {
		t.Error("who signed out is bothered")
	}
	if way := card(p, now).SignIn; way != "form" {
		t.Errorf("after a sign-out the way in is %q", way)
	}
	p.State, p.Reason = client.Stale, new("gateway")
	if c := card(p, now); !c.NeedsYou || c.SessionLeft == "–" || c.SignIn != "browser" {
		t.Errorf("behind a gateway the card is %+v", c)
	}
}
