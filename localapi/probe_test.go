package localapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"langkeep/agent"
	"langkeep/agent/clock"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/client"
)

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
	if o.ServerURL != r.langflow.URL || o.Version != "1.13.0" || o.Name != "local" || fmt.Sprint(o.Methods) != "[password refresh-token api-key external]" {
		t.Errorf("the offer is %+v", o)
	}
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"local","server_url":%q}`, r.langflow.URL))
	r.langflow.SetAutoLogin(true)
	if o := probe(`{"profile":"local"}`); o.Name != "local-2" || fmt.Sprint(o.Methods) != "[auto-login password refresh-token api-key external]" {
		t.Errorf("the offer is %+v", o)
	}
	r.langflow.SetAutoLogin(false)
	host := strings.TrimPrefix(r.langflow.URL, "http://")
	for gateway, fault := range map[string]langflowtest.Fault{
		"other":             langflowtest.Redirect(302, "https://[::1]:1/sign-in?next=/api/v1/version"),
		"cloudflare-access": langflowtest.Redirect(302, "https://team.cloudflareaccess.com/cdn-cgi/access/login/x"),
	} {
		r.langflow.Fault("/version", fault)
		o := probe(`{"profile":"local"}`)
		if o.Gateway == nil || *o.Gateway != gateway || o.Version != "" || !strings.HasSuffix(o.Words, "in front of "+host+" wants you to sign in.") ||
			fmt.Sprint(o.Methods) != "[password refresh-token api-key external]" {
			t.Errorf("behind %s the offer is %+v", gateway, o)
		}
		r.langflow.ClearFaults()
	}
	r.refused(client.TypeNotFound, "owner", "POST", "/v1/probe", `{"profile":"absent"}`)
	r.refused(client.TypeBadRequest, "owner", "POST", "/v1/probe", `{"profile":"local","server_url":"https://x.test"}`)

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
		{fault: langflowtest.Fault{Reset: true}, kind: client.TypeServerUnreachable, reason: "unreachable", words: "Can't reach " + host + " (the connection broke off)."},
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

// A profile's server is asked with the headers that are kept for its gateway.
func TestProbeThroughAGateway(t *testing.T) {
	r := newRig(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Pass") != "friend" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		r.langflow.ServeHTTP(w, req)
	}))
	defer front.Close()
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"gated","server_url":%q}`, front.URL))
	probe := func() (o client.Offer) {
		t.Helper()
		if err := json.Unmarshal([]byte(r.must(200, "POST", "/v1/probe", `{"profile":"gated"}`)), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	if o := probe(); o.Gateway == nil || o.Version != "" {
		t.Errorf("without the header the offer is %+v", o)
	}
	admin := langflowtest.Admin()
	r.must(200, "POST", "/v1/profiles/gated/login", fmt.Sprintf(`{"method":"password","username":%q,"password":%q,"headers":{"X-Pass":"friend"}}`, admin.Name, admin.Password))
	if o := probe(); o.Gateway != nil || o.Version == "" {
		t.Errorf("with the header the offer is %+v", o)
	}
}

func TestFreeName(t *testing.T) {
	a := agent.New(agent.Config{Clock: clock.System(), ProfilesDir: t.TempDir()})
	s := &Server{Config: Config{Agent: a}}
	for url, want := range map[string]string{
		"https://flows.example.org": "flows", "https://www.example.org/team/a": "example", "http://127.0.0.1:7860": "local",
		"http://[::1]:7860": "local", "http://localhost": "local", "https://192.0.2.1": "langflow", "https://con.example": "langflow",
	} {
		if got := s.freeName(url); got != want || vocabulary.ValidName(got) != nil {
			t.Errorf("%s is %s, want %s", url, got, want)
		}
	}
}
