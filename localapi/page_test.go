package localapi

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// pageToken is a new page's, exchanged over the API.
func (r *rig) pageToken() string {
	r.t.Helper()
	status, _, body := r.ask("", "POST", "/v1/page/token", fmt.Sprintf(`{"code":%q}`, r.pages.NewCode(true).Reveal()), "Origin", r.url)
	var answered struct {
		Token     string
		ExpiresIn int64 `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(body), &answered); err != nil || status != 200 || answered.ExpiresIn != 12*3600 {
		r.t.Fatalf("no token for the page: %d %s", status, body)
	}
	return answered.Token
}

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

// What the page's policy forbids, its files do not try.
func TestPageIsPlain(t *testing.T) {
	r := newRig(t)
	_, _, page := r.ask("owner", "GET", "/", "")
	_, _, script := r.ask("owner", "GET", "/ui/app.js", "")
	_, _, style := r.ask("owner", "GET", "/ui/style.css", "")
	for name, bad := range map[string]string{
		"markup from text": `innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function`,
		"a cookie":         `document\.cookie`,
		"another place":    `https?://[a-z0-9.-]+\.(com|net|io|dev)|@import|url\(`,
	} {
		if found := regexp.MustCompile(bad).FindString(page + script + style); found != "" {
			t.Errorf("%s: %s", name, found)
		}
	}
	if found := regexp.MustCompile(`<style| style=| on[a-z]+=|<script>`).FindString(page); found != "" {
		t.Errorf("inline: %s", found)
	}
}

func TestPageCodeRoute(t *testing.T) {
	r := newRig(t)
	var answered struct {
		URL       string
		ExpiresIn int64 `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(r.must(201, "POST", "/v1/page/code", "")), &answered); err != nil {
		t.Fatal(err)
	}
	link := answered.URL
	if answered.ExpiresIn != 30 {
		t.Errorf("it lives %d s", answered.ExpiresIn)
	}
	if runtime.GOOS != "linux" { // where the user behind a connection can't be told
		link = r.readPageFile(link)
	}
	code, ok := strings.CutPrefix(link, r.url+"/#code=")
	if !ok || !strings.HasPrefix(code, "lk_") {
		t.Fatal("the link is not the page's")
	}
	body := fmt.Sprintf(`{"code":%q}`, code)
	exchange := func(origin, body string) (int, string) {
		status, _, answered := r.ask("owner", "POST", "/v1/page/token", body, "Origin", origin)
		return status, answered
	}
	for origin, body := range map[string]string{
		"http://evil.example": body, "null": body, r.url + "/": body, r.url: `{"code":"lk_no"}`,
	} {
		if status, answered := exchange(origin, body); status != 403 {
			t.Errorf("from %s: %d %s", origin, status, answered)
		}
	}
	status, answeredBody := exchange(r.url, body)
	if status != 200 || !strings.Contains(answeredBody, `"token":"lk_`) {
		t.Errorf("a code gives %d %s", status, answeredBody)
	}
	if status, _ := exchange(r.url, body); status != 403 {
		t.Errorf("a code twice: %d", status)
	}
	// A page can't make itself live longer.
	token := r.pageToken()
	status, _, answeredBody = r.ask(token, "POST", "/v1/page/code", "", "Origin", r.url)
	if status != 403 || strings.Contains(answeredBody, "#code") {
		t.Errorf("a page gets a code: %d", status)
	}
}

func (r *rig) readPageFile(link string) string {
	r.t.Helper()
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "file" {
		r.t.Fatalf("%q is no file: %v", link, err)
	}
	text, err := os.ReadFile(r.server.PageFile)
	if err != nil {
		r.t.Fatal(err)
	}
	found := regexp.MustCompile(`content="0; url=([^"]+)"`).FindSubmatch(text)
	if found == nil {
		r.t.Fatalf("the file leads nowhere: %s", text)
	}
	return html.UnescapeString(string(found[1]))
}

// Where a code must not be among a browser's arguments it is in a file.
func TestPageFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "open here.html")
	f := pageFile{path: path}
	if err := f.write("http://127.0.0.1:17860/#code=lk_x"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	r := &rig{t: t, server: &Server{Config: Config{PageFile: path}}}
	if got := r.readPageFile(fileURL(path)); got != "http://127.0.0.1:17860/#code=lk_x" {
		t.Errorf("it leads to %q", got)
	}
	f.remove()
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is still there")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f.remove(); !exists(path) {
		t.Error("a file of somebody else's was removed")
	}
	for in, want := range map[string]string{"/run/a b/open.html": "file:///run/a%20b/open.html", "C:/Users/x/open.html": "file:///C:/Users/x/open.html"} {
		if got := fileURL(in); got != want {
			t.Errorf("%s is %s", in, got)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
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

func TestSettings(t *testing.T) {
	r := newRig(t)
	r.signIn()
	if err := os.WriteFile(r.config, []byte("# mine\n[notify]\noffline = true # always\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const before = `{"default_profile":"","log_level":"info","notify":{"sign_in_required":true,"offline":true,"back_to_normal":true}}`
	if body := r.must(200, "GET", "/v1/settings", ""); strings.TrimSpace(body) != before {
		t.Errorf("settings: %s", body)
	}
	// Nothing is changed where one of the settings is refused.
	for _, name := range []string{"nosuch", "Prod", "../prod"} {
		p := r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/settings", `{"default_profile":"`+name+`","log_level":"debug"}`)
		if !strings.Contains(p.Detail, "default_profile") || !strings.Contains(p.Detail, name) {
			t.Errorf("%s: the detail is %q", name, p.Detail)
		}
	}
	if body := r.must(200, "GET", "/v1/settings", ""); strings.TrimSpace(body) != before {
		t.Errorf("settings after a profile that is not there: %s", body)
	}
	const after = `{"default_profile":"prod","log_level":"info","notify":{"sign_in_required":true,"offline":false,"back_to_normal":true}}`
	if body := r.must(200, "PATCH", "/v1/settings", `{"default_profile":"prod","notify":{"offline":false}}`); strings.TrimSpace(body) != after {
		t.Errorf("changed: %s", body)
	}
	text, err := os.ReadFile(r.config)
	if want := "# mine\ndefault_profile = \"prod\"\n[notify]\noffline = false # always\n"; err != nil || string(text) != want {
		t.Errorf("the file is %q, %v", text, err)
	}
	r.must(200, "PATCH", "/v1/settings", `{"default_profile":""}`)
	// One that a person wrote and that is gone is no change of this request.
	if err := os.WriteFile(r.config, []byte("default_profile = \"gone\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.must(200, "PATCH", "/v1/settings", `{"default_profile":"gone","log_level":"debug"}`)
	r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/settings", `{"log_level":"loud"}`)
	r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/settings", `{"listen":"0.0.0.0:1"}`)
	if err := os.WriteFile(r.config, []byte("listen = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := r.refused(client.TypeConflict, "owner", "PATCH", "/v1/settings", `{"log_level":"debug"}`); !strings.Contains(p.Detail, "config.toml:1") {
		t.Errorf("the detail is %q", p.Detail)
	}
}

func TestProbe(t *testing.T) {
	r := newRig(t)
	other := langflowtest.New(langflowtest.Options{})
	defer other.Close()
	probe := func(body string) client.Offer {
		t.Helper()
		var o client.Offer
		if err := json.Unmarshal([]byte(r.must(200, "POST", "/v1/probe", body)), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	o := probe(fmt.Sprintf(`{"server_url":%q}`, r.langflow.URL+"/api/v1/"))
	if o.ServerURL != r.langflow.URL || o.Version != "1.13.0" || o.Name != "local" || fmt.Sprint(o.Methods) != "[password refresh-token api-key]" {
		t.Errorf("the offer is %+v", o)
	}
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"local","server_url":%q}`, r.langflow.URL))
	r.langflow.SetAutoLogin(true)
	if o := probe(`{"profile":"local"}`); o.Name != "local-2" || fmt.Sprint(o.Methods) != "[auto-login password refresh-token api-key]" {
		t.Errorf("the offer is %+v", o)
	}
	r.refused(client.TypeNotFound, "owner", "POST", "/v1/probe", `{"profile":"absent"}`)
	r.refused(client.TypeBadRequest, "owner", "POST", "/v1/probe", `{"profile":"local","server_url":"https://x.test"}`)

	host := strings.TrimPrefix(r.langflow.URL, "http://")
	for _, test := range []struct {
		fault               langflowtest.Fault
		url                 string
		kind, reason, words string
	}{
		{url: "http://flows.example.org", kind: client.TypeBadRequest, reason: "plain-http", words: "http:// sends your password unprotected. Use https://, or allow it for this server."},
		{url: "flows", kind: client.TypeBadRequest, words: "The server's url has no scheme; write it as https://host, or http://127.0.0.1:7860 for this computer."},
		{url: "", kind: client.TypeBadRequest, words: "The server's url is empty; write it as https://host."},
		{fault: langflowtest.HTML(200), kind: client.TypeServerUnreachable, reason: "not-langflow", words: "Something answers there, but it isn't Langflow."},
		{fault: langflowtest.HTML(502), kind: client.TypeServerUnreachable, reason: "server-error", words: host + " has a problem of its own."},
		{fault: langflowtest.Busy(429, "42"), kind: client.TypeTooManyRequests, reason: "rate-limited", words: "Too many sign-ins from here. Try again in 42 s."},
		{fault: langflowtest.Redirect(308, other.URL+"/api/v1/version"), kind: client.TypeServerUnreachable, reason: "moved", words: "The server moved to " + other.URL + ". Use that address?"},
		{fault: langflowtest.Redirect(302, "https://[::1]:1/sign-in?next=/api/v1/version"), kind: client.TypeServerUnreachable, reason: "not-langflow", words: "Something answers there, but it isn't Langflow."},
		{fault: langflowtest.Fault{Reset: true}, kind: client.TypeServerUnreachable, reason: "unreachable", words: "Can't reach " + host + "."},
	} {
		url := test.url
		if test.fault.Status != 0 || test.fault.Reset {
			url = r.langflow.URL
			r.langflow.Fault("/version", test.fault)
		}
		p := r.refused(test.kind, "owner", "POST", "/v1/probe", fmt.Sprintf(`{"server_url":%q}`, url))
		if p.Reason != test.reason || p.Words != test.words || (p.MovedTo == other.URL) != (test.reason == "moved") {
			t.Errorf("%q: %+v, want %q", url, p, test.words)
		}
		r.langflow.ClearFaults()
	}
}

// A sign-in's problem has the words of a page, which names no command.
func TestLoginWords(t *testing.T) {
	r := newRig(t)
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
	for body, want := range map[string]string{
		`{"method":"password","username":"admin","password":"no"}`: "That user name and password don't match.",
		`{"method":"refresh-token","refresh_token":"eyJ"}`:         "The server does not accept this token.",
		`{"method":"auto-login"}`:                                  "This server wants a user name and password.",
		`{"method":"password"}`:                                    "Method password needs a user name and a password.",
	} {
		_, _, answered := r.ask("owner", "POST", "/v1/profiles/prod/login", body)
		var p client.Problem
		if err := json.Unmarshal([]byte(answered), &p); err != nil || p.Words != want {
			t.Errorf("%s: %q, %v, want %q", body, p.Words, err, want)
		}
	}
}

func TestRecentEvents(t *testing.T) {
	r := newRig(t)
	// said waits for the newest event of a profile.
	said := func(profile, want string) client.RecentEvent {
		t.Helper()
		var last string
		for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
			var all client.RecentEvents
			last = r.must(200, "GET", "/v1/events/recent", "")
			if err := json.Unmarshal([]byte(last), &all); err != nil {
				t.Fatal(err)
			}
			if len(all.Events) > 0 && all.Events[0].Profile == profile && all.Events[0].Words == want {
				return all.Events[0]
			}
		}
		t.Fatalf("nobody said %q of %s: %s", want, profile, last)
		return client.RecentEvent{}
	}
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
	said("prod", "Added.")
	r.must(200, "POST", "/v1/profiles/prod/login", fmt.Sprintf(`{"method":"password","username":"admin","password":%q}`, langflowtest.Admin().Password))
	said("prod", "Signed in as admin.")
	if _, _, body := r.ask("read", "GET", "/v1/events/recent", ""); !strings.Contains(body, "prod") {
		t.Errorf("a client does not see its own: %s", body)
	}
	r.must(200, "POST", "/v1/profiles/prod/logout", "")
	if e := said("prod", "Signed out."); e.State != client.SignedOut || e.Times != 1 {
		t.Errorf("the event is %+v", e)
	}
	r.must(200, "DELETE", "/v1/profiles/prod", "")
	said("prod", "Removed.")
	r.must(201, "POST", "/v1/profiles", `{"name":"other","server_url":"https://x.test"}`)
	said("other", "Added.")
	if _, _, body := r.ask("read", "GET", "/v1/events/recent", ""); strings.Contains(body, "other") {
		t.Errorf("a client sees what is not its own: %s", body)
	}
}

func TestRecentIsBounded(t *testing.T) {
	var l recent
	for range 3 {
		l.note("a", client.Fresh, "Refreshed.")
		l.note("b", client.Fresh, "Refreshed.")
	}
	owner := &guard.Caller{Owner: true}
	if got := l.seen(owner).Events; len(got) != 2 || got[0].Profile != "b" || got[0].Times != 3 {
		t.Errorf("the same in a row: %+v", got)
	}
	l.note("a", client.SignedOut, "Signed out.")
	l.note("a", client.Fresh, "Refreshed.")
	if got := l.seen(owner).Events; len(got) != 4 || got[0].Times != 1 {
		t.Errorf("the same after another: %+v", got)
	}
	for i := range 2 * recentKept {
		l.note(fmt.Sprint(i), client.Fresh, "Added.")
	}
	if got := l.seen(owner).Events; len(got) != recentKept || got[0].Profile != fmt.Sprint(2*recentKept-1) {
		t.Errorf("%d events, the first of %s", len(got), got[0].Profile)
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
	p := Present(agent.Snapshot{Name: "x", State: agent.SignInRequired, Reason: "session-ended",
		AccessExpires: now.Add(time.Hour), RefreshExpires: now.Add(time.Hour), LastRefresh: now})
	if c := card(p, now); !c.NeedsYou || c.Share != nil || c.TokenLeft != "–" || c.SessionLeft != "–" {
		t.Errorf("the card is %+v", c)
	}
	p.State = client.SignedOut
	if card(p, now).NeedsYou {
		t.Error("who signed out is bothered")
	}
}

func TestFreeName(t *testing.T) {
	a := agent.New(agent.Config{Clock: clock.System(), ProfilesDir: t.TempDir()})
	s := &Server{Config: Config{Agent: a}}
	for url, want := range map[string]string{
		"https://flows.example.org": "flows", "https://www.example.org/team/a": "example", "http://127.0.0.1:7860": "local",
		"http://[::1]:7860": "local", "http://localhost": "local", "https://192.0.2.1": "langflow", "https://con.example": "langflow",
	} {
		if got := s.freeName(url); got != want || config.ValidName(got) != nil {
			t.Errorf("%s is %s, want %s", url, got, want)
		}
	}
}

// What a page is shown ends with its token.
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
