package connect

import (
	"strings"
	"testing"
)

// A change is shown without the secrets of other programs around it.
func TestDiffShowsNoSecret(t *testing.T) {
	for format, content := range map[format]string{
		jsonFormat{}: `{
  "github": {"env": {"GITHUB_TOKEN": "hidden-1", "LEVEL": "shown"}},
  "password": "hidden-\"2",
  "mcpServers": {
    "a": {"headers": {"Authorization": "Bearer hidden-3", "x-api-key": "hidden-4"}}
  }
}
`,
		tomlFormat{}: "level = 'shown'\napi_key = 'hidden-1'\nsecret = \"hidden-2\"\n",
		yamlFormat{}: "level: shown\napiKey: hidden-1 hidden-2\nCOOKIE: 'hidden-3'\nmcpServers: {}\n",
		listFormat:   "x: shown\nmcpServers:\n  - env:\n      OPENAI_API_KEY: hidden-1\n",
	} {
		p := Place{Path: "file", Section: "mcpServers", Name: "x", format: format}
		var value any = env
		if format == listFormat {
			value = continued(Server{Name: "x", Command: "langkeep"})
		}
		after, err := p.edited([]byte(content), value)
		if err != nil {
			t.Fatal(err)
		}
		shown := strings.Join((&Edit{Place: p, Before: []byte(content), After: after}).Diff(), "\n")
		if strings.Contains(shown, "hidden") || !strings.Contains(shown, "shown") || format != listFormat && !strings.Contains(shown, "LANGFLOW_API_KEY") {
			t.Errorf("%T shows\n%s", format, shown)
		}
	}
}
