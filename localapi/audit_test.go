package localapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// A handler's refusal is a refusal in the audit log, and no use.
func TestRefusalsOfHandlersAreAudited(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.refused(client.TypeForbidden, "read", "POST", "/v1/leases", `{"profile":"prod","scopes":["proxy"],"for":"exec"}`)
	_, _, end := r.takeLease("owner", "/v1/leases", `{"profile":"prod","scopes":["read"],"for":"exec"}`)
	defer end()
	want := map[string]string{"read": "forbidden", "owner": ""}
	got := map[string]string{}
	for start := time.Now(); len(got) < len(want); {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("%v", got)
		}
		for _, e := range r.server.Audit.Entries(0) {
			if e.What == "POST /v1/leases" {
				got[string(e.Client)] = string(e.Refused)
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Nobody can fill the audit log with what they make up.
func TestAuditNamesOnlyWhatIsKnown(t *testing.T) {
	r := newRig(t)
	r.signIn()
	for i := range 20 {
		r.ask("nobody", "GET", fmt.Sprintf("/v1/profiles/made-up-%d/token", i), "")
		r.ask("nobody", "GET", fmt.Sprintf("/v1/made-up-%d", i), "")
		r.ask("nobody", fmt.Sprintf("MADE%d", i), "/v1/status", "")
		r.ask("owner", "GET", fmt.Sprintf("/v1/profiles/made-up-%d", i), "")
	}
	r.ask("poor", "GET", "/v1/profiles/prod/token", "")
	var log client.Audit
	for start := time.Now(); len(log.Entries) < 6; {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("%+v", log.Entries)
		}
		if err := json.Unmarshal([]byte(r.must(200, "GET", "/v1/audit", "")), &log); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range log.Entries {
		if text := fmt.Sprint(e); strings.Contains(strings.ToLower(text), "made") {
			t.Errorf("%+v", e)
		}
	}
	// Each with its program and, once its connection has closed, without.
	if len(log.Entries) > 16 {
		t.Errorf("%d entries: %+v", len(log.Entries), log.Entries)
	}
}

// A request that is under way when the agent ends is answered, and noted.
func TestLastRequestIsAudited(t *testing.T) {
	r := newRig(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = "{}"
	fmt.Fprintf(conn, "POST /v1/profiles HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer owner\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", strings.TrimPrefix(r.url, "http://"), len(body))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err) // the handler reads
	}
	r.cancel()
	for { // until nobody else gets in
		other, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			break
		}
		_ = other.Close()
		time.Sleep(time.Millisecond)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(answers); err != nil {
		t.Fatal(err)
	}
	limit := time.Now().Add(10 * time.Second)
	for len(r.server.Audit.Entries(0)) == 0 {
		if time.Now().After(limit) {
			t.Fatal("it is not in the audit log")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// The log names the profile and the app that was added, the app that was revoked, and the
// tool that was connected; a preview connects nothing.
func TestAuditOfAppsAndTools(t *testing.T) {
	t.Setenv("PATH", "")
	r := newRig(t)
	r.signIn()
	if err := os.Mkdir(filepath.Join(r.home, ".cursor"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.must(201, "POST", "/v1/clients", `{"name":"ci","scopes":["read"],"profiles":["prod"]}`)
	r.must(204, "DELETE", "/v1/clients/ci", "")
	r.refused(client.TypeNotFound, "owner", "DELETE", "/v1/clients/unheard", "")
	r.must(200, "POST", "/v1/tools/cursor", `{"profile":"prod","preview":true}`)
	r.must(200, "POST", "/v1/tools/cursor", `{"profile":"prod"}`)
	r.must(200, "DELETE", "/v1/tools/cursor?profile=prod", "")
	r.refused(client.TypeNotFound, "owner", "DELETE", "/v1/tools/cursor?profile=prod", "")
	want := []string{"prod: added the profile", "prod: added the app ci", "revoked the app ci", "was refused (not found): revoked an app", "prod: looked at what connecting the tool cursor changes",
		"prod: connected the tool cursor", "prod: disconnected the tool cursor", "was refused (not found): disconnected a tool"}
	var got []string
	for start := time.Now(); len(got) < len(want); {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("the log has %q", got)
		}
		got = nil
		for _, e := range r.server.Audit.Entries(0) {
			if strings.Contains(e.What, "/v1/clients") || strings.Contains(e.What, "/v1/tools") || e.What == "POST /v1/profiles" {
				got = append(got, strings.TrimPrefix(string(e.Profile)+": "+words.Did(e.Use), ": "))
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the log has %q", got)
	}
}

// A request that was let through and came to nothing is told from one that got something.
func TestAuditOfWhatFailed(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.must(200, "GET", "/v1/profiles/prod/token", "")
	r.must(200, "POST", "/v1/profiles/prod/logout", "")
	r.refused(client.TypeSignInRequired, "owner", "GET", "/v1/profiles/prod/token", "")
	var got []string
	for start := time.Now(); len(got) < 2; {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("the log has %q", got)
		}
		got = nil
		for _, e := range r.server.Audit.Entries(0) {
			if e.What == "GET /v1/profiles/{name}/token" {
				got = append(got, string(e.Refused)+"|"+string(e.Failed))
			}
		}
	}
	if !slices.Equal(got, []string{"|", "|sign-in-required"}) {
		t.Errorf("the log has %q", got)
	}
}
