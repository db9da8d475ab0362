package connect

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type server struct {
	Command string   `json:"command"`
	Args    []string `json:"args"`
}

var (
	relay      = server{"langkeep", []string{"mcp", "prod"}}
	listFormat = yamlFormat{list: "mcpServers"}
	env        = Environment{URL: "http://127.0.0.1:17861", APIKeyEnv: "LANGFLOW_API_KEY"}
)

const (
	jsonEntry = `{
  "mcpServers": {
    "langflow-prod": {
      "command": "langkeep",
      "args": [
        "mcp",
        "prod"
      ]
    }
  }
}
`
	tomlEntry = "[environments.langflow-prod]\nurl = 'http://127.0.0.1:17861'\napi_key_env = 'LANGFLOW_API_KEY'\n"
	listEntry = "mcpServers:\n  - name: langflow-prod\n    command: langkeep\n    args:\n      - mcp\n      - prod\n"
	yamlEntry = "environments:\n  langflow-prod:\n    url: http://127.0.0.1:17861\n    api_key_env: LANGFLOW_API_KEY\n"
)

// Each file is given an entry, twice, and has it taken away.
func TestPut(t *testing.T) {
	for name, tt := range map[string]struct {
		format        format
		before, after string
		removed       string // "" for before
	}{
		"json, none":  {jsonFormat{}, "", jsonEntry, "{\n  \"mcpServers\": {}\n}\n"},
		"json, empty": {jsonFormat{}, "{}", strings.TrimSuffix(jsonEntry, "\n"), "{\n  \"mcpServers\": {}\n}"},
		"json, others": {jsonFormat{}, `{
    "theme": 1e2,
    // what people say
    "mcpServers": {
        /* mine */ "a": {"command": "a"} // a comment
    },
    "last": 12345678901234567890
}`, `{
    "theme": 1e2,
    // what people say
    "mcpServers": {
        /* mine */ "a": {"command": "a"}, // a comment
        "langflow-prod": {
            "command": "langkeep",
            "args": [
                "mcp",
                "prod"
            ]
        }
    },
    "last": 12345678901234567890
}`, ""},
		"json, commas at the end": {jsonFormat{}, "{\n\t\"mcpServers\": {\n\t\t\"a\": 1, // one\n\t\t// two\n\t},\n}\n",
			"{\n\t\"mcpServers\": {\n\t\t\"a\": 1, // one\n\t\t// two\n\t\t\"langflow-prod\": {\n\t\t\t\"command\": \"langkeep\",\n\t\t\t\"args\": [\n\t\t\t\t\"mcp\",\n\t\t\t\t\"prod\"\n\t\t\t]\n\t\t},\n\t},\n}\n", ""},
		"toml, none":   {tomlFormat{}, "", tomlEntry, ""},
		"toml, others": {tomlFormat{}, "# mine\n[environments.a] # one\nurl = \"x\"\n\n[defaults]\nenvironment = \"a\" # two\n", "# mine\n[environments.a] # one\nurl = \"x\"\n\n[defaults]\nenvironment = \"a\" # two\n\n" + tomlEntry, ""},
		"toml, amid":   {tomlFormat{}, "[environments.langflow-prod]\nurl = \"old\"\n# of the next\n[other]\nx = 1\n", tomlEntry + "# of the next\n[other]\nx = 1\n", "# of the next\n[other]\nx = 1\n"},
		"yaml, none":   {yamlFormat{}, "", yamlEntry, "environments: {}\n"},
		"yaml, others": {yamlFormat{}, "# mine\ndefaults: {environment: a}\n\nenvironments: # one\n    # two\n    a:\n        url: x # three\n\n# four\nmore: [1,\n  2]\n",
			"# mine\ndefaults: {environment: a}\n\nenvironments: # one\n    langflow-prod:\n      url: http://127.0.0.1:17861\n      api_key_env: LANGFLOW_API_KEY\n    # two\n    a:\n        url: x # three\n\n# four\nmore: [1,\n  2]\n", ""},
		"yaml, nothing in it":           {yamlFormat{}, "environments: {}\na: 1", yamlEntry + "a: 1\n", "environments: {}\na: 1\n"},
		"yaml, a comment after nothing": {yamlFormat{}, "environments: {} # none yet\na: 1\n", "environments: # none yet\n" + strings.TrimPrefix(yamlEntry, "environments:\n") + "a: 1\n", "environments: {} # none yet\na: 1\n"},
		"yaml list, none":               {listFormat, "", listEntry, "mcpServers: []\n"},
		"yaml list, empty":              {listFormat, "mcpServers: []\na: 1\n", listEntry + "a: 1\n", ""},
		"yaml list, others": {listFormat, "# mine\nname: x\nmcpServers: # one\n  # two\n  - name: a\n    command: x # three\n  - uses: y\n  # four\nrules:\n  - |\n    be\n\n    kind\n",
			"# mine\nname: x\nmcpServers: # one\n" + strings.TrimPrefix(listEntry, "mcpServers:\n") + "  # two\n  - name: a\n    command: x # three\n  - uses: y\n  # four\nrules:\n  - |\n    be\n\n    kind\n", ""},
		"yaml list, amid without indent": {listFormat, "mcpServers:\n- name: a\n  args: [\"1\"]\n- name: langflow-prod\n  args:\n  - old\n  env: {}\n# of the next\n- name: b\nx: 1\n",
			"mcpServers:\n- name: a\n  args: [\"1\"]\n" + strings.ReplaceAll(strings.TrimPrefix(listEntry, "mcpServers:\n  "), "\n  ", "\n") + "# of the next\n- name: b\nx: 1\n", "mcpServers:\n- name: a\n  args: [\"1\"]\n# of the next\n- name: b\nx: 1\n"},
		"toml, with tables in it": {tomlFormat{}, "[environments.langflow-prod]\nurl = \"old\"\n\n[environments.langflow-prod.env]\na = \"b\" # mine\n\n# of the next\n[other]\nx = 1\n", tomlEntry + "\n# of the next\n[other]\nx = 1\n", "\n# of the next\n[other]\nx = 1\n"},
		"yaml, amid":              {yamlFormat{}, "environments:\n  langflow-prod:\n    url: old\n  # of the next\n  b: {url: y}\n", yamlEntry + "  # of the next\n  b: {url: y}\n", "environments:\n  # of the next\n  b: {url: y}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p := Place{Path: "file", Section: "environments", Name: "langflow-prod", format: tt.format}
			var value any = env
			switch tt.format {
			case jsonFormat{}:
				p.Section, value = "mcpServers", relay
			case listFormat:
				p.Section, value = "mcpServers", continued(Server{Name: "langflow-prod", Command: "langkeep", Args: []string{"mcp", "prod"}})
			}
			after, err := p.edited([]byte(tt.before), value)
			if err != nil || string(after) != tt.after {
				t.Fatalf("%v\n%s\nwant\n%s", err, after, tt.after)
			}
			if again, err := p.edited(after, value); err != nil || string(again) != tt.after {
				t.Errorf("twice: %v\n%s", err, again)
			}
			want := tt.removed
			if want == "" {
				want = tt.before
			}
			if gone, err := p.edited(after, nil); err != nil || string(gone) != want {
				t.Errorf("taken away: %v\n%s\nwant\n%s", err, gone, want)
			}
		})
	}
}

func TestFilesThatAreLeftAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		format  format
		content string
	}{
		"broken json":        {jsonFormat{}, `{"mcpServers": {`},
		"a list":             {jsonFormat{}, `[]`},
		"null":               {jsonFormat{}, `null`},
		"the section a list": {jsonFormat{}, `{"environments": []}`},
		"the section twice":  {jsonFormat{}, `{"environments": {"a": 1}, "environments": 5}`},
		"broken toml":        {tomlFormat{}, "[environments"},
		"inline toml":        {tomlFormat{}, "environments = {a = {url = 'x'}}\n"},
		"dotted toml":        {tomlFormat{}, "environments.langflow-prod.url = 'x'\n"},
		"toml amid others":   {tomlFormat{}, "[environments.langflow-prod]\na = 1\n[x]\n[environments.langflow-prod.headers]\na = 1\n"},
		"a yaml list's name": {yamlFormat{list: "environments"}, "environments: {a: 1}\n"},
		"broken yaml":        {yamlFormat{}, "environments: [\n"},
		"flow yaml":          {yamlFormat{}, "environments: {a: {url: x}}\n"},
		"a yaml list":        {yamlFormat{}, "- environments\n"},
		"an alias":           {yamlFormat{}, "x: &x {a: {url: y}}\nenvironments: *x\n"},
		"two documents":      {yamlFormat{}, "environments:\n  a: {url: x}\n---\nb: 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, []byte(tt.content), 0o644); err != nil {
				t.Fatal(err)
			}
			p := Place{Path: path, Section: "environments", Name: "langflow-prod", format: tt.format}
			edit, err := p.Put(env)
			if name == "two documents" && err == nil {
				return // the first is the one that is read
			}
			if !errors.Is(err, errFormat) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, %+v", err, edit)
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != tt.content {
				t.Errorf("it is now %s, %v", now, err)
			}
		})
	}
}

func FuzzJSON(f *testing.F) {
	f.Add(jsonEntry)
	f.Add("{\"mcpServers\":{\"a\":1,/*c*/},}")
	f.Fuzz(func(t *testing.T, content string) {
		p := Place{Path: "file", Section: "mcpServers", Name: "x", format: jsonFormat{}}
		after, err := p.edited([]byte(content), relay)
		if err != nil {
			return
		}
		if again, err := p.edited(after, relay); err != nil || string(again) != string(after) {
			t.Errorf("twice: %v\n%s\n%s", err, after, again)
		}
		if _, err := p.edited(after, nil); err != nil {
			t.Errorf("taken away: %v\n%s", err, after)
		}
	})
}

func FuzzYAML(f *testing.F) {
	f.Add(yamlEntry)
	f.Fuzz(func(t *testing.T, content string) {
		p := Place{Path: "file", Section: "environments", Name: "x", format: yamlFormat{}}
		if after, err := p.edited([]byte(content), env); err == nil {
			if again, err := p.edited(after, env); err != nil || string(again) != string(after) {
				t.Errorf("twice: %v\n%s\n%s", err, after, again)
			}
		}
	})
}

func FuzzYAMLList(f *testing.F) {
	f.Add(listEntry)
	f.Add("mcpServers:\n- name: a\n- name: x\n  args: [\"1\"]\n- b\n")
	value := continued(Server{Name: "x", Command: "langkeep"})
	f.Fuzz(func(t *testing.T, content string) {
		p := Place{Path: "file", Section: "mcpServers", Name: "x", format: listFormat}
		if after, err := p.edited([]byte(content), value); err == nil {
			if again, err := p.edited(after, value); err != nil || string(again) != string(after) {
				t.Errorf("twice: %v\n%s\n%s", err, after, again)
			}
		}
	})
}

func FuzzTOML(f *testing.F) {
	f.Add(tomlEntry)
	f.Add("a = 1 # x\n[environments.x]\nurl='u'\n[environments.y]\n")
	f.Fuzz(func(t *testing.T, content string) {
		p := Place{Path: "file", Section: "environments", Name: "x", format: tomlFormat{}}
		if after, err := p.edited([]byte(content), env); err == nil {
			if again, err := p.edited(after, env); err != nil || string(again) != string(after) {
				t.Errorf("twice: %v\n%s\n%s", err, after, again)
			}
			if _, err := p.edited(after, nil); err != nil {
				t.Errorf("taken away: %v\n%s", err, after)
			}
		}
	})
}
