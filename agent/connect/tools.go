package connect

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"langkeep/agent/paths"
)

// Tool is a program whose configuration is known, as of November 2026.
type Tool struct {
	Name    string // on the command line
	Title   string
	program string // its command; "" if it has none, or one that another program has too
	section string
	format  format
	// spots are the places of its user's configuration, the best one first.
	spots func(where) []spot
	// server is its entry for an MCP server; nil for a tool that takes an
	// environment.
	server func(Server) any
	// begin is the content that a new file needs beside the entry.
	begin string
}

// spot is one place of a tool's file.
type spot struct {
	file string
	// folder is the tool's own: where it is, the tool is installed. "" where a
	// variable of the tool's names the place, so that a person wants it there.
	folder string
}

// in is the spot of a file in a tool's own folder, or in one below it.
func in(folder string, file ...string) spot {
	return spot{filepath.Join(append([]string{folder}, file...)...), folder}
}

// where is a user's folders.
type where struct {
	home   string
	config string // for applications: $XDG_CONFIG_HOME, Application Support, AppData\Roaming
	dot    string // for programs that follow XDG on every system: $XDG_CONFIG_HOME, ~/.config
	local  string // AppData\Local; "" on other systems
	getenv func(string) string
}

// ofWindows is the one folder on Windows, and the other one elsewhere.
func (w where) ofWindows(windows, other string) string {
	if w.local != "" {
		return windows
	}
	return other
}

// named is the spot of a file in the folder that a tool's variable names, else in its
// own folder of the home folder.
func (w where) named(variable, folder string, file ...string) []spot {
	if dir := w.getenv(variable); dir != "" {
		return []spot{{file: filepath.Join(append([]string{dir}, file...)...)}}
	}
	return []spot{in(filepath.Join(w.home, folder), file...)}
}

// one is a tool's only spot.
func one(find func(where) spot) func(where) []spot {
	return func(w where) []spot { return []spot{find(w)} }
}

// atHome is the only spot of a tool whose folder is in the home folder.
func atHome(folder string, file ...string) func(where) []spot {
	return one(func(w where) spot { return in(filepath.Join(w.home, folder), file...) })
}

// Tools are all known tools, by name.
var Tools = []*Tool{
	{
		Name: "antigravity", Title: "Antigravity", section: "mcpServers", format: jsonFormat{}, server: serverURL,
		spots: func(w where) []spot {
			at := filepath.Join(w.home, ".gemini")
			return []spot{in(filepath.Join(at, "config"), "mcp_config.json"), in(filepath.Join(at, "antigravity-cli"), "mcp_config.json"), in(filepath.Join(at, "antigravity"), "mcp_config.json")}
		},
	},
	{
		Name: "bob", Title: "Bob", section: "mcpServers", format: jsonFormat{}, server: plain,
		spots: atHome(".bob", "settings", "mcp_settings.json"),
	},
	{
		Name: "claude-code", Title: "Claude Code", program: "claude", section: "mcpServers", format: jsonFormat{}, server: typed,
		spots: func(w where) []spot {
			if dir := w.getenv("CLAUDE_CONFIG_DIR"); dir != "" {
				return []spot{{file: filepath.Join(dir, ".claude.json")}}
			}
			return []spot{{filepath.Join(w.home, ".claude.json"), filepath.Join(w.home, ".claude")}}
		},
	},
	{
		Name: "claude-desktop", Title: "Claude Desktop", section: "mcpServers", format: jsonFormat{}, server: plain,
		spots: func(w where) []spot {
			var all []spot
			if w.local != "" { // the store's package redirects AppData\Roaming to a folder of its own
				packages, _ := filepath.Glob(filepath.Join(w.local, "Packages", "Claude_*")) // it fails on a bad pattern only
				for _, dir := range packages {
					all = append(all, in(dir, "LocalCache", "Roaming", "Claude", "claude_desktop_config.json"))
				}
			}
			return append(all, in(filepath.Join(w.config, "Claude"), "claude_desktop_config.json"))
		},
	},
	{
		// Cline 3.0's program and its extension read the same entries. A file that is
		// there decides; the program's is the first.
		Name: "cline", Title: "Cline", program: "cline", section: "mcpServers", format: jsonFormat{}, server: streamable,
		spots: func(w where) []spot {
			const file = "cline_mcp_settings.json"
			return []spot{
				in(filepath.Join(w.home, ".cline"), "data", "settings", file),
				in(filepath.Join(w.config, "Code", "User", "globalStorage", "saoudrizwan.claude-dev"), "settings", file),
			}
		},
	},
	{
		Name: "codex", Title: "Codex", program: "codex", section: "mcp_servers", format: tomlFormat{}, server: codex,
		spots: func(w where) []spot { return w.named("CODEX_HOME", ".codex", "config.toml") },
	},
	{
		Name: "continue", Title: "Continue", program: "cn", section: "mcpServers", format: yamlFormat{list: "mcpServers"}, server: continued,
		spots: atHome(".continue", "config.yaml"),
		begin: "name: Local Config\nversion: 1.0.0\nschema: v1\n", // it takes no file without these
	},
	{
		Name: "copilot", Title: "Copilot CLI", program: "copilot", section: "mcpServers", format: jsonFormat{}, server: copilot,
		spots: func(w where) []spot { return w.named("COPILOT_HOME", ".copilot", "mcp-config.json") },
	},
	{
		Name: "cursor", Title: "Cursor", program: "cursor", section: "mcpServers", format: jsonFormat{}, server: plain,
		spots: atHome(".cursor", "mcp.json"),
	},
	{
		Name: "devin", Title: "Devin Desktop", section: "mcpServers", format: jsonFormat{}, server: plain,
		spots: one(func(w where) spot {
			return in(filepath.Join(w.ofWindows(w.config, w.dot), "devin"), "mcp_config.json")
		}),
	},
	{
		Name: "gemini", Title: "Gemini CLI", program: "gemini", section: "mcpServers", format: jsonFormat{}, server: httpURL,
		spots: atHome(".gemini", "settings.json"),
	},
	{
		// Without its program: goose is a migrator of databases too.
		Name: "goose", Title: "Goose", section: "extensions", format: yamlFormat{}, server: goose,
		spots: one(func(w where) spot {
			if w.local != "" {
				return in(filepath.Join(w.config, "Block", "goose"), "config", "config.yaml")
			}
			return in(filepath.Join(w.dot, "goose"), "config.yaml")
		}),
	},
	{
		Name: "junie", Title: "Junie", program: "junie", section: "mcpServers", format: jsonFormat{}, server: plain,
		spots: atHome(".junie", "mcp", "mcp.json"),
	},
	{
		Name: "langflow-sdk", Title: "langflow-sdk", section: "environments", format: tomlFormat{},
		spots: atHome(".config", "langflow", "environments.toml"),
	},
	{
		Name: "lfx", Title: "lfx", program: "lfx", section: "environments", format: yamlFormat{},
		spots: atHome(".lfx", "environments.yaml"),
	},
	{
		Name: "opencode", Title: "opencode", program: "opencode", section: "mcp", format: jsonFormat{}, server: opencode,
		spots: func(w where) []spot {
			dir := filepath.Join(w.dot, "opencode")
			return []spot{in(dir, "opencode.json"), in(dir, "opencode.jsonc")}
		},
	},
	{
		Name: "qwen", Title: "Qwen Code", program: "qwen", section: "mcpServers", format: jsonFormat{}, server: httpURL,
		spots: atHome(".qwen", "settings.json"),
	},
	{
		Name: "vscode", Title: "VS Code", program: "code", section: "servers", format: jsonFormat{}, server: typed,
		spots: one(func(w where) spot { return in(filepath.Join(w.config, "Code"), "User", "mcp.json") }),
	},
	{
		Name: "windsurf", Title: "Windsurf", program: "windsurf", section: "mcpServers", format: jsonFormat{}, server: serverURL,
		spots: atHome(".codeium", "windsurf", "mcp_config.json"),
	},
	{
		Name: "zed", Title: "Zed", program: "zed", section: "context_servers", format: jsonFormat{}, server: plain,
		spots: one(func(w where) spot {
			return in(w.ofWindows(filepath.Join(w.config, "Zed"), filepath.Join(w.dot, "zed")), "settings.json")
		}),
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

// File is the tool's file of this user, and whether the tool is installed: its file, a
// folder of its own or its program is there. The file need not be.
func (t *Tool) File(goos string, getenv func(string) string) (file string, installed bool, err error) {
	w := folders(goos, getenv)
	if w.home == "" || w.config == "" {
		return "", false, fmt.Errorf("%s: there is no home folder to look for its file in: name one with --file", t.Name)
	}
	spots := t.spots(w)
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	linked := func(path string) bool { _, err := os.Readlink(path); return err == nil } // also to nothing yet
	if i := slices.IndexFunc(spots, func(s spot) bool { return there(s.file) || linked(s.file) }); i >= 0 {
		return spots[i].file, true, nil
	}
	if i := slices.IndexFunc(spots, func(s spot) bool { return s.folder == "" || there(s.folder) }); i >= 0 {
		return spots[i].file, true, nil
	}
	if t.program != "" {
		_, err := exec.LookPath(t.program)
		installed = err == nil
	}
	return spots[0].file, installed, nil
}

// ErrNotInstalled is the error of a tool whose file is not to be made.
var ErrNotInstalled = errors.New("it is not installed")

// At returns the place of an entry: in the file at path, or with "" in the user's own
// file. Without a path, a tool that is not installed is ErrNotInstalled: nothing would
// read its file.
func (t *Tool) At(path, entry, goos string, getenv func(string) string) (Place, error) {
	if path == "" {
		file, installed, err := t.File(goos, getenv)
		switch {
		case err != nil:
			return Place{}, err
		case !installed && t.SpeaksMCP(): // the others are libraries, and have no folder before a person makes one
			return Place{}, fmt.Errorf("%s: %w: neither %s nor its folder is there: start it once, or name its file with --file", t.Title, ErrNotInstalled, file)
		}
		path = file
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
	return Place{Path: real, Section: t.section, Name: entry, format: f, begin: t.begin}, nil
}

func folders(goos string, getenv func(string) string) where {
	w := where{home: getenv("HOME"), getenv: getenv}
	if goos == "windows" {
		w.home, w.config, w.local = getenv("USERPROFILE"), getenv("APPDATA"), getenv("LOCALAPPDATA")
		if w.local == "" {
			w.local = filepath.Join(w.home, "AppData", "Local")
		}
	}
	w.dot = getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(w.dot) {
		w.dot = filepath.Join(w.home, ".config")
	}
	switch goos {
	case "windows":
	case "darwin":
		w.config = filepath.Join(w.home, "Library", "Application Support")
	default:
		w.config = w.dot
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
