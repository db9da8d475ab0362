package tomltext

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

type settings struct {
	Text  string            `toml:"text"`
	Yes   bool              `toml:"yes"`
	Port  int               `toml:"port"`
	Words []string          `toml:"words"`
	Env   map[string]string `toml:"env,omitempty"`
	None  string            `toml:"none,omitempty"`
}

func TestLines(t *testing.T) {
	got := strings.Join(Lines(settings{Text: `C:\keep "a"`, Yes: true, Port: 8, Words: []string{"it's\n", "b"}, Env: map[string]string{"B.1": "", "A": "x"}}), "\n")
	const want = `text = 'C:\keep "a"'
yes = true
port = 8
words = ["it's\u000A", 'b']
env = {A = 'x', 'B.1' = ''}`
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// FuzzLines has go-toml read what was written.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{"", "plain", `"`, `'`, `\`, "\x00\x1f\x7f\u0085\u2028", "'''\"\"\"", "\n[a]\nb = 1 #", "\xff'", "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "\ufffd")
		want := settings{Text: text, Words: []string{text, text}, Env: map[string]string{text: text, "b": ""}}
		var got settings
		written := strings.Join(Lines(want), "\n")
		if err := toml.Unmarshal([]byte(written), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q was written as %q, and read as %+v: %v", text, written, got, err)
		}
	})
}
