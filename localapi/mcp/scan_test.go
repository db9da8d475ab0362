package mcp

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// The scanner takes the texts that encoding/json takes, with the same members.
func FuzzScanner(f *testing.F) {
	for _, text := range []string{
		`{"id":1,"method":"a","params":{"x":[1,-2.5e+7,true,false,null,"\u00e9\n\"\\"]}}`, " {} ", "[]", "", "{", `{"a":}`, `[1,]`, `{"a":1,}`, "01", "-", "1.", "1e", "1e5", "-0", "nul", "tru", `"`, `"\`, `"\u12"`,
		`"\x"`, "\"a\tb\"", "\"a\x00\"", "\"caf\xc3\xa9 and more than eight bytes\"", "\"\xff\"", `{"i\u0064":2,"id":3}`, "[1\n,2]", "{}x", "\ufeff{}", `"12345678"`, `"1234567\"8"`, "\"1234567\x1f8\"", `{"a" :1 , "b": [ ] }`,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
		strings.Repeat(`{"a":`, 9999) + "1" + strings.Repeat("}", 9999), `"` + strings.Repeat("!#[]~\x7f", 20) + `"`, "1 2", "--1", "+1", ".5", "1.e5", "\v1",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scanner{text: text}
		got, want := s.whole(), json.Valid(text)
		if got != want {
			t.Fatalf("%q: %t, want %t", text, got, want)
		}
		if !want {
			return
		}
		if s.lines != bytes.ContainsAny(text, "\r\n") {
			t.Errorf("%q: lines %t", text, s.lines)
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) != nil {
			return
		}
		for name, value := range members {
			if found := memberOf(text, name); strings.ToValidUTF8(name, "") == name && !strings.ContainsRune(name, '\ufffd') && !bytes.Equal(found, value) {
				t.Errorf("%q: %q is %q, want %q", text, name, found, value)
			}
		}
	})
}
