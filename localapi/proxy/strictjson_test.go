package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

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

// parseJSON reads the same values as encoding/json, and no object has a name twice.
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
