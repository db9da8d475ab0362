package connect

import (
	"fmt"
	"path/filepath"
	"strings"

	"langkeep/agent/paths"
	"langkeep/agent/secret"
)

// Tool is a program whose configuration is known, as of November 2026.
type Tool struct {
	Name    string // on the command line
	Title   string
	section string
	format  format
	// file is the path of its user's configuration.
	file func(where) string
	// server is its entry for an MCP server; nil for a tool that takes an
	// environment.
	server func(Server) any
}

// where is a user's folders.
type where struct {
	home   string
	config string // for applications: $XDG_CONFIG_HOME, Application Support, AppData\Roaming
}

// Server is an MCP server: a program, or a URL with the header x-api-key.
type Server struct {
	Command string
	Args    []string
	Env     map[string]string
	URL     string
	Token   secret.Text
}

// Environment is a Langflow server to lfx 1.13 and langflow-sdk 0.4.
type Environment struct {
	URL       string `toml:"url" yaml:"url" json:"url"`
	APIKeyEnv string `toml:"api_key_env" yaml:"api_key_env" json:"api_key_env"`
}

// mcpServer is a Server in a file; a tool may leave fields out.
type mcpServer struct {
	Type      string            `json:"type,omitempty"`
	Command   string            `json:"command,omitempty"`
	Args      []string          `json:"args,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
	URL       string            `json:"url,omitempty"`
	ServerURL string            `json:"serverUrl,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
}

// plain is the entry of most tools.
func plain(s Server) any { return entryOf(s) }

func entryOf(s Server) mcpServer {
	if s.URL == "" {
		return mcpServer{Command: s.Command, Args: s.Args, Env: s.Env}
	}
	return mcpServer{URL: s.URL, Headers: map[string]string{"x-api-key": s.Token.Reveal()}}
}

// typed is plain with its transport.
func typed(s Server) any {
	m := entryOf(s)
	m.Type = "stdio"
	if s.URL != "" {
		m.Type = "http"
	}
	return m
}

// Tools are all known tools, by name.
var Tools = []*Tool{
	{
		Name: "claude-code", Title: "Claude Code", section: "mcpServers", format: jsonFormat{}, server: typed,
		file: func(w where) string { return filepath.Join(w.home, ".claude.json") },
	},
	{
		Name: "claude-desktop", Title: "Claude Desktop", section: "mcpServers", format: jsonFormat{}, server: plain,
		file: func(w where) string { return filepath.Join(w.config, "Claude", "claude_desktop_config.json") },
	},
	{
		Name: "cursor", Title: "Cursor", section: "mcpServers", format: jsonFormat{}, server: plain,
		file: func(w where) string { return filepath.Join(w.home, ".cursor", "mcp.json") },
	},
	{
		Name: "langflow-sdk", Title: "langflow-sdk", section: "environments", format: tomlFormat{},
		file: func(w where) string { return filepath.Join(w.home, ".config", "langflow", "environments.toml") },
	},
	{
		Name: "lfx", Title: "lfx", section: "environments", format: yamlFormat{},
		file: func(w where) string { return filepath.Join(w.home, ".lfx", "environments.yaml") },
	},
	{
		Name: "vscode", Title: "VS Code", section: "servers", format: jsonFormat{}, server: typed,
		file: func(w where) string { return filepath.Join(w.config, "Code", "User", "mcp.json") },
	},
	{
		Name: "windsurf", Title: "Windsurf", section: "mcpServers", format: jsonFormat{},
		server: func(s Server) any {
			m := entryOf(s)
			m.URL, m.ServerURL = "", s.URL
			return m
		},
		file: func(w where) string { return filepath.Join(w.home, ".codeium", "windsurf", "mcp_config.json") },
	},
}

// Find finds a tool by its name.
func Find(name string) (*Tool, error) {
	for _, t := range Tools {
		if t.Name == name {
			return t, nil
		}
	}
	names := Names()
	last := len(names) - 1
	return nil, fmt.Errorf("there is no tool %q: choose %s or %s", name, strings.Join(names[:last], ", "), names[last])
}

// SpeaksMCP tells whether the tool takes an MCP server, rather than an
// environment.
func (t *Tool) SpeaksMCP() bool { return t.server != nil }

// Value is the tool's entry for a server.
func (t *Tool) Value(s Server) any { return t.server(s) }

// At returns the place of a profile's entry: in the file at path, or with "" in the
// user's own file.
func (t *Tool) At(path, profile, goos string, getenv func(string) string) (Place, error) {
	name := profile
	if t.SpeaksMCP() {
		name = "langflow-" + profile
	}
	if path == "" {
		w := folders(goos, getenv)
		if w.home == "" || w.config == "" {
			return Place{}, fmt.Errorf("%s: there is no home folder to look for its file in: name one with --file", t.Name)
		}
		path = t.file(w)
	}
	f := t.format
	// lfx takes TOML as well, and langflow-sdk nothing else.
	if strings.EqualFold(filepath.Ext(path), ".toml") && t.Name == "lfx" {
		f = tomlFormat{}
	}
	abs, err := paths.Abs(path, getenv)
	if err != nil {
		return Place{}, err
	}
	// People keep such files elsewhere, and link to them.
	real, err := follow(abs, maxLinks)
	if err != nil {
		return Place{}, fmt.Errorf("%s can't be reached: %w: mend the symbolic links and folders on the way to it", abs, err)
	}
	return Place{Path: real, Section: t.section, Name: name, format: f}, nil
}

func folders(goos string, getenv func(string) string) where {
	w := where{home: getenv("HOME")}
	switch goos {
	case "windows":
		w.home, w.config = getenv("USERPROFILE"), getenv("APPDATA")
	case "darwin":
		w.config = filepath.Join(w.home, "Library", "Application Support")
	default:
		w.config = getenv("XDG_CONFIG_HOME")
		if !filepath.IsAbs(w.config) {
			w.config = filepath.Join(w.home, ".config")
		}
	}
	return w
}

// Names are the tools' names.
func Names() []string {
	var names []string
	for _, t := range Tools {
		names = append(names, t.Name)
	}
	return names
}
