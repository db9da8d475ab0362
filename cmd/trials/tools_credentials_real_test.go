//go:build real && linux

package trials

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// minted is what a key or a token of Langflow looks like.
var minted = regexp.MustCompile(`\bsk-[A-Za-z0-9_-]{20,}|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`)

func (s *tools) testCredentials(p *person) {
	token := strings.TrimSpace(p.must(0, "client", "add", "whole", "--profile", "prod", "--scope", "proxy").stdout)
	p.secret("a client token", token)
	defer p.must(0, "client", "revoke", "whole")
	proxied := *p.profile("prod").ProxyURL
	send := func(method, path, body string, header ...string) (int, http.Header, string) {
		p.t.Helper()
		req, err := http.NewRequest(method, proxied, strings.NewReader(body))
		if err != nil {
			p.t.Fatal(err)
		}
		req.URL.Opaque = path // as it is
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			req.Header.Add(header[i], header[i+1])
		}
		res, err := (&http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
		if err != nil {
			return 0, nil, ""
		}
		defer res.Body.Close()
		answered, _ := io.ReadAll(io.LimitReader(res.Body, 64<<20)) // what there is in time
		return res.StatusCode, res.Header, string(answered)
	}
	ours := []string{"X-Api-Key", token}
	leaks := func(what string, header http.Header, body string) {
		p.t.Helper()
		if header.Get("Set-Cookie") != "" {
			p.t.Errorf("%s sets a cookie", what)
		}
		for _, found := range p.found([]byte(body)) {
			p.t.Errorf("%s shows %s", what, found)
		}
		if found := minted.FindString(body); found != "" {
			p.t.Errorf("%s shows what looks like a credential: %.8s...", what, found)
		}
	}

	// Stale credentials of every kind go nowhere.
	const stale = "stale-0123456789"
	_, before := s.front.since(0)
	for _, header := range [][]string{
		{"Authorization", "Bearer " + stale}, {"Authorization", "Basic " + stale}, {"Cookie", "access_token_lf=" + stale}, {"Cookie", "refresh_token_lf=" + stale + "; apikey_tkn_lflw=" + stale},
		{"X-Api-Key", "sk-" + stale}, {"api_key", stale}, {"X-Langflow-Mcp-Composer-Token", stale}, {"x-Forwarded-user", stale},
	} {
		for _, path := range []string{"/api/v1/users/whoami", "/api/v1/session", "/api/v1/run/echo?stream=false&x-api-key=sk-" + stale + "&api_key=" + stale} {
			method := http.MethodGet
			if strings.Contains(path, "/run/") {
				method = http.MethodPost
			}
			status, answered, body := send(method, path, `{"input_value":"x"}`, append(slices.Clone(ours), header...)...)
			if status != 200 && !(status == 403 && strings.HasPrefix(strings.ToLower(header[0]), "x-forwarded")) {
				p.t.Errorf("%s with a stale %s: %d %.200s", path, header[0], status, body)
			}
			leaks(path, answered, strings.ReplaceAll(body, stale, ""))
		}
	}
	sent, _ := s.front.since(before)
	if len(sent) == 0 {
		p.t.Error("nothing was recorded")
	}
	for _, r := range sent {
		if text := fmt.Sprint(r); strings.Contains(text, stale) || strings.Contains(text, token) || r.header.Get("Cookie") != "" {
			p.t.Errorf("%s %s reaches the server with a client's credential", r.method, r.path)
		}
		if (r.header.Get("Authorization") != "") == (r.header.Get("X-Api-Key") != "") {
			p.t.Errorf("%s %s reaches the server with none or both of ours", r.method, r.path)
		}
	}

	// A request that gives or makes a credential does not reach the server, in any
	// spelling.
	_, before = s.front.since(0)
	for _, line := range []string{
		"POST /api/v1/login", "GET /api/v1/auto_login", "GET /api/v1/%61uto_login", "GET /api/v1/auto_login/", "POST /api/v1/refresh", "POST /api/v1/logout",
		"POST /api/v1/api_key/", "POST /api/v1/api_key", "POST /api/v1/api%5fkey/", "POST /api/v1/api_key/store", "DELETE /api/v1/api_key/x",
		"POST /api/v1/mcp/project/" + s.project + "/install", "POST /api/v1/users/", "PATCH /api/v1/users/x", "PATCH /api/v1/users/x/reset-password",
		"GET /api/v1/users/me/x", "GET /api/v1/api_key/%0a", "GET /api/v1//auto_login", "GET /api/v1/x/../auto_login", "GET /api/v1/x%2f..%2fauto_login", "GET /api/v1/./auto_login", "GET /api%2fv1%2fauto_login", `GET /api/v1\auto_login`, "GET /api/v1/auto_login%00",
	} {
		method, path, _ := strings.Cut(line, " ")
		status, header, body := send(method, path, "{}", ours...)
		if status != 403 && status != 400 {
			p.t.Errorf("%s: %d", line, status)
		}
		leaks(line, header, body)
	}
	if sent, _ := s.front.since(before); len(sent) != 0 {
		p.t.Errorf("the server was asked for %s %s", sent[0].method, sent[0].path)
	}

	// Read every other route, and try those that make something.
	_, _, document := send(http.MethodGet, "/openapi.json", "", ours...)
	var api struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(document), &api); err != nil || len(api.Paths) < 100 {
		p.t.Fatalf("the server's document has %d paths: %v", len(api.Paths), err)
	}
	fill := strings.NewReplacer("{flow_id}", s.flow, "{flow_id_or_name}", s.flow, "{project_id}", s.project, "{folder_id}", s.project)
	read := 0
	for path, methods := range api.Paths {
		if _, ok := methods["get"]; !ok {
			continue
		}
		path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(fill.Replace(path), "x")
		if strings.HasSuffix(path, "/sse") || strings.Contains(path, "streamable") || strings.Contains(path, "events") || strings.Contains(path, "logs-stream") {
			continue // they go on; testMCP reads those that matter
		}
		_, header, body := send(http.MethodGet, path, "", ours...)
		leaks("GET "+path, header, body)
		read++
	}
	for _, path := range []string{"/api/v1/projects/", "/api/v1/variables/"} {
		status, header, body := send(http.MethodPost, path, `{"name":"made here","value":"v","type":"Generic","default_fields":[],"flows_list":[],"components_list":[]}`, ours...)
		if status != http.StatusCreated {
			p.t.Errorf("POST %s: %d %.200s", path, status, body)
		}
		leaks("POST "+path, header, body)
	}
	// Langflow has made a key of its own for that project, which it shows nobody.
	for _, path := range []string{"/api/v1/api_key/", "/api/v1/projects/", "/api/v2/mcp/servers", "/api/v2/mcp/servers/lf-made_here", "/api/v1/mcp/project/" + s.project, "/api/v1/mcp/project/" + s.project + "/installed"} {
		status, header, body := send(http.MethodGet, path, "", ours...)
		leaks("GET "+path, header, body)
		p.say(p.t, "GET %s: %d, %d bytes", path, status, len(body))
	}
	p.say(p.t, "%d routes were read through the proxy, and none shows a credential", read)
}
