package connect

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"langkeep/agent/secret"
)

// systems are the variables of a user without any folder of a tool, by system.
var systems = map[string]map[string]string{
	"linux":   {"HOME": "/home/ana"},
	"darwin":  {"HOME": "/Users/ana"},
	"windows": {"USERPROFILE": `C:\Users\ana`, "APPDATA": `C:\Users\ana\AppData\Roaming`, "LOCALAPPDATA": `C:\Users\ana\AppData\Local`},
}

// Each tool's file on each system, below the home folder, and its entry for a program
// and for a URL.
func TestTools(t *testing.T) {
	t.Setenv("PATH", "")
	const (
		plainEntry = `{"mcpServers":{"langflow-prod":{"command":"/opt/langkeep","args":["mcp","prod"],"env":{"LANGKEEP_HOME":"/keep"}}}}`
		plainURL   = `{"mcpServers":{"langflow-prod":{"url":"http://127.0.0.1:1/x","headers":{"x-api-key":"lk_1"}}}}`
		typedEntry = `{"mcpServers":{"langflow-prod":{"type":"stdio","command":"/opt/langkeep","args":["mcp","prod"],"env":{"LANGKEEP_HOME":"/keep"}}}}`
		typedURL   = `{"mcpServers":{"langflow-prod":{"type":"http","url":"http://127.0.0.1:1/x","headers":{"x-api-key":"lk_1"}}}}`
	)
	serverURL := strings.Replace(plainURL, `"url"`, `"serverUrl"`, 1)
	httpURL := strings.Replace(plainURL, `"url"`, `"httpUrl"`, 1)
	wants := map[string]struct{ linux, darwin, windows, entry, url string }{
		"antigravity":    {".gemini/config/mcp_config.json", "", "", plainEntry, serverURL},
		"bob":            {".bob/settings/mcp_settings.json", "", "", plainEntry, plainURL},
		"claude-code":    {".claude.json", "", "", typedEntry, typedURL},
		"claude-desktop": {".config/Claude/claude_desktop_config.json", "Library/Application Support/Claude/claude_desktop_config.json", "AppData/Roaming/Claude/claude_desktop_config.json", plainEntry, plainURL},
		"cline":          {".cline/data/settings/cline_mcp_settings.json", "", "", typedEntry, strings.Replace(typedURL, `"http"`, `"streamableHttp"`, 1)},
		"codex": {
			".codex/config.toml", "", "",
			"[mcp_servers.langflow-prod]\ncommand = '/opt/langkeep'\nargs = ['mcp', 'prod']\nenv = {LANGKEEP_HOME = '/keep'}\n",
			"[mcp_servers.langflow-prod]\nurl = 'http://127.0.0.1:1/x'\nhttp_headers = {x-api-key = 'lk_1'}\n",
		},
		"continue": {
			".continue/config.yaml", "", "",
			"mcpServers:\n  - name: langflow-prod\n    command: /opt/langkeep\n    args:\n      - mcp\n      - prod\n    env:\n      LANGKEEP_HOME: /keep\n",
			"mcpServers:\n  - name: langflow-prod\n    type: streamable-http\n    url: http://127.0.0.1:1/x\n    requestOptions:\n      headers:\n        x-api-key: lk_1\n",
		},
		"copilot": {
			".copilot/mcp-config.json", "", "",
			strings.Replace(typedEntry, `"stdio",`, `"local","tools":["*"],`, 1), strings.Replace(typedURL, `"http",`, `"http","tools":["*"],`, 1),
		},
		"cursor": {".cursor/mcp.json", "", "", plainEntry, plainURL},
		"devin":  {".config/devin/mcp_config.json", "", "AppData/Roaming/devin/mcp_config.json", plainEntry, plainURL},
		"gemini": {".gemini/settings.json", "", "", plainEntry, httpURL},
		"goose": {
			".config/goose/config.yaml", "", "AppData/Roaming/Block/goose/config/config.yaml",
			"extensions:\n  langflow-prod:\n    enabled: true\n    type: stdio\n    name: langflow-prod\n    description: Langflow\n    cmd: /opt/langkeep\n    args:\n      - mcp\n      - prod\n    envs:\n      LANGKEEP_HOME: /keep\n    timeout: 300\n",
			"extensions:\n  langflow-prod:\n    enabled: true\n    type: streamable_http\n    name: langflow-prod\n    description: Langflow\n    uri: http://127.0.0.1:1/x\n    headers:\n      x-api-key: lk_1\n    timeout: 300\n",
		},
		"junie":        {".junie/mcp/mcp.json", "", "", plainEntry, plainURL},
		"langflow-sdk": {".config/langflow/environments.toml", "", "", "", ""},
		"lfx":          {".lfx/environments.yaml", "", "", "", ""},
		"opencode": {
			".config/opencode/opencode.json", "", "",
			`{"mcp":{"langflow-prod":{"type":"local","command":["/opt/langkeep","mcp","prod"],"environment":{"LANGKEEP_HOME":"/keep"},"enabled":true}}}`,
			`{"mcp":{"langflow-prod":{"type":"remote","url":"http://127.0.0.1:1/x","headers":{"x-api-key":"lk_1"},"enabled":true}}}`,
		},
		"qwen": {".qwen/settings.json", "", "", plainEntry, httpURL},
		"vscode": {
			".config/Code/User/mcp.json", "Library/Application Support/Code/User/mcp.json", "AppData/Roaming/Code/User/mcp.json",
			strings.Replace(typedEntry, "mcpServers", "servers", 1), strings.Replace(typedURL, "mcpServers", "servers", 1),
		},
		"windsurf": {".codeium/windsurf/mcp_config.json", "", "", plainEntry, serverURL},
		"zed": {
			".config/zed/settings.json", "", "AppData/Roaming/Zed/settings.json",
			strings.Replace(plainEntry, "mcpServers", "context_servers", 1), strings.Replace(plainURL, "mcpServers", "context_servers", 1),
		},
	}
	if names := Names(); !slices.IsSorted(names) || len(names) != len(wants) {
		t.Errorf("the tools are %v", names)
	}
	for _, tool := range Tools {
		want, ok := wants[tool.Name]
		if !ok {
			t.Errorf("%s has no row here", tool.Name)
		}
		for goos, file := range map[string]string{"linux": want.linux, "darwin": want.darwin, "windows": want.windows} {
			if file == "" {
				file = want.linux
			}
			home := strings.ReplaceAll(systems[goos]["HOME"]+systems[goos]["USERPROFILE"], `\`, "/")
			got, installed, err := tool.File(goos, func(name string) string { return systems[goos][name] })
			if got = strings.ReplaceAll(got, `\`, "/"); got != home+"/"+file || installed || err != nil {
				t.Errorf("%s on %s: %s, %v, %v, want %s", tool.Name, goos, got, installed, err, file)
			}
		}
		if !tool.SpeaksMCP() {
			continue
		}
		place, err := tool.At(filepath.Join(t.TempDir(), "file"), tool.EntryName(Link{Profile: "prod"}), "linux", os.Getenv)
		if err != nil {
			t.Fatal(err)
		}
		program, err := Link{Profile: "prod"}.Server("/opt/langkeep", map[string]string{"LANGKEEP_HOME": "/keep"})
		program.Name = place.Name
		bare := program
		bare.Env = nil // as where LANGKEEP_HOME is not set
		if got, err := place.Entry(tool.Value(bare)); err != nil || strings.Contains(strings.ToLower(got), "env") {
			t.Errorf("%s: %v, without an environment:\n%s", tool.Name, err, got)
		}
		for want, server := range map[string]Server{
			want.entry: program,
			want.url:   {Name: place.Name, URL: "http://127.0.0.1:1/x", Token: secret.New("lk_1")},
		} {
			got, entryErr := place.Entry(tool.Value(server))
			if strings.HasPrefix(want, "{") {
				got = strings.Join(strings.Fields(got), "")
			}
			if got != want || err != nil || entryErr != nil {
				t.Errorf("%s: %v, %v\n%s\nwant\n%s", tool.Name, err, entryErr, got, want)
			}
			if server.URL == "" {
				continue
			}
			edit, err := place.Put(tool.Value(server))
			if err != nil || os.WriteFile(place.Path, edit.After, 0o600) != nil || place.Token() != "lk_1" {
				t.Errorf("%s: %v, the token in it is %q", tool.Name, err, place.Token())
			}
		}
	}
}

// The file that a tool has is the one that gets the entry, and a variable of the tool's
// own leads to it. A folder of the tool's makes it installed, and so does its program.
func TestFileOfTool(t *testing.T) {
	for name, tt := range map[string]struct {
		tool, goos string
		has        []string // files, and folders with a slash at the end
		env        map[string]string
		want       string
		installed  bool
	}{
		"neither":                             {"zed", "linux", nil, nil, ".config/zed/settings.json", false},
		"a folder":                            {"zed", "linux", []string{".config/zed/"}, nil, ".config/zed/settings.json", true},
		"a program":                           {"codex", "linux", []string{"bin/codex"}, nil, ".codex/config.toml", true},
		"a folder above":                      {"junie", "darwin", []string{".junie/"}, nil, ".junie/mcp/mcp.json", true},
		"the home folder is no tool's":        {"claude-code", "linux", nil, nil, ".claude.json", false},
		"a folder beside":                     {"claude-code", "linux", []string{".claude/"}, nil, ".claude.json", true},
		"CLAUDE_CONFIG_DIR":                   {"claude-code", "linux", []string{".claude.json"}, map[string]string{"CLAUDE_CONFIG_DIR": "cc"}, "cc/.claude.json", true},
		"CODEX_HOME":                          {"codex", "windows", []string{".codex/config.toml"}, map[string]string{"CODEX_HOME": "cx"}, "cx/config.toml", true},
		"COPILOT_HOME":                        {"copilot", "darwin", nil, map[string]string{"COPILOT_HOME": "co"}, "co/mcp-config.json", true},
		"XDG_CONFIG_HOME":                     {"goose", "linux", []string{"xdg/goose/"}, map[string]string{"XDG_CONFIG_HOME": "xdg"}, "xdg/goose/config.yaml", true},
		"XDG_CONFIG_HOME on macOS":            {"opencode", "darwin", []string{"xdg/opencode/"}, map[string]string{"XDG_CONFIG_HOME": "xdg"}, "xdg/opencode/opencode.json", true},
		"comments":                            {"opencode", "linux", []string{".config/opencode/opencode.jsonc"}, nil, ".config/opencode/opencode.jsonc", true},
		"both":                                {"opencode", "linux", []string{".config/opencode/opencode.jsonc", ".config/opencode/opencode.json"}, nil, ".config/opencode/opencode.json", true},
		"the program and the extension":       {"cline", "linux", []string{".cline/", ".config/Code/User/globalStorage/saoudrizwan.claude-dev/"}, nil, ".cline/data/settings/cline_mcp_settings.json", true},
		"the extension":                       {"cline", "darwin", []string{"Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev/"}, nil, "Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json", true},
		"the extension's file":                {"cline", "windows", []string{".cline/", "AppData/Roaming/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"}, nil, "AppData/Roaming/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json", true},
		"Claude Desktop from the store":       {"claude-desktop", "windows", []string{"AppData/Local/Packages/Claude_pzs8sxrjxfjjc/"}, nil, "AppData/Local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/claude_desktop_config.json", true},
		"Claude Desktop, the store's file":    {"claude-desktop", "windows", []string{"AppData/Local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/claude_desktop_config.json", "AppData/Roaming/Claude/claude_desktop_config.json"}, nil, "AppData/Local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/claude_desktop_config.json", true},
		"Claude Desktop, the older installer": {"claude-desktop", "windows", []string{"AppData/Roaming/Claude/"}, nil, "AppData/Roaming/Claude/claude_desktop_config.json", true},
		"Antigravity's program":               {"antigravity", "linux", []string{".gemini/antigravity-cli/"}, nil, ".gemini/antigravity-cli/mcp_config.json", true},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("PATH", filepath.Join(home, "bin"))
			for _, path := range tt.has {
				at := filepath.Join(home, filepath.FromSlash(path))
				folder := at
				if !strings.HasSuffix(path, "/") {
					folder = filepath.Dir(at)
				}
				if err := os.MkdirAll(folder, 0o700); err != nil {
					t.Fatal(err)
				}
				if folder != at {
					for _, end := range []string{"", ".exe"} {
						if err := os.WriteFile(at+end, nil, 0o700); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			getenv := func(name string) string {
				switch name {
				case "HOME", "USERPROFILE":
					return home
				case "APPDATA":
					return filepath.Join(home, "AppData", "Roaming")
				case "LOCALAPPDATA":
					return filepath.Join(home, "AppData", "Local")
				}
				if value := tt.env[name]; value != "" {
					return filepath.Join(home, value)
				}
				return ""
			}
			tool, err := Find(tt.tool)
			if err != nil {
				t.Fatal(err)
			}
			want := filepath.Join(home, filepath.FromSlash(tt.want))
			if got, installed, err := tool.File(tt.goos, getenv); got != want || installed != tt.installed || err != nil {
				t.Errorf("%s, %v, %v, want %s, %v", got, installed, err, want, tt.installed)
			}
			place, err := tool.At("", "x", tt.goos, getenv)
			if !tt.installed && (!errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), want)) || tt.installed && err != nil {
				t.Errorf("%+v, %v", place, err)
			}
		})
	}
}

// A builder's entry stands beside that of the flows.
func TestBuilder(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	link := Link{Profile: "prod", Builder: true}
	if s, err := link.Server("/opt/langkeep", nil); err == nil || !strings.Contains(err.Error(), "prod: the builder is started by uvx") {
		t.Errorf("%+v, %v", s, err)
	}
	for _, tt := range []struct {
		program string
		want    []string
	}{
		{"uv", []string{"tool", "run", "--from", "lfx", "lfx-mcp"}},
		{"uvx", []string{"--from", "lfx", "lfx-mcp"}},
	} {
		for _, end := range []string{"", ".exe"} {
			if err := os.WriteFile(filepath.Join(bin, tt.program)+end, nil, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		s, err := link.Server("/opt/langkeep", nil)
		want := append([]string{"exec", "prod", "--scope", "proxy", "--", filepath.Join(bin, tt.program)}, tt.want...)
		if len(s.Args) > 5 {
			s.Args[5] = strings.TrimSuffix(s.Args[5], ".exe")
		}
		if err != nil || s.Command != "/opt/langkeep" || !slices.Equal(s.Args, want) {
			t.Errorf("%+v, %v, want %q", s, err, want)
		}
	}
	for _, tool := range Tools {
		if tool.SpeaksMCP() && tool.EntryName(link) == tool.EntryName(Link{Profile: "prod"}) {
			t.Errorf("%s has one entry for both", tool.Name)
		}
	}
}
