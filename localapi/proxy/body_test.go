package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// Where a client with the scope run gets to, something looks at what it sends.
func TestEveryRunRouteIsChecked(t *testing.T) {
	for _, r := range rules {
		if _, known := checks[r.check]; r.check != "" && !known {
			t.Errorf("%s has the check %q, which there is not", r.pattern, r.check)
		}
	}
}

func TestStrictJSON(t *testing.T) {
	for _, text := range []string{
		``, ` `, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `{'a':1}`, `{a:1}`, `nul`, `NaN`, `Infinity`, `-Infinity`, `{"a":NaN}`, `01`, `-`, `1.`, `.5`, `1e`, `+1`, `1e999`, `-1e999`, `0x10`,
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `[{"b":{"":1,"":2}}]`,
		`{} {}`, `{}x`, `{}` + "\x00", "\ufeff{}", "\x00{}", `{}` + "\x0c", "\u00a0{}", `{}//`, `/**/{}`,
		"\"\xff\"", "\"\xed\xa0\x80\"", `"\ud800"`, `"\ud800x"`, `"\ud800\ud800"`, `"\udc00\ud800"`, `"\u12"`, `"\x41"`, `"\u00zz"`, "\"\n\"", "\"\x00\"", "\"a\tb\"",
		strings.Repeat("[", 200) + strings.Repeat("]", 200), strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), strings.Repeat("1", 65),
		"{\x00\"\x00a\x00\"\x00:\x001\x00}\x00",
	} {
		if v, err := parseJSON([]byte(text)); err == nil {
			t.Errorf("%.60q is %v", text, v)
		}
	}
	got, err := parseJSON([]byte(" {\"a\" : [1, -0.5e+3, true,false,null, \"\\ud83d\\ude00 \\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041 é\"],\n\t\"\":{}, \"A\":\"\"}\r\n"))
	want := map[string]any{"a": []any{number("1"), number("-0.5e+3"), true, false, nil, "😀 \"\\/\b\f\n\r\tA é"}, "": map[string]any{}, "A": ""}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

// What is read here is what encoding/json reads, and no object has a name twice.
func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"\ud83d\ude00"],"b":null}`, `{"a":1,"a":2}`, `"\ud800"`, "\"\xff\"", `1e999`, `{"a":{"b":1,"\u0062":2}}`, "[[[", "\ufeff1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseJSON(text)
		if err != nil {
			return
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q passes, and is not JSON: %v", text, err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			t.Fatalf("%q has more after its end", text)
		}
		if !reflect.DeepEqual(plainJSON(got), want) {
			t.Errorf("%q is %v, and encoding/json says %v", text, got, want)
		}
		if names, all := countNames(text); names != all {
			t.Errorf("%q has %d names, %d of them once", text, all, names)
		}
	})
}

// plainJSON has numbers as encoding/json has them.
func plainJSON(v any) any {
	switch v := v.(type) {
	case number:
		return json.Number(v)
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = plainJSON(v[i])
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for name := range v {
			all[name] = plainJSON(v[name])
		}
		return all
	}
	return v
}

// countNames counts the names of all objects in a text: those that differ, and
// all.
func countNames(text []byte) (different, all int) {
	d := json.NewDecoder(bytes.NewReader(text))
	type level struct {
		names map[string]bool // nil: an array
		name  bool            // comes next
	}
	var levels []*level
	for {
		token, err := d.Token()
		if err != nil {
			return different, all
		}
		var now *level
		if len(levels) > 0 {
			now = levels[len(levels)-1]
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if now != nil && now.names != nil && now.name {
			name := token.(string)
			all++
			if !now.names[name] {
				different++
			}
			now.names[name], now.name = true, false
			continue
		}
		if now != nil {
			now.name = true
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, &level{map[string]bool{}, true})
		case json.Delim('['):
			levels = append(levels, &level{})
		}
	}
}

// TestRunBodies holds the bodies of runs to inputs.
func TestRunBodies(t *testing.T) {
	r := start(t, "", func(http.ResponseWriter, *http.Request) {})
	r.lookup = func(token string) (*guard.Caller, *client.Problem) {
		return &guard.Caller{Name: "run", Scopes: []guard.Scope{guard.Scope(token[3:])}, Profiles: []string{"prod"}}, nil
	}
	const json = "application/json"
	for _, tt := range []struct {
		name, target, kind, body string
		run, tweak               int
	}{
		{"nothing", "/api/v1/run/f", "", "", 200, 200},
		{"an empty object", "/api/v1/run/f", json, "{}", 200, 200},
		{"as langflow-sdk", "/api/v1/run/f", json, `{"input_value":"a","input_type":"chat","output_type":"chat","stream":false}`, 200, 200},
		{"as the page's example", "/api/v1/run/f?stream=false", json, `{"output_type":"chat","input_type":"chat","input_value":"a","session_id":"b","tweaks":{}}`, 200, 200},
		{"as lfx", "/api/v1/run/f?stream=true", "application/json; charset=utf-8", `{"input_value":"a","tweaks":null,"user_id":"b","output_component":""}`, 200, 200},

		{"tweaks", "/api/v1/run/f", json, `{"tweaks":{"a":{"code":"b"}}}`, 403, 200},
		{"tweaks escaped", "/api/v1/run/f", json, `{"twe\u0061ks":{"a":{"code":"b"}}}`, 403, 200},
		{"tweaks twice", "/api/v1/run/f", json, `{"tweaks":{},"tweaks":{"a":{"code":"b"}}}`, 400, 400},
		{"tweaks twice, once escaped", "/api/v1/run/f", json, `{"tweaks":{},"twe\u0061ks":{"a":{"code":"b"}}}`, 400, 400},
		{"tweaks in capitals", "/api/v1/run/f", json, `{"Tweaks":{}}`, 403, 403},
		{"tweaks as a string", "/api/v1/run/f", json, `{"tweaks":"{}"}`, 403, 403},
		{"embedded", "/api/v1/run/f", json, `{"input_request":{"tweaks":{"a":{"code":"b"}}}}`, 403, 200},
		{"context", "/api/v1/run/f", json, `{"context":{"request_variables":{"A":"b"}}}`, 403, 200},
		{"load_from_db", "/api/v1/run/f", json, `{"input_value":{"value":"NAME","load_from_db":true}}`, 403, 403},
		{"a number", "/api/v1/run/f", json, `{"input_value":1}`, 403, 403},
		{"debug", "/api/v1/run/f", json, `{"output_type":"debug"}`, 403, 200},
		{"an output", "/api/v1/run/f", json, `{"output_component":"a"}`, 403, 200},
		{"an array", "/api/v1/run/f", json, `[{}]`, 403, 403},
		{"a form", "/api/v1/run/f", "multipart/form-data; boundary=a", "--a\r\nContent-Disposition: form-data; name=\"tweaks\"\r\n\r\n{}\r\n--a--", 403, 403},
		{"no type", "/api/v1/run/f", "", `{"tweaks":{"a":{"code":"b"}}}`, 403, 403},
		{"text", "/api/v1/run/f", "text/plain", `{}`, 403, 403},
		{"another charset", "/api/v1/run/f", "application/json; charset=utf-7", `{}`, 403, 403},
		{"another parameter", "/api/v1/run/f", "application/json; a=b", `{}`, 403, 403},
		{"a query", "/api/v1/run/f?tweaks=%7B%7D", json, `{}`, 403, 403},
		{"stream twice", "/api/v1/run/f?stream=true&stream=false", json, `{}`, 403, 403},
		{"a semicolon", "/api/v1/run/f?stream=true;tweaks=1", json, `{}`, 403, 403},
		{"more after its end", "/api/v1/run/f", json, `{}{"tweaks":{}}`, 400, 400},
		{"NaN", "/api/v1/run/f", json, `{"input_value":NaN}`, 400, 400},
		{"long", "/api/v1/run/f", json, `{"input_value":"` + strings.Repeat("a", 1<<20) + `"}`, 200, 200},
		{"a version with a body", "/api/v1/version", json, `{}`, 403, 403},
		{"a version with a query", "/api/v1/version?a=b", "", "", 403, 403},
	} {
		for scope, want := range map[string]int{"run": tt.run, "tweak": tt.tweak, "proxy": 200} {
			header := []string{"X-Api-Key: lk_" + scope}
			if tt.kind != "" {
				header = append(header, "Content-Type: "+tt.kind)
			}
			before := len(r.seen)
			if res, said := r.ask(http.MethodPost, tt.target, tt.body, header...); res.StatusCode != want {
				t.Errorf("%s: %s with %s: %d %s, want %d", tt.name, tt.target, scope, res.StatusCode, said, want)
			}
			switch sent := len(r.seen) - before; {
			case want != 200 && sent != 0:
				t.Errorf("%s with %s: something was sent on", tt.name, scope)
			case want == 200 && (sent != 1 || r.bodies[before] != tt.body || r.seen[before].ContentLength != int64(len(tt.body))):
				t.Errorf("%s with %s: what is sent is not what was checked", tt.name, scope)
			}
		}
	}
	for _, header := range []string{"Content-Encoding: gzip", "Upgrade: websocket", "X-LANGFLOW-GLOBAL-VAR-A: b", "x-langflow_global-var-a: b", "X-Langflow-Global-Vars: {}"} {
		if res, said := r.ask(http.MethodPost, "/api/v1/run/f", "{}", "X-Api-Key: lk_run", "Content-Type: application/json", header); res.StatusCode != 403 {
			t.Errorf("%s: %d %s", header, res.StatusCode, said)
		}
	}
}

// A body is refused for its length before it is read, and where that is not told
// once too much has come.
func TestBodyTooLong(t *testing.T) {
	h := New(Config{Log: slog.New(slog.DiscardHandler), ServerVersion: func() string { return "" }})
	for _, told := range []bool{true, false} {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/run/f", strings.NewReader(`{"input_value":"`+strings.Repeat("a", inputBytes)+`"}`))
		r.Header.Set("Content-Type", "application/json")
		if !told {
			r.ContentLength = -1
		}
		_, against := h.examine(httptest.NewRecorder(), r, callers["lk_run"], target{check: "run"})
		if against == nil || against.problem.Kind() != client.TypeTooLarge {
			t.Errorf("told %v: %+v", told, against)
		}
	}
}
