package mcp

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"langkeep/agent/secret"
)

// The ids of a line are the same id, and that of no other line.
func TestIDValue(t *testing.T) {
	groups := [][]string{
		{`"a/b"`, `"a\/b"`, `"\u0061/b"`},
		{`"café"`, `"caf\u00e9"`, `"caf\u00E9"`},
		{`"cafe\u0301"`}, // the same letter to people, other characters
		{`"😀"`, `"\ud83d\ude00"`},
		{`1`, `1.0`, `1e0`, `10e-1`, `0.1E+1`, `1.00E0`},
		{`"1"`},
		{`-1`, `-1.0`},
		{`0`, `-0`, `0.0`, `0e9`},
		{`1.5`, `15e-1`},
		{`100`, `1e2`, `1E2`},
		{`9007199254740993`, `9007199254740993.0`},
		{`9007199254740992`},
		{`1e999999999`, `10e999999998`},
		{`1e99999999999999999999`},
		{`null`},
		{`"null"`},
		{`""`},
	}
	seen := map[string]int{}
	for i, group := range groups {
		for _, id := range group {
			value, ok := idValue(json.RawMessage(id))
			if before, again := seen[value]; !ok || again && before != i {
				t.Errorf("%s is %q, %v, as %v", id, value, ok, groups[before])
			}
			seen[value] = i
		}
	}
	if len(seen) != len(groups) {
		t.Errorf("%d values of %d ids: %v", len(seen), len(groups), seen)
	}
	for _, id := range []string{`{}`, `[1]`, `true`, ``} {
		if value, ok := idValue(json.RawMessage(id)); ok {
			t.Errorf("%s is the id %q", id, value)
		}
	}
}

// exchange runs a relay for a client that writes in and goes. The server gives
// each request the answer that answer returns; "" is 202.
func exchange(t *testing.T, in string, answer func(r *http.Request, body string) (header http.Header, text string)) []string {
	t.Helper()
	var out bytes.Buffer
	err := Run(t.Context(), Config{
		URL: "http://proxy", Token: secret.New("lk_1"), In: strings.NewReader(in), Out: &out, Warn: func(s string) { t.Log(s) },
		Client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			header, text := answer(r, string(body))
			res := &http.Response{StatusCode: http.StatusOK, Header: header, Request: r, Body: io.NopCloser(strings.NewReader(text))}
			if text == "" {
				res.StatusCode = http.StatusAccepted
			}
			return res, nil
		})},
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

// Each message that has an id is answered, by the server or in its place; what is
// no message is refused with the id that can be told.
func TestRelayAnswersWhateverHasAnID(t *testing.T) {
	refused := func(code, id, words string) string {
		return `{"error":{"code":` + code + `,"message":"langkeep: ` + words + `"},"id":` + id + `,"jsonrpc":"2.0"}`
	}
	pong := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"result":{}}` }
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

// Whatever a member has as its id, it can be compared with itself, and what an
// encoder makes of it is the same.
func FuzzIDValue(f *testing.F) {
	f.Add(`"a\/b"`)
	f.Add(`-0.0100E+7`)
	f.Add(`1e999999999999`)
	f.Add(`{"a":1}`)
	f.Fuzz(func(t *testing.T, id string) {
		value, ok := idValue(json.RawMessage(id))
		if !ok || !json.Valid([]byte(id)) {
			return
		}
		var decoded any
		d := json.NewDecoder(strings.NewReader(id))
		d.UseNumber()
		if err := d.Decode(&decoded); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(decoded)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := idValue(again); !ok || other != value {
			t.Errorf("%s is %q, and as %s it is %q, %v", id, value, again, other, ok)
		}
	})
}
