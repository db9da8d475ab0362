package localapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
)

// All callers that wait for one refresh get the same error.
func TestManyAreToldOfOneFailure(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.langflow.SetLifetimes(time.Millisecond, time.Hour)
	r.langflow.Fault("/refresh", langflowtest.Fault{Delay: 100 * time.Millisecond})
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			if p := r.refused(client.TypeServerUnreachable, "owner", "POST", "/v1/profiles/prod/refresh", ""); p.RetryAfter == nil {
				t.Error("without a time to come back")
			}
		})
	}
	callers.Wait()
}

// A program that ends its half of the connection while it waits must not take
// the end of that for a success.
func TestHalfClosedConnection(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.langflow.Fault("/refresh", langflowtest.Fault{Hang: true})
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/profiles/prod/refresh", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer owner")
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	for r.langflow.Count("/refresh") == 0 {
		runtime.Gosched()
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return // cut off: that is no success either
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusInternalServerError {
		t.Errorf("the answer is %s", res.Status)
	}
}

// A parameter or field that is there twice is refused, whatever the route: one of
// the two would count in silence.
func TestTwice(t *testing.T) {
	r := newRig(t)
	r.signIn()
	for _, to := range []string{
		"GET /v1/audit?after=1&after=2", "DELETE /v1/profiles/prod/keys?id=a&id=b", "GET /v1/profiles/prod/api-key?min_valid=1s&min_valid=2s",
		"GET /v1/status?x=&x=", "GET /?x&x", "GET /metrics?x=1&%78=1", "GET /v1/events?x=1&y=2&x=3", "GET /v1/status?x=%zz", "GET /v1/status?a;b",
	} {
		method, path, _ := strings.Cut(to, " ")
		r.refused(client.TypeBadRequest, "owner", method, path, "")
	}
	r.must(200, "GET", "/v1/audit?after=1&x=2", "")
	for _, body := range []string{
		`{"name":"a","server_url":"https://x.test","name":"b"}`, `{"name":"a","server_url":"https://x.test","Name":"b"}`,
		`{"name":"a","server_url":"https://x.test","n\u0061me":"a"}`,
	} {
		r.refused(client.TypeBadRequest, "owner", "POST", "/v1/profiles", body)
	}
	r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/settings", `{"notify":{"offline":true,"offline":false}}`)
	r.must(200, "PATCH", "/v1/settings", `{"log_level":"info","notify":{"offline":true,"back_to_normal":true}}`)
	r.must(201, "POST", "/v1/clients", `{"name":"two","scopes":["read","run"],"profiles":["prod"]}`)
}

// A body of the wrong types is refused in JSON's words.
func TestWrongTypes(t *testing.T) {
	r := newRig(t)
	for body, want := range map[string]string{
		`{"name":5}`:         "the field name must be a string",
		`{"scopes":"read"}`:  "the field scopes must be an array",
		`{"scopes":[1]}`:     "the field scopes must be a string",
		`{"expires_in":1.5}`: "the field expires_in must be a whole number",
		`{"expires_in":"5"}`: "the field expires_in must be a whole number",
		`{"nmae":"a"}`:       `the body does not fit this route: unknown field "nmae"`,
	} {
		if p := r.refused(client.TypeBadRequest, "owner", "POST", "/v1/clients", body); p.Detail != want {
			t.Errorf("%s: %s", body, p.Detail)
		}
	}
	for body, want := range map[string]string{
		`{"notify":true}`:                    "the field notify must be an object",
		`{"notify":{"offline":"no"}}`:        "the field notify.offline must be true or false",
		`{"notify":{"offline":false},"x":1}`: `the body does not fit this route: unknown field "x"`,
	} {
		if p := r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/settings", body); p.Detail != want {
			t.Errorf("%s: %s", body, p.Detail)
		}
	}
}

// A stream must not hold up the end of the agent.
func TestServeEndsStreams(t *testing.T) {
	r := newRig(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer owner")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r.cancel()
	// A stream that is cut off, rather than ended, is an error here.
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Errorf("the stream did not end: %v", err)
	}
}
