package localapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/chromium"
	"langkeep/agent/config"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// Every field of a profile is there, even when nothing is known.
func TestUnknownIsNull(t *testing.T) {
	body, err := json.Marshal(Present(agent.Snapshot{Profile: config.Profile{Name: "x"}, State: agent.SignedOut}))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatal(err)
	}
	if n := reflect.TypeFor[client.Profile]().NumField(); len(fields) != n {
		t.Errorf("%d fields of %d: %s", len(fields), n, body)
	}
	for _, name := range []string{"username", "method", "reason", "access_expires_at", "refresh_expires_at", "last_refresh_at",
		"next_attempt_at", "server_version", "clock_offset_seconds", "proxy_url"} {
		if v, ok := fields[name]; !ok || v != nil {
			t.Errorf("%s is %v", name, v)
		}
	}
}

func TestLoginProblems(t *testing.T) {
	r := newRig(t)
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
	const path = "/v1/profiles/prod/login"
	p := r.refused(client.TypeSignInRequired, "owner", "POST", path, `{"method":"password","username":"admin","password":"hunter2hunter2"}`)
	if p.Reason != "wrong-password" || strings.Contains(p.Detail, "hunter2") {
		t.Errorf("problem: %+v", p)
	}
	for _, body := range []string{``, `[]`, `{"method":"magic"}`, `{"method":"password"}`, `{"method":"password","pasword":"hunter2hunter2"}`,
		`{"method":"password","username":"a","password":["hunter2hunter2"]}`, `{"method":"auto-login"}{}`, `{"method":1}`} {
		if p := r.refused(client.TypeBadRequest, "owner", "POST", path, body); strings.Contains(p.Detail, "hunter2") {
			t.Errorf("the answer to %s has the password: %s", body, p.Detail)
		}
	}
	p = r.refused(client.TypeSignInRequired, "owner", "POST", path, `{"method":"auto-login"}`)
	if p.Reason != "auto-login-off" {
		t.Errorf("the reason is %q", p.Reason)
	}
	r.langflow.Fault("/login", langflowtest.Busy(429, "42"))
	status, header, _ := r.ask("owner", "POST", path, `{"method":"password","username":"a","password":"b"}`)
	if status != 429 || header.Get("Retry-After") != "42" {
		t.Errorf("Langflow's own limit is passed on as %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	r.refused(client.TypeTooLarge, "owner", "POST", path, `{"method":"`+strings.Repeat("x", 1<<20)+`"}`)
	r.langflow.Stop()
	r.refused(client.TypeServerUnreachable, "owner", "POST", path, `{"method":"auto-login"}`)
}

func TestProfileProblems(t *testing.T) {
	r := newRig(t)
	for _, body := range []string{
		`{"name":"Prod","server_url":"https://x.test"}`, `{"name":"con","server_url":"https://x.test"}`, `{"name":"","server_url":"https://x.test"}`,
		`{"name":"a","server_url":"x.test"}`, `{"name":"a","server_url":"ftp://x.test"}`, `{"name":"a","server_url":"https://u:p@x.test"}`,
		`{"name":"a","server_url":"http://x.test"}`, `{"name":"a","server_url":"https://x.test","ca_file":"/nonexistent"}`,
		`{"name":"../a","server_url":"https://x.test"}`, `{"name":"a","server_url":"https://x.test","ca_file":"/dev/zero"}`,
	} {
		r.refused(client.TypeBadRequest, "owner", "POST", "/v1/profiles", body)
	}
	r.must(201, "POST", "/v1/profiles", `{"name":"a","server_url":"http://x.test","allow_http":true}`)
	r.refused(client.TypeConflict, "owner", "POST", "/v1/profiles", `{"name":"a","server_url":"https://x.test"}`)
	r.refused(client.TypeNotFound, "owner", "PATCH", "/v1/profiles/b", `{}`)
	// It is what GET answers for the default, and would be no change here.
	for _, body := range []string{`null`, `{"key_lifetime":null}`, `{"key_lifetime":"1h","proxy_allow_origins":[null]}`} {
		r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/profiles/a", body)
	}
	r.refused(client.TypeNotFound, "owner", "DELETE", "/v1/profiles/b", ``)
	r.refused(client.TypeNotFound, "owner", "POST", "/v1/profiles/b/logout", ``)
}

// fakeWindow is a browser's window whose cookies a test sets.
type fakeWindow struct {
	mu     sync.Mutex // protects the following
	has    []chromium.Cookie
	closed chan struct{} // by Close
}

func (w *fakeWindow) Cookies(context.Context) ([]chromium.Cookie, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.has, nil
}

func (w *fakeWindow) Closed() <-chan struct{} { return nil }

func (w *fakeWindow) Close() error {
	close(w.closed)
	return nil
}

// A sign-in in the browser outlives the page that began it, since a page may be loaded
// again, and ends with a program's request.
func TestSignInOfALeavingPage(t *testing.T) {
	for name, page := range map[string]bool{"a page": true, "a program": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.window = &fakeWindow{closed: make(chan struct{})}
			r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
			token, origin := "owner", ""
			if page {
				token, origin = r.pageToken(), r.url
			}
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			req, err := http.NewRequestWithContext(ctx, "POST", r.url+"/v1/profiles/prod/login", strings.NewReader(`{"browser":true}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			if origin != "" {
				req.Header.Set("Origin", origin)
			}
			left := make(chan error, 1)
			go func() {
				res, err := http.DefaultClient.Do(req)
				if err == nil {
					res.Body.Close()
				}
				left <- err
			}()
			profile := func() agent.Snapshot {
				snap, err := r.agent.Profile("prod")
				if err != nil {
					t.Fatal(err)
				}
				return snap
			}
			for !profile().SigningIn {
				time.Sleep(time.Millisecond)
			}
			leave()
			if err := <-left; err == nil {
				t.Fatal("the sign-in has ended")
			}
			if !page {
				<-r.window.closed
				return
			}
			client, err := langflow.New(r.langflow.URL, langflow.Options{})
			if err != nil {
				t.Fatal(err)
			}
			tokens, err := client.Login(t.Context(), langflowtest.Admin().Name, secret.New(langflowtest.Admin().Password))
			if err != nil {
				t.Fatal(err)
			}
			r.window.mu.Lock()
			r.window.has = []chromium.Cookie{{Name: "refresh_token_lf", Value: tokens.Refresh, Domain: "127.0.0.1", HostOnly: true, Path: "/"}}
			r.window.mu.Unlock()
			<-r.window.closed
			for profile().SigningIn {
				time.Sleep(time.Millisecond)
			}
			if snap := profile(); snap.State != agent.Fresh {
				t.Errorf("it is %s", snap.State)
			}
		})
	}
}

// One header of a gateway is changed alone, and is shown to nobody.
func TestChangeOneHeader(t *testing.T) {
	r := newRig(t)
	r.signIn()
	const path = "/v1/profiles/prod"
	r.refused(client.TypeBadRequest, "owner", "PATCH", path, `{"gateway_headers":{"X-Pass":"SECRET"},"allow_http":true}`)
	r.refused(client.TypeBadRequest, "owner", "PATCH", path, `{"gateway_headers":{"Host":"SECRET"}}`)
	r.refused(client.TypeForbidden, r.newClient("manager", "manage"), "PATCH", path, `{"gateway_headers":{"X-Pass":"SECRET"}}`)
	answered := r.must(200, "PATCH", path, `{"gateway_headers":{"X-Pass":"SECRET"}}`)
	if !strings.Contains(answered, `"gateway_headers":["X-Pass"]`) || strings.Contains(answered, "SECRET") {
		t.Errorf("answered: %s", answered)
	}
	if answered := r.must(200, "PATCH", path, `{"gateway_headers":{"X-Pass":""}}`); !strings.Contains(answered, `"gateway_headers":[]`) {
		t.Errorf("answered: %s", answered)
	}
	r.must(200, "POST", path+"/logout", "")
	r.refused(client.TypeSignInRequired, "owner", "PATCH", path, `{"gateway_headers":{"X-Pass":"SECRET"}}`)
}

// The arguments of commands may be secrets, and paths are nobody's business: only the owner
// and the page see them.
func TestWhoSeesCommands(t *testing.T) {
	r := newRig(t)
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(
		`{"name":"prod","server_url":%q,"header_command":["helper","SECRET"],"token_command":["helper","SECRET"]}`, r.langflow.URL))
	everything := r.newClient("eager", "read", "token", "api-key", "proxy", "manage")
	for path, method := range map[string]string{"/v1/status": "GET", "/v1/profiles": "GET", "/v1/profiles/prod": "GET", "/v1/profiles/prod/logout": "POST"} {
		for _, token := range []string{"owner", everything} {
			status, _, answered := r.ask(token, method, path, "")
			if shown := strings.Contains(answered, "SECRET"); status != 200 || shown != (token == "owner") || !strings.Contains(answered, `"header_command":["helper`) {
				t.Errorf("%s %s as %.5s: %d, with the arguments: %t", method, path, token, status, shown)
			}
		}
	}
	for path, kind := range map[string]string{"/v1/events": "state ", "/v1/page/events": "card "} {
		for _, token := range []string{"owner", everything} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			next := stream(res.Body)
			event := next()
			for event != "" && !strings.HasPrefix(event, kind) {
				event = next()
			}
			res.Body.Close()
			if shown := strings.Contains(event, "SECRET"); event == "" || shown != (token == "owner") {
				t.Errorf("%s as %.5s: %q", path, token, event)
			}
		}
	}
	secret := agent.Snapshot{Profile: config.Profile{ClientCert: "/home/ana/me.pem", ClientKey: "/home/ana/me.key"}}
	for caller, shown := range map[*guard.Caller]bool{{Owner: true}: true, {Page: true}: true, {Scopes: []guard.Scope{guard.Read, guard.Manage}}: false} {
		if p := presentTo(caller, secret); (p.ClientCert != nil) != shown || (p.ClientKey != nil) != shown {
			t.Errorf("%+v sees the certificate's files: %t", caller, !shown)
		}
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

// A sign-in may change the profile's settings for the owner alone, since a command among
// them is a program to run. One that fails changes nothing.
func TestLoginWithChange(t *testing.T) {
	r := newRig(t)
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
	const path = "/v1/profiles/prod/login"
	login := func(password string) string {
		return fmt.Sprintf(`{"method":"password","username":%q,"password":%q,"change":{"allow_http":true}}`, langflowtest.Admin().Name, password)
	}
	changed := func() bool {
		p, err := r.agent.Profile("prod")
		if err != nil {
			t.Fatal(err)
		}
		return p.AllowHTTP
	}
	manager := r.newClient("manager", "manage")
	r.refused(client.TypeForbidden, manager, "POST", path, login(langflowtest.Admin().Password))
	r.refused(client.TypeSignInRequired, "owner", "POST", path, login("wrong"))
	r.refused(client.TypeBadRequest, "owner", "POST", path, `{"method":"auto-login","change":{"key_lifetime":"1h"}}`)
	if changed() {
		t.Error("a sign-in that failed has changed the profile")
	}
	r.must(200, "POST", path, login(langflowtest.Admin().Password))
	if !changed() {
		t.Error("a sign-in has not changed the profile")
	}
}
