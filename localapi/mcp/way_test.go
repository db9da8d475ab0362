package mcp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// conversation is a relay in a bubble of synctest, with its client's ends.
type conversation struct {
	in    io.WriteCloser
	lines chan string // which the relay writes
	ended chan error
}

// converse runs a relay until the test ends.
func converse(t *testing.T, connect func(context.Context) (*Way, error)) *conversation {
	t.Helper()
	in, write := io.Pipe()
	read, out := io.Pipe()
	c := &conversation{write, make(chan string, 100), make(chan error, 1)}
	go func() {
		c.ended <- Run(t.Context(), Config{Connect: connect, In: in, Out: out, Warn: func(s string) { t.Log(s) }})
		_ = out.Close()
	}()
	go func() {
		for lines := bufio.NewScanner(read); lines.Scan(); {
			c.lines <- lines.Text()
		}
		close(c.lines)
	}()
	return c
}

func (c *conversation) say(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hears wants a line next.
func (c *conversation) hears(t *testing.T, want string) {
	t.Helper()
	if got := <-c.lines; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// end ends the client's messages, and wants no line that nobody has heard.
func (c *conversation) end(t *testing.T) {
	t.Helper()
	_ = c.in.Close()
	for line := range c.lines {
		t.Errorf("the client gets %s too", line)
	}
	if err := <-c.ended; err != nil {
		t.Error(err)
	}
}

// says is an answer.
func says(r *http.Request, status int, kind, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Request: r,
		Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// pongs answers every request with an id.
func pongs(r *http.Request) *http.Response {
	body, _ := io.ReadAll(r.Body)
	e, err := open(body)
	if err != nil || !e.asks {
		return says(r, http.StatusAccepted, "", "")
	}
	return says(r, http.StatusOK, "application/json", pong(string(e.id)))
}

func pong(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"result":{}}` }

func ping(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}` }

func failed(id, code, words string) string {
	return `{"error":{"code":` + code + `,"message":"` + words + `"},"id":` + id + `,"jsonrpc":"2.0"}`
}

const unauthorized = `{"type":"urn:langkeep:problems/unauthorized","title":"Unauthorized","status":401,"detail":"the token is not valid"}`

// agents is a stand-in for agents, of which one runs at a time.
type agents struct {
	here    atomic.Bool
	serial  atomic.Int32 // of the agent that runs; it knows its own tokens alone
	connect atomic.Int32 // calls
	failure error        // of a call while none runs
}

func (a *agents) Connect(ctx context.Context) (*Way, error) {
	a.connect.Add(1)
	if !a.here.Load() {
		return nil, a.failure
	}
	token := fmt.Sprint("lk_", a.serial.Load())
	return &Way{URL: "http://proxy", Token: secret.New(token), Client: &http.Client{Transport: a}}, nil
}

// RoundTrip is the proxy of the agent that runs.
func (a *agents) RoundTrip(r *http.Request) (*http.Response, error) {
	if !a.here.Load() {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	if r.Header.Get("X-Api-Key") != fmt.Sprint("lk_", a.serial.Load()) {
		if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), `"id"`) {
			return says(r, http.StatusUnauthorized, "application/problem+json", unauthorized), nil
		}
		res := says(r, http.StatusOK, "application/json", failed("1", "-32000", "the token is not valid"))
		res.Header.Set(client.UnknownToken, "1")
		return res, nil
	}
	return pongs(r), nil
}

// A client notices nothing but a wait of an agent that was away for long, and of the next
// one that does not know its token; and all its messages wait for the same way.
func TestRelayOutlivesItsAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agents{failure: fmt.Errorf("%w after 10s", client.ErrNoAgent)}
		a.here.Store(true)
		c := converse(t, a.Connect)
		c.say(t, ping("0"))
		c.hears(t, pong("0"))
		a.here.Store(false)
		c.say(t, ping("1"))
		c.say(t, `{"jsonrpc":"2.0","method":"notifications/x"}`) // given up after a while
		time.Sleep(away - 5*time.Second)
		a.serial.Add(1)
		a.here.Store(true)
		c.hears(t, pong("1"))
		// An agent that has forgotten the token answers, so there is nothing to wait for.
		a.serial.Add(1)
		before, begun := a.connect.Load(), time.Now()
		for id := range 5 {
			c.say(t, ping(fmt.Sprint("1", id)))
		}
		got := map[string]bool{}
		for range 5 {
			got[<-c.lines] = true
		}
		for id := range 5 {
			if line := pong(fmt.Sprint("1", id)); !got[line] {
				t.Errorf("no %s", line)
			}
		}
		if n, took := a.connect.Load()-before, time.Since(begun); n != 1 || took > time.Second {
			t.Errorf("%d calls of Connect, after %v", n, took)
		}
		c.end(t)
	})
}

// An agent that does not come back is told within a bound; the next message tries again.
func TestRelayGivesUpOnItsAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agents{failure: fmt.Errorf("%w: see its log", client.ErrNoAgent)}
		c := converse(t, a.Connect)
		begun := time.Now()
		c.say(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`)
		c.hears(t, failed("1", "-32000", "langkeep: no agent answers: see its log"))
		if took := time.Since(begun); took < away || took > away+time.Second {
			t.Errorf("after %v", took)
		}
		a.here.Store(true)
		c.say(t, ping("2"))
		c.hears(t, pong("2"))
		c.end(t)
	})
}

// A person who is asked whether the program may use the account has a minute for that.
func TestRelayWaitsForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agents{}
		a.here.Store(true)
		c := converse(t, func(ctx context.Context) (*Way, error) {
			select {
			case <-time.After(time.Minute):
				return a.Connect(ctx)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		c.say(t, ping("0"))
		c.hears(t, pong("0"))
		c.end(t)
	})
}

// An error that a person must mend is the answer at once, and nothing has to be started
// anew once it is over.
func TestRelayTellsWhatIsInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agents{failure: errors.New("the agent did not start: the file store needs LANGKEEP_PASSPHRASE_FILE")}
		c := converse(t, a.Connect)
		begun := time.Now()
		for _, message := range []string{hello, ping("0")} {
			c.say(t, message)
			c.hears(t, failed("0", "-32000", "langkeep: the agent did not start: the file store needs LANGKEEP_PASSPHRASE_FILE"))
		}
		if time.Since(begun) > 0 {
			t.Errorf("after %v", time.Since(begun))
		}
		a.here.Store(true)
		c.say(t, hello)
		c.hears(t, pong("0"))
		c.end(t)
	})
}

// A request that the proxy may have taken is not sent again, but for those that change
// nothing.
func TestRelayRepeatsWhatChangesNothing(t *testing.T) {
	for method, again := range map[string]bool{"tools/call": false, "tools/list": true, "initialize": true} {
		t.Run(method, func(t *testing.T) {
			server := &brittle{}
			h := &http.Server{Handler: server}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go func() { _ = h.Serve(l) }()
			defer h.Close()
			say, hear, end := talk(t, "http://"+l.Addr().String())
			say(`{"jsonrpc":"2.0","id":1,"method":"` + method + `"}`)
			got, want := hear(), pong("1")
			if !again {
				got, want = got[:min(len(got), 25)], failed("1", "-32000", "langkeep")[:25]
			}
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
			end()
		})
	}
}

// brittle is a server that ends the connection of its first request without an answer.
type brittle struct{ asked atomic.Int32 }

func (b *brittle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.asked.Add(1) == 1 {
		panic(http.ErrAbortHandler)
	}
	res := pongs(r)
	w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}

// hanging is a server that answers tools/call when the client cancels it, and notes that.
type hanging struct {
	ended chan string // ids of cancelled requests
	told  chan string // what notifications/cancelled it gets
}

func (h *hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	e, err := open(body)
	switch {
	case err != nil || e.method == "notifications/cancelled":
		h.told <- string(e.param("requestId"))
		return says(r, http.StatusAccepted, "", ""), nil
	case e.method == "tools/call":
		<-r.Context().Done()
		h.ended <- string(e.id)
		return nil, r.Context().Err()
	}
	return says(r, http.StatusOK, "application/json", pong(string(e.id))), nil
}

// notifications/cancelled ends the request's own connection, and nobody answers it.
func TestRelayCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{make(chan string, 10), make(chan string, 10)}
		c := converse(t, to("http://proxy", h))
		cancel := func(id string) {
			c.say(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+id+`,"reason":"so"}}`)
		}
		for asked, named := range map[string]string{`1`: `1.0`, `"a\/b"`: `"a/b"`} {
			c.say(t, `{"jsonrpc":"2.0","id":`+asked+`,"method":"tools/call","params":{"name":"slow"}}`)
			synctest.Wait()
			cancel(named)
			if got := <-h.ended; got != asked {
				t.Errorf("%s was cancelled, want %s", got, asked)
			}
			if got := <-h.told; got != named {
				t.Errorf("the server is told of %s, want %s", got, named)
			}
		}
		// One of a protocol without sessions has no other signal than the connection's end.
		c.say(t, `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`)
		synctest.Wait()
		cancel("3")
		if got := <-h.ended; got != "3" {
			t.Errorf("%s was cancelled", got)
		}
		cancel("4") // an unknown request is the server's to ignore
		if got := <-h.told; got != "4" {
			t.Errorf("the server is told of %s", got)
		}
		c.say(t, ping("5"))
		c.hears(t, pong("5"))
		c.end(t)
	})
}

// A request can be cancelled while it waits for the agent, and for the messages before it.
func TestRelayCancelsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agents{failure: client.ErrNoAgent}
		c := converse(t, a.Connect)
		c.say(t, hello)
		c.say(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`)
		c.say(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
		c.say(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}`) // which no client may
		synctest.Wait()
		a.here.Store(true)
		c.hears(t, pong("0"))
		c.end(t)
	})
}

// An error of JSON-RPC in an answer of any status keeps its code, its words and its data,
// and gets the request's id.
func TestRelayPassesErrorsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := map[string]string{
			"400": `{"jsonrpc":"2.0","id":"server-error","error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2025-11-25"]}}}`,
			"404": `{"jsonrpc":"2.0","id":null,"error":{"message":"Method not found","code":-32601}}`,
			"403": `{"error":{"code":-32602,"message":"not of json-rpc"}}`,
			"409": `{"jsonrpc":"2.0","error":"odd"}`,
			"500": `{"jsonrpc":"2.0","error":{"code":-32603,"message":"broken"}}`,
		}
		c := converse(t, to("http://proxy", roundTrip(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			e, err := open(body)
			if err != nil {
				return nil, err
			}
			var status int
			_, err = fmt.Sscan(string(e.id), &status)
			return says(r, status, "application/json", answers[string(e.id)]), err
		})))
		for id, want := range map[string]string{
			"400": `{"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2025-11-25"]}},"id":400,"jsonrpc":"2.0"}`,
			"404": `{"error":{"message":"Method not found","code":-32601},"id":404,"jsonrpc":"2.0"}`,
			"403": failed("403", "-32000", "langkeep: not of json-rpc (403)"),
			"409": failed("409", "-32000", "langkeep: the server answers 409 Conflict"),
			"500": failed("500", "-32603", "broken"),
		} {
			c.say(t, `{"jsonrpc":"2.0","id":`+id+`,"method":"server/discover"}`)
			c.hears(t, want)
		}
		c.end(t)
	})
}

// A server that is just starting is waited for, some seconds, with what may be sent twice.
func TestRelayWaitsForAServerThatStarts(t *testing.T) {
	const unreachable = `{"type":"urn:langkeep:problems/server-unreachable","detail":"the server did not answer"}`
	const locked = `{"type":"urn:langkeep:problems/keychain-locked","detail":"the keychain is locked"}`
	for name, test := range map[string]struct {
		method, kind, body string
		status             int
		up                 time.Duration
		want               string
		after              time.Duration
	}{
		"it comes up":                {"initialize", "application/problem+json", unreachable, 502, 3 * time.Second, pong("1"), 3 * time.Second},
		"a gateway says that":        {"server/discover", "text/html", "<html>", 503, 3 * time.Second, pong("1"), 3 * time.Second},
		"it does not":                {"initialize", "application/problem+json", unreachable, 502, time.Hour, failed("1", "-32000", "langkeep: the server did not answer (502)"), 8500 * time.Millisecond},
		"a tool may have been run":   {"tools/call", "application/problem+json", unreachable, 502, time.Hour, failed("1", "-32000", "langkeep: the server did not answer (502)"), 0},
		"the keychain is a person's": {"initialize", "application/problem+json", locked, 503, time.Hour, failed("1", "-32000", "langkeep: the keychain is locked (503)"), 0},
		"a fault of its own":         {"initialize", "text/plain", "oh", 500, time.Hour, failed("1", "-32000", "langkeep: the server answers 500 Internal Server Error"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				c := converse(t, to("http://proxy", roundTrip(func(r *http.Request) (*http.Response, error) {
					if time.Since(begun) >= test.up {
						return pongs(r), nil
					}
					return says(r, test.status, test.kind, test.body), nil
				})))
				c.say(t, `{"jsonrpc":"2.0","id":1,"method":"`+test.method+`"}`)
				c.hears(t, test.want)
				if took := time.Since(begun); took != test.after {
					t.Errorf("after %v", took)
				}
				c.end(t)
			})
		})
	}
}

// Also where both start: the agent is waited for, and then the server.
func TestRelayWaitsForBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		c := converse(t, func(context.Context) (*Way, error) {
			if time.Since(begun) < 20*time.Second {
				return nil, client.ErrNoAgent
			}
			return to("http://proxy", roundTrip(func(r *http.Request) (*http.Response, error) {
				if time.Since(begun) < 25*time.Second {
					return says(r, http.StatusBadGateway, "text/html", "<html>"), nil
				}
				return pongs(r), nil
			}))(t.Context())
		})
		c.say(t, hello)
		c.hears(t, pong("0"))
		c.end(t)
	})
}

// A client that has sent all its messages gets what there is to say.
func TestRelayWaitsForNoServerAtTheEnd(t *testing.T) {
	lines := exchange(t, hello, func(*http.Request, string) (http.Header, string) {
		return http.Header{"X-Status": {"502"}}, "{}"
	})
	if want := failed("0", "-32000", "langkeep: the server answers 502 Bad Gateway"); len(lines) != 1 || lines[0] != want {
		t.Errorf("%q, want %s", lines, want)
	}
}

// The headers of MCP 2026-07-28 repeat parts of the message, and a request of that
// protocol belongs to no session.
func TestRelayDescribesMessages(t *testing.T) {
	const modern = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`
	for message, want := range map[string]string{
		`{"id":1,"method":"server/discover","params":{` + modern + `}}`:                        "2026-07-28|server/discover||",
		`{"id":1,"method":"tools/call","params":{"name":"get_weather",` + modern + `}}`:        "2026-07-28|tools/call|get_weather|",
		`{"id":1,"method":"resources/read","params":{"uri":"file:///a b",` + modern + `}}`:     "2026-07-28|resources/read|file:///a b|",
		`{"id":1,"method":"prompts/get","params":{"name":"Hello, 世界",` + modern + `}}`:         "2026-07-28|prompts/get|=?base64?SGVsbG8sIOS4lueVjA==?=|",
		`{"id":1,"method":"tools/call","params":{"name":" padded ",` + modern + `}}`:           "2026-07-28|tools/call|=?base64?IHBhZGRlZCA=?=|",
		`{"id":1,"method":"tools/call","params":{"name":"line1\nline2",` + modern + `}}`:       "2026-07-28|tools/call|=?base64?bGluZTEKbGluZTI=?=|",
		`{"id":1,"method":"tools/call","params":{"name":"=?base64?literal?=",` + modern + `}}`: "2026-07-28|tools/call|=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=|",
		`{"id":1,"method":"tools/call","params":{"name":7}}`:                                   "2025-11-25|tools/call||s1",
		`{"id":1,"method":"tools/call","params":{"name":"echo"}}`:                              "2025-11-25|tools/call|echo|s1",
		`{"id":1,"method":"bad\nname","params":[]}`:                                            "2025-11-25|||s1",
		`{"method":"notifications/x"}`:                                                         "2025-11-25|notifications/x||s1",
		`{"id":1,"result":{}}`:                                                                 "2025-11-25|||s1",
	} {
		synctest.Test(t, func(t *testing.T) {
			var got []string
			c := converse(t, to("http://proxy", roundTrip(func(r *http.Request) (*http.Response, error) {
				h := r.Header
				got = append(got, strings.Join([]string{h.Get("Mcp-Protocol-Version"), h.Get("Mcp-Method"), h.Get("Mcp-Name"), h.Get("Mcp-Session-Id")}, "|"))
				if len(got) == 1 {
					res := says(r, http.StatusOK, "application/json", `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}`)
					res.Header.Set("Mcp-Session-Id", "s1")
					return res, nil
				}
				return pongs(r), nil
			})))
			c.say(t, hello)
			<-c.lines
			c.say(t, message)
			if strings.Contains(message, `"id":1,"method"`) {
				c.hears(t, pong("1"))
			}
			c.end(t)
			if len(got) < 2 || got[0] != "|initialize||" || got[1] != want {
				t.Errorf("%s: %q, want %s", message, got, want)
			}
		})
	}
}

// A method that a server without sessions does not know is no lost session.
func TestRelayTakesNoUnknownMethodForALostSession(t *testing.T) {
	const message = `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`
	lines := exchange(t, hello+"\n"+message, func(r *http.Request, body string) (http.Header, string) {
		if strings.Contains(body, "initialize") {
			return http.Header{"Content-Type": {"application/json"}, "Mcp-Session-Id": {"s1"}}, helloBack
		}
		return http.Header{"Content-Type": {"application/json"}, "X-Status": {"404"}}, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}`
	})
	if want := failed("1", "-32601", "Method not found"); len(lines) != 2 || lines[0] != want {
		t.Errorf("%q, want %s", lines, want)
	}
}
