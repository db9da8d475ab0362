package mcp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/secret"
)

// server is an MCP server over streamable HTTP with sessions.
type server struct {
	t *testing.T

	mu      sync.Mutex // protects the following
	session string
	begun   int
	busy    int      // how many more times initialize is not answered
	got     []string // methods of requests and messages
	pushed  chan string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m struct {
		ID     json.RawMessage
		Method string
	}
	_ = json.Unmarshal(body, &m)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, strings.TrimSuffix(r.Method+" "+m.Method, " "))
	if r.Header.Get("X-Api-Key") != "lk_1" {
		s.t.Errorf("%s %s with the key %q", r.Method, m.Method, r.Header.Get("X-Api-Key"))
	}
	if m.Method != "initialize" {
		if r.Header.Get("Mcp-Session-Id") != s.session {
			http.Error(w, `{"detail":"no such session"}`, http.StatusNotFound)
			return
		}
		if v := r.Header.Get("Mcp-Protocol-Version"); v != "2025-06-18" {
			s.t.Errorf("%s %s with the version %q", r.Method, m.Method, v)
		}
	}
	answer := func(result string) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{\"jsonrpc\":\"2.0\",\n\"id\":%s,\"result\":%s}", m.ID, result)
	}
	switch {
	case r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		s.mu.Unlock()
		defer s.mu.Lock()
		select {
		case message := <-s.pushed:
			fmt.Fprintf(w, "event: message\ndata: %s\n\n", message)
		case <-r.Context().Done():
		}
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case m.Method == "initialize" && s.busy > 0:
		s.busy--
		http.Error(w, "busy", http.StatusBadGateway)
	case m.Method == "hang":
		s.mu.Unlock()
		defer s.mu.Lock()
		<-r.Context().Done()
	case m.Method == "initialize":
		s.begun++
		s.session = fmt.Sprint("s", s.begun)
		w.Header().Set("Mcp-Session-Id", s.session)
		answer(`{"protocolVersion":"2025-06-18"}`)
	case m.Method == "plain":
		answer(`"plain"`)
	case m.Method == "streamed":
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, ": hello\n\nid: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":%s,\"result\":1}\n\n", m.ID)
	case m.Method == "cut":
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n")
	case m.Method == "forbidden":
		http.Error(w, `{"detail":"not with that token"}`, http.StatusForbidden)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// to is a way that is always there.
func to(url string, transport http.RoundTripper) func(context.Context) (*Way, error) {
	way := &Way{URL: url, Token: secret.New("lk_1"), Client: &http.Client{Transport: transport}}
	return func(context.Context) (*Way, error) { return way, nil }
}

// talk runs a relay, to which say gives lines, and from which hear takes them.
func talk(t *testing.T, url string) (say func(string), hear func() string, end func()) {
	t.Helper()
	in, write := io.Pipe()
	read, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(t.Context(), Config{
			Connect: to(url, &http.Transport{}), In: in, Out: out,
			Warn: func(s string) { t.Log(s) },
		})
		_ = out.Close()
	}()
	lines := bufio.NewScanner(read)
	return func(s string) {
			t.Helper()
			if _, err := io.WriteString(write, s+"\n"); err != nil {
				t.Fatal(err)
			}
		}, func() string {
			lines.Scan()
			return lines.Text()
		}, func() {
			t.Helper()
			_ = write.Close()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
}

const (
	hello     = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`
	helloBack = `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}`
	ready     = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

func TestRelay(t *testing.T) {
	s := &server{t: t, pushed: make(chan string)}
	h := httptest.NewServer(s)
	defer h.Close()
	say, hear, end := talk(t, h.URL)
	want := func(lines ...string) {
		t.Helper()
		for _, line := range lines {
			if got := hear(); got != line {
				t.Fatalf("%s, want %s", got, line)
			}
		}
	}
	say(hello)
	want(helloBack)
	say(ready)
	say(`{"jsonrpc":"2.0","id":"a","method":"plain"}`)
	want(`{"jsonrpc":"2.0","id":"a","result":"plain"}`)
	say(`{"jsonrpc":"2.0","id":2,"method":"streamed"}`)
	want(`{"jsonrpc":"2.0","method":"notifications/progress"}`, `{"jsonrpc":"2.0","id":2,"result":1}`)
	s.pushed <- `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	want(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
	say(`{"jsonrpc":"2.0","id":3,"method":"cut"}`)
	want(`{"jsonrpc":"2.0","method":"notifications/progress"}`, `{"error":{"code":-32000,"message":"langkeep: the server gave no answer"},"id":3,"jsonrpc":"2.0"}`)
	say(`{"jsonrpc":"2.0","id":4,"method":"forbidden"}`)
	want(`{"error":{"code":-32000,"message":"langkeep: not with that token (403)"},"id":4,"jsonrpc":"2.0"}`)
	say(`{"jsonrpc":`)
	want(`{"error":{"code":-32700,"message":"langkeep: that is no json"},"id":null,"jsonrpc":"2.0"}`)

	// A server that has forgotten the session gets another one, unseen.
	s.mu.Lock()
	s.session = "gone"
	s.mu.Unlock()
	say(`{"jsonrpc":"2.0","id":5,"method":"plain"}`)
	want(`{"jsonrpc":"2.0","id":5,"result":"plain"}`)
	// Also if that does not work at once.
	s.mu.Lock()
	s.session, s.busy = "gone", 1
	s.mu.Unlock()
	say(`{"jsonrpc":"2.0","id":7,"method":"plain"}`)
	want(`{"error":{"code":-32000,"message":"langkeep: the server answers 502 Bad Gateway"},"id":7,"jsonrpc":"2.0"}`)
	say(`{"jsonrpc":"2.0","id":8,"method":"plain"}`)
	want(`{"jsonrpc":"2.0","id":8,"result":"plain"}`)
	say(`{"jsonrpc":"2.0","method":"notifications/cancelled"}`)
	say(`{"jsonrpc":"2.0","id":6,"method":"plain"}`)
	want(`{"jsonrpc":"2.0","id":6,"result":"plain"}`)
	end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun != 3 || s.got[len(s.got)-1] != "DELETE" || !slices.Contains(s.got, "POST notifications/cancelled") {
		t.Errorf("%d sessions; the server got %q", s.begun, s.got)
	}
}

// A proxy that is away for a moment is waited for.
func TestRelayWhileTheAgentStarts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	say, hear, end := talk(t, "http://"+address)
	say(hello)
	time.Sleep(2 * awayRetry)
	if l, err = net.Listen("tcp", address); err != nil {
		t.Skip("the port was taken meanwhile: ", err)
	}
	h := &http.Server{Handler: &server{t: t}}
	go func() { _ = h.Serve(l) }()
	defer h.Close()
	if got := hear(); got != helloBack {
		t.Error(got)
	}
	end()
}

// Requests from before the client's end are answered, within a moment.
func TestRelayAnswersToTheEnd(t *testing.T) {
	s := &server{t: t}
	h := httptest.NewServer(s)
	defer h.Close()
	say, hear, end := talk(t, h.URL)
	say(hello)
	if got := hear(); got != helloBack {
		t.Fatal(got)
	}
	say(`{"jsonrpc":"2.0","id":1,"method":"plain"}`)
	heard := make(chan string, 1)
	go func() { heard <- hear() }()
	end()
	if got := <-heard; got != `{"jsonrpc":"2.0","id":1,"result":"plain"}` {
		t.Error(got)
	}
}

// A server that hangs keeps nothing going once the client has gone.
func TestRelayEndsWithItsClient(t *testing.T) {
	h := httptest.NewServer(&server{t: t})
	defer h.Close()
	say, hear, end := talk(t, h.URL)
	say(hello)
	if got := hear(); got != helloBack {
		t.Fatal(got)
	}
	say(`{"jsonrpc":"2.0","method":"hang"}`)
	begin := time.Now()
	end()
	if took := time.Since(begin); took > 2*last {
		t.Errorf("it went on for %v", took)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A server that hangs on a notification holds up what comes after it for a
// moment alone.
func TestRelayPassesAHangingNotification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, write := io.Pipe()
		read, out := io.Pipe()
		var warned string
		ended := make(chan error)
		go func() {
			ended <- Run(t.Context(), Config{
				In: in, Out: out, Warn: func(s string) { warned = s },
				Connect: to("http://proxy", roundTrip(func(r *http.Request) (*http.Response, error) {
					body, _ := io.ReadAll(r.Body)
					if strings.Contains(string(body), "notifications/") {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}},
						Body: io.NopCloser(strings.NewReader(`{"jsonrpc":"2.0","id":1,"result":1}`))}, nil
				})),
			})
		}()
		begin := time.Now()
		go func() {
			_, _ = io.WriteString(write, `{"jsonrpc":"2.0","method":"notifications/cancelled"}`+"\n")
			_, _ = io.WriteString(write, `{"jsonrpc":"2.0","id":1,"method":"plain"}`+"\n")
		}()
		line, err := bufio.NewReader(read).ReadString('\n')
		if err != nil || !strings.Contains(line, `"result":1`) || time.Since(begin) != notice {
			t.Errorf("after %v: %q, %v", time.Since(begin), line, err)
		}
		_ = write.Close()
		if err := <-ended; err != nil || warned == "" {
			t.Errorf("%v, and it says %q", err, warned)
		}
	})
}

// exchange runs a relay for a client that writes in and goes. The server gives
// each request the answer that answer returns; "" is 202.
func exchange(t *testing.T, in string, answer func(r *http.Request, body string) (header http.Header, text string)) []string {
	t.Helper()
	var out bytes.Buffer
	err := Run(t.Context(), Config{
		In: strings.NewReader(in), Out: &out, Warn: func(s string) { t.Log(s) },
		Connect: to("http://proxy", roundTrip(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			header, text := answer(r, string(body))
			res := &http.Response{StatusCode: http.StatusOK, Header: header, Request: r, Body: io.NopCloser(strings.NewReader(text))}
			if text == "" {
				res.StatusCode = http.StatusAccepted
			}
			if status := header.Get("X-Status"); status != "" {
				res.StatusCode, _ = strconv.Atoi(status)
				res.Status = status + " " + http.StatusText(res.StatusCode)
			}
			return res, nil
		})),
	})
	if err != nil {
		t.Error(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	slices.Sort(lines) // answers come in any order
	return lines
}

// An answer counts however the server writes its id: it is passed on alone, and
// the session of initialize is kept.
func TestRelayComparesIDsAsValues(t *testing.T) {
	for asked, answered := range map[string]string{
		`"a\/b"`: `"a/b"`, `"caf\u00e9"`: `"café"`, `"café"`: `"caf\u00e9"`, `1`: `1.0`, `1e2`: `100`, `1.0`: `1`, `null`: `null`, `" \u2028"`: "\" \u2028\"",
	} {
		for _, kind := range []string{"application/json", "text/event-stream"} {
			session := ""
			lines := exchange(t, `{"jsonrpc":"2.0","id":`+asked+`,"method":"initialize"}`+"\n"+`{"jsonrpc":"2.0","id":`+asked+`,"method":"ping"}`,
				func(r *http.Request, body string) (http.Header, string) {
					if strings.Contains(body, "ping") {
						session = r.Header.Get("Mcp-Session-Id")
					} else if body == "" {
						return nil, ""
					}
					message := `{"jsonrpc":"2.0","id":` + answered + `,"result":{"protocolVersion":"2025-06-18"}}`
					if kind == "text/event-stream" {
						message = "data: " + message + "\n\n"
					}
					return http.Header{"Content-Type": {kind}, "Mcp-Session-Id": {"s1"}}, message
				})
			want := `{"jsonrpc":"2.0","id":` + answered + `,"result":{"protocolVersion":"2025-06-18"}}`
			if !slices.Equal(lines, []string{want, want}) || session != "s1" {
				t.Errorf("%s, answered as %s: the session %q and %q", asked, answered, session, lines)
			}
		}
	}
}

// Each message that has an id is answered, by the server or in its place. The relay
// refuses a line that is no message, with the id if it can be read.
func TestRelayAnswersWhateverHasAnID(t *testing.T) {
	refused := func(code, id, words string) string {
		return `{"error":{"code":` + code + `,"message":"langkeep: ` + words + `"},"id":` + id + `,"jsonrpc":"2.0"}`
	}
	for in, want := range map[string][]string{
		"\ufeff" + `{"jsonrpc":"2.0","id":1,"method":"ping"}`:                                               {pong("1")},
		"\ufeff\n" + `{"jsonrpc":"2.0","id":1,"method":"ping"}`:                                             {pong("1")},
		`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"n"},{"id":"b","method":"p"}]`: {pong(`"b"`), pong("1")},
		`[{"id":1,"method":"ping"},7,{"id":3},{"id":4,"result":{}},{"method":"ping"},[]]`: {
			refused("-32600", "3", "it has no method"), refused("-32600", "null", "a message is an object"), refused("-32600", "null", "a message is an object"), pong("1"),
		},
		`[]`:                            {refused("-32600", "null", "the batch is empty")},
		`null`:                          {refused("-32600", "null", "a message is an object")},
		`"ping"`:                        {refused("-32600", "null", "a message is an object")},
		`{"id":1,"method":7}`:           {refused("-32600", "1", "its method is not a string")},
		`{"id":1,"method":null}`:        {refused("-32600", "1", "its method is not a string")},
		`{"id":1}`:                      {refused("-32600", "1", "it has no method")},
		`{"id":{"a":1},"method":"p"}`:   {refused("-32600", "null", "an id is a string or a number")},
		`{"id":true,"method":"p"}`:      {refused("-32600", "null", "an id is a string or a number")},
		`{"id":5,"method":"silent"}`:    {refused("-32000", "5", "the server gave no answer")},
		`{"id":1,"ID":2,"method":"p"}`:  {pong("1")},
		`{"id":1,"method":"p","Id":{}}`: {pong("1")},
		`{"id":6,"result":{}}`:          {""},
		`{"id":7,"error":{}}`:           {""},
		`{"method":"p"}`:                {""},
		`{"id":8,"method":"batched"}`:   {`{"jsonrpc":"2.0","method":"said"}`, pong("8")},
		`{"id":9,"method":"marked"}`:    {pong("9")},
		`{"id":10,"method":"hollow"}`:   {refused("-32000", "10", "the server gave no answer"), `{"id":10}`},
	} {
		lines := exchange(t, in, func(_ *http.Request, body string) (http.Header, string) {
			var m map[string]json.RawMessage
			if err := json.Unmarshal([]byte(body), &m); err != nil {
				t.Errorf("%s: the server is sent %q", in, body)
			}
			header := http.Header{"Content-Type": {"application/json"}}
			switch id := string(m["id"]); {
			case id == "" || m["method"] == nil || string(m["method"]) == `"silent"`:
				return header, ""
			case string(m["method"]) == `"batched"`:
				return header, `[{"jsonrpc":"2.0","method":"said"},` + pong(id) + `]`
			case string(m["method"]) == `"marked"`:
				return header, "\ufeff" + pong(id)
			case string(m["method"]) == `"hollow"`:
				return header, `{"id":` + id + `}`
			default:
				return header, pong(id)
			}
		})
		slices.Sort(want)
		if !slices.Equal(lines, want) {
			t.Errorf("%s:\n%q, want\n%q", in, lines, want)
		}
	}
}

// A big answer in small pieces comes through whole.
func TestRelayPassesBigAnswers(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 4<<16) // 4 MB
	lines := exchange(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, func(*http.Request, string) (http.Header, string) {
		return http.Header{"Content-Type": {"text/event-stream"}}, `data: {"jsonrpc":"2.0","id":1,"result":"` + text + "\"}\n\n"
	})
	if len(lines) != 1 || lines[0] != `{"jsonrpc":"2.0","id":1,"result":"`+text+`"}` {
		t.Errorf("%d lines, of %d bytes", len(lines), len(lines[0]))
	}
}

// answers gives every request the same answer.
type answers struct{ kind, body, session string }

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return &http.Response{StatusCode: 405, Body: http.NoBody, Request: r}, nil
	}
	return &http.Response{
		StatusCode: 200, Header: http.Header{"Content-Type": {a.kind}, "Mcp-Session-Id": {a.session}}, Request: r, Body: io.NopCloser(strings.NewReader(a.body)),
	}, nil
}

// With anything that a client writes and a server answers, the client reads one JSON
// value a line.
func FuzzRelay(f *testing.F) {
	const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}` + "\n"
	f.Add(initialize, "application/json", `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18"}}`, "s")
	f.Add(initialize+`{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n[]\n", "text/event-stream", "data: {\"id\":1,\ndata: \"result\":{}}\n\n", "a b\r\nX: y")
	f.Add("{\n\nnull\n7\n"+`{"id":{},"method":"\n"}`, "text/event-stream; x=y", "event: x\ndata: {}\n\ndata: \x1b\n\n", "")
	f.Add(`{"id":"\u2028","method":"ping"}`, "text/html", "<html>", "\x00")
	f.Add(`[{"id":1,"method":"a"},{"id":1,"method":"a"}]`, "application/json", "[{\"id\":1}\n,\n{}]", "")
	f.Add("\ufeff"+`{"id":"a\/b","method":"initialize"}`, "application/json", "\ufeff[{\"id\":\"a/b\",\"result\":{}}]", "s")
	f.Add(`{"id":1,"method":"m"}`, "text/event-stream", "\ufeffdata: [{\"id\":1.0,\"result\":{}},7]\r\r", "s")
	f.Fuzz(func(t *testing.T, in, kind, body, session string) {
		var out bytes.Buffer
		err := Run(context.Background(), Config{
			Connect: to("http://127.0.0.1:1/api/v1/mcp/streamable", answers{kind, body, session}), In: strings.NewReader(in), Out: &out, Warn: func(string) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(out.Bytes()) {
			if !json.Valid(line) || !bytes.HasSuffix(line, []byte("\n")) {
				t.Errorf("the client reads %q", line)
			}
			if bytes.Contains(line, []byte("lk_1")) && !strings.Contains(in+body, "lk_1") {
				t.Errorf("the client reads a token: %q", line)
			}
		}
	})
}

// Answers that come in the same buffer, one after the other and at once, stay apart.
func TestRelayUsesBuffersAgain(t *testing.T) {
	var in, want []string
	for id := range 40 {
		in = append(in, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"echo"}`, id))
		want = append(want, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":"%s"}`, id, strings.Repeat(string(rune('a'+id%26)), 1+id*3000)))
	}
	lines := exchange(t, strings.Join(in, "\n"), func(_ *http.Request, body string) (http.Header, string) {
		e, err := open([]byte(body))
		if err != nil {
			t.Error(err)
		}
		id, _ := strconv.Atoi(string(e.id))
		if id%2 == 0 {
			return http.Header{"Content-Type": {"application/json"}}, want[id]
		}
		return http.Header{"Content-Type": {"text/event-stream"}}, "data: " + want[id] + "\n\n"
	})
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		t.Error("some answers are others")
	}
}
