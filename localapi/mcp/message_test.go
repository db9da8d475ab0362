package mcp

import (
	"encoding/json"
	"strings"
	"testing"
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

// Any id of a member can be compared with itself, and equals the id that an encoder makes
// of it.
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
