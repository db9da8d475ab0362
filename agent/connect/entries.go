package connect

import "langkeep/agent/secret"

// Server is an MCP server: a program, or a URL with the header x-api-key.
type Server struct {
	Name    string // of the entry
	Command string
	Args    []string
	Env     map[string]string
	URL     string
	Token   secret.Text
}

// headers are those of a Server with a URL.
func (s Server) headers() map[string]string {
	if s.URL == "" {
		return nil
	}
	return map[string]string{"x-api-key": s.Token.Reveal()}
}

// Environment is a Langflow server to lfx 1.13 and langflow-sdk 0.4.
type Environment struct {
	URL       string `toml:"url" yaml:"url" json:"url"`
	APIKeyEnv string `toml:"api_key_env" yaml:"api_key_env" json:"api_key_env"`
}

// mcpServer is a Server in a JSON file; a tool may leave fields out.
type mcpServer struct {
	Type      string            `json:"type,omitempty"`
	Tools     []string          `json:"tools,omitempty"`
	Command   string            `json:"command,omitempty"`
	Args      []string          `json:"args,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
	URL       string            `json:"url,omitempty"`
	HTTPURL   string            `json:"httpUrl,omitempty"`
	ServerURL string            `json:"serverUrl,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
}

// plain is the entry of most tools.
func plain(s Server) any { return entryOf(s) }

func entryOf(s Server) mcpServer {
	return mcpServer{Command: s.Command, Args: s.Args, Env: s.Env, URL: s.URL, Headers: s.headers()}
}

// withType is an entry with its transport, as a tool calls it.
func withType(s Server, program, url string) mcpServer {
	m := entryOf(s)
	m.Type = program
	if s.URL != "" {
		m.Type = url
	}
	return m
}

func typed(s Server) any { return withType(s, "stdio", "http") }

func streamable(s Server) any { return withType(s, "stdio", "streamableHttp") }

// copilot is an entry for Copilot CLI 1.0, which gives the tools of a list only.
func copilot(s Server) any {
	m := withType(s, "local", "http")
	m.Tools = []string{"*"}
	return m
}

// httpURL is an entry for Gemini CLI and Qwen Code, to which url is another transport.
func httpURL(s Server) any {
	m := entryOf(s)
	m.URL, m.HTTPURL = "", s.URL
	return m
}

// serverURL is an entry for Windsurf and Antigravity.
func serverURL(s Server) any {
	m := entryOf(s)
	m.URL, m.ServerURL = "", s.URL
	return m
}

// opencode is an entry for opencode 1.18.
func opencode(s Server) any {
	m := struct {
		Type        string            `json:"type"`
		Command     []string          `json:"command,omitempty"`
		Environment map[string]string `json:"environment,omitempty"`
		URL         string            `json:"url,omitempty"`
		Headers     map[string]string `json:"headers,omitempty"`
		Enabled     bool              `json:"enabled"`
	}{Type: "local", Environment: s.Env, URL: s.URL, Headers: s.headers(), Enabled: true}
	if s.URL != "" {
		m.Type = "remote"
	} else {
		m.Command = append([]string{s.Command}, s.Args...)
	}
	return m
}

// codex is an entry for Codex 0.171.
func codex(s Server) any {
	return struct {
		Command string            `toml:"command,omitempty"`
		Args    []string          `toml:"args,omitempty"`
		Env     map[string]string `toml:"env,omitempty"`
		URL     string            `toml:"url,omitempty"`
		Headers map[string]string `toml:"http_headers,omitempty"`
	}{s.Command, s.Args, s.Env, s.URL, s.headers()}
}

// continued is an entry for Continue 1.5.
func continued(s Server) any {
	type options struct {
		Headers map[string]string `yaml:"headers"`
	}
	m := struct {
		Name    string            `yaml:"name"`
		Type    string            `yaml:"type,omitempty"`
		Command string            `yaml:"command,omitempty"`
		Args    []string          `yaml:"args,omitempty"`
		Env     map[string]string `yaml:"env,omitempty"`
		URL     string            `yaml:"url,omitempty"`
		Options *options          `yaml:"requestOptions,omitempty"`
	}{Name: s.Name, Command: s.Command, Args: s.Args, Env: s.Env, URL: s.URL}
	if s.URL != "" {
		m.Type, m.Options = "streamable-http", &options{s.headers()}
	}
	return m
}

// goose is an entry for Goose, which takes no extension without enabled and name. Its
// timeout is in seconds.
func goose(s Server) any {
	m := struct {
		Enabled     bool              `yaml:"enabled"`
		Type        string            `yaml:"type"`
		Name        string            `yaml:"name"`
		Description string            `yaml:"description"`
		Cmd         string            `yaml:"cmd,omitempty"`
		Args        []string          `yaml:"args,omitempty"`
		Envs        map[string]string `yaml:"envs,omitempty"`
		URI         string            `yaml:"uri,omitempty"`
		Headers     map[string]string `yaml:"headers,omitempty"`
		Timeout     int               `yaml:"timeout"`
	}{true, "stdio", s.Name, "Langflow", s.Command, s.Args, s.Env, s.URL, s.headers(), 300}
	if s.URL != "" {
		m.Type = "streamable_http"
	}
	return m
}
