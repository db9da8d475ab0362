package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"langkeep/agent/paths"
	"langkeep/agent/tomltext"
	"langkeep/agent/vocabulary"
)

// Profile is one profiles/NAME.toml: a Langflow server and an account. A zero field is
// an absent setting.
type Profile struct {
	Name        string // from the file's name, not in the file
	ServerURL   string // may end in a root path
	Username    string
	Method      string // password, auto-login, refresh-token, api-key or external; "" before the first sign-in
	CAFile      string // absolute; PEM
	AllowHTTP   bool
	KeyLifetime time.Duration // of a managed key
	Proxy       bool
	ProxyPort   int
	// ProxyOrigins are those of the web pages that may use the proxy, in one
	// string with spaces between them, so that profiles can be compared.
	ProxyOrigins string
	// ProxyHosts are names by which programs in containers may reach the proxy, with
	// spaces between them.
	ProxyHosts string
	// ProxySocket means that the proxy has a Unix socket too.
	ProxySocket bool
	// UnknownRoutes lets clients with the scope proxy use routes that no known version
	// of Langflow has.
	UnknownRoutes bool
	// ExecScopes are the scopes that exec and env give a program, with spaces between
	// them; "" means read, token and proxy.
	ExecScopes string
	// Ask says when a program is asked about before it gets a credential; "" as
	// config.toml says.
	Ask string

	HeaderCommand    Argv   // prints the headers that a gateway wants
	HeaderCommandFor string // the header that HeaderCommand prints the value of, if it prints one line; "" is Authorization
	ClientCert       string // absolute; PEM
	ClientKey        string // absolute; PEM
	TokenCommand     Argv   // prints the access token, for the method external
	TokenHeader      string // the header in which the server wants that token; "" is Authorization
}

// Argv is a program and its arguments as a JSON array of strings, so that profiles can be
// compared. The zero value is none.
type Argv string

// NewArgv makes an Argv; none of no words.
func NewArgv(words []string) Argv {
	if len(words) == 0 {
		return ""
	}
	data, _ := json.Marshal(words) // strings always can be
	return Argv(data)
}

// Words returns the program and its arguments; nil is none.
func (a Argv) Words() []string {
	var words []string
	_ = json.Unmarshal([]byte(a), &words) // NewArgv made it
	return words
}

// profileFile is a Profile in its file. A test writes the comments of its fields into
// docs/configuration.md.
type profileFile struct {
	// The version of the file's form.
	Schema int `toml:"schema"`
	// The server's address, with its root path if it has one. A new address of another
	// origin signs the profile out first.
	ServerURL string `toml:"server_url"`
	// The account's name, for the method password. Another name signs the profile out
	// first.
	Username string `toml:"username"`
	// How the profile signs in: password, auto-login, refresh-token, api-key or external;
	// written by the first sign-in.
	Method string `toml:"method"`
	// A file of certificates, PEM, with its full path, that are trusted beside
	// the system's.
	CAFile string `toml:"ca_file"`
	// Whether plain http to another computer is allowed, where everybody on the way can
	// read along.
	AllowHTTP bool `toml:"allow_http"`
	// How long an API key that Langkeep makes lives: a Go duration such as 8h, 10s
	// or more. Empty is 24h.
	KeyLifetime string `toml:"key_lifetime"`
	// Whether the profile's proxy is open.
	Proxy bool `toml:"proxy"`
	// The proxy's port; 0 takes the first free one from 17861 up, which is then
	// written down here.
	ProxyPort int `toml:"proxy_port"`
	// The origins of the web pages that may use the proxy, each with a scheme, a
	// host and perhaps a port.
	ProxyOrigins []string `toml:"proxy_allow_origins"`
	// The names by which programs in containers reach the proxy, beside localhost, such
	// as host.docker.internal.
	ProxyHosts []string `toml:"proxy_allow_hosts"`
	// Whether the proxy has a Unix socket too, which can be mounted into a container.
	ProxySocket bool `toml:"proxy_socket"`
	// Whether clients with the scope proxy may use routes that no known version of
	// Langflow has.
	UnknownRoutes bool `toml:"unknown_routes"`
	// The scopes that exec and env give a program, such as ["run"]. Empty is
	// read, token and proxy.
	ExecScopes []string `toml:"exec_scopes"`
	// Whether a person is asked before a program gets a credential: never, new or
	// always. Empty is as in config.toml.
	Ask string `toml:"ask"`
	// A program and its arguments that print the headers which a gateway in front of the
	// server wants: {"headers":{"NAME":"VALUE"},"expires_at":"TIME"}, or one line. It runs
	// without a shell, for 30 s at most.
	HeaderCommand []string `toml:"header_command"`
	// The header whose value header_command prints, where it prints one line. Empty is
	// Authorization, with the line as its bearer token.
	HeaderCommandFor string `toml:"header_command_for"`
	// A file with the certificate that a gateway wants of its clients, PEM, with its full
	// path. It is read anew when it changes.
	ClientCert string `toml:"client_cert"`
	// The file with that certificate's private key, PEM, with its full path, which nobody
	// else may read.
	ClientKey string `toml:"client_key"`
	// A program and its arguments that print the access token, for the method external: a
	// line, or JSON as header_command's.
	TokenCommand []string `toml:"token_command"`
	// The header in which the server wants that token. Empty is Authorization, as a bearer
	// token.
	TokenHeader string `toml:"token_header"`
}

// minKeyLifetime keeps a managed key from being replaced all the time.
const minKeyLifetime = 10 * time.Second

// LoadProfile reads one profile. An error names the file and the line; a
// missing file is fs.ErrNotExist; a symbolic link to nothing is another error.
func LoadProfile(path string) (Profile, error) {
	p, _, err := loadProfile(path)
	return p, err
}

func loadProfile(path string) (Profile, *document, error) {
	var f profileFile
	name := strings.TrimSuffix(filepath.Base(path), ".toml")
	if err := vocabulary.ValidName(name); err != nil {
		return Profile{}, nil, fmt.Errorf("%s: %w; rename the file", path, err)
	}
	doc, err := load(path, &f)
	if err != nil {
		return Profile{}, nil, err
	}
	if err := doc.check(f.faults()); err != nil {
		return Profile{}, nil, err
	}
	lifetime, err := parseLifetime(f.KeyLifetime)
	if err != nil {
		return Profile{}, nil, err
	}
	return Profile{
		Name: name, ServerURL: f.ServerURL, Username: f.Username, Method: f.Method, CAFile: f.CAFile,
		AllowHTTP: f.AllowHTTP, KeyLifetime: lifetime, Proxy: f.Proxy, ProxyPort: f.ProxyPort,
		ProxyOrigins: strings.Join(f.ProxyOrigins, " "),
		ProxyHosts:   strings.Join(f.ProxyHosts, " "), ProxySocket: f.ProxySocket, UnknownRoutes: f.UnknownRoutes, ExecScopes: strings.Join(f.ExecScopes, " "), Ask: f.Ask,
		HeaderCommand: NewArgv(f.HeaderCommand), HeaderCommandFor: f.HeaderCommandFor, ClientCert: f.ClientCert, ClientKey: f.ClientKey,
		TokenCommand: NewArgv(f.TokenCommand), TokenHeader: f.TokenHeader,
	}, doc, nil
}

// LoadProfiles reads every NAME.toml in dir, by name. A file that can't be read adds an
// error; the others are read all the same. A missing dir has no profiles; a dir that is
// a symbolic link to nothing is an error.
func LoadProfiles(dir string) (map[string]Profile, []error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = paths.Dangling(dir); err == nil {
			return map[string]Profile{}, nil
		}
	}
	if err != nil {
		return nil, []error{err}
	}
	profiles := make(map[string]Profile, len(entries))
	var errs []error
	for _, e := range entries {
		if !isSettings(e.Name()) {
			continue
		}
		p, err := LoadProfile(filepath.Join(dir, e.Name()))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		profiles[p.Name] = p
	}
	return profiles, errs
}

// isSettings tells a file of settings from the files that editors, WriteFile and
// migrations leave beside it.
func isSettings(name string) bool {
	return strings.HasSuffix(name, ".toml") && !strings.HasPrefix(name, ".")
}

// SaveProfile writes the profile into dir. In an existing file it writes only the
// changed settings, so a person's comments stay. A file that can't be read is an error,
// and is left alone. A symbolic link stays one.
func SaveProfile(dir string, p Profile) error {
	if err := vocabulary.ValidName(p.Name); err != nil {
		return err
	}
	path := filepath.Join(dir, p.Name+".toml")
	want := p.file()
	doc := &document{path: path}
	if err := doc.check(want.faults()); err != nil {
		return err
	}
	old, found, err := loadProfile(path)
	if err == nil {
		doc = found
	} else if errors.Is(err, fs.ErrNotExist) {
		doc.set("schema", fmt.Sprint(paths.Schema))
	} else {
		return err
	}
	read := doc.data
	before := tomltext.Lines(old.file())
	for i, line := range tomltext.Lines(want) {
		if line != before[i] {
			key, value, _ := strings.Cut(line, " = ")
			doc.set(key, value)
		}
	}
	if unchanged := found != nil && bytes.Equal(doc.data, read); unchanged {
		return nil // nothing changed, so a file that can't be written is no error
	}
	return doc.write()
}

// CheckProfile finds what is wrong with settings before they are kept.
func CheckProfile(p Profile) error {
	_, err := firstFault(p.file().faults())
	return err
}

func (p Profile) file() profileFile {
	f := profileFile{
		Schema: paths.Schema, ServerURL: p.ServerURL, Username: p.Username, Method: p.Method, CAFile: p.CAFile,
		AllowHTTP: p.AllowHTTP, Proxy: p.Proxy, ProxyPort: p.ProxyPort, ProxyOrigins: strings.Fields(p.ProxyOrigins),
		ProxyHosts: strings.Fields(p.ProxyHosts), ProxySocket: p.ProxySocket,
		UnknownRoutes: p.UnknownRoutes, ExecScopes: strings.Fields(p.ExecScopes),
		HeaderCommand: p.HeaderCommand.Words(), HeaderCommandFor: p.HeaderCommandFor, ClientCert: p.ClientCert, ClientKey: p.ClientKey,
		TokenCommand: p.TokenCommand.Words(), TokenHeader: p.TokenHeader,
	}
	if p.KeyLifetime != 0 {
		f.KeyLifetime = p.KeyLifetime.String()
	}
	return f
}

// RemoveProfile deletes the profile's file from dir. A missing file is no error, unless
// dir is a symbolic link to nothing: the file may come back with its folder.
func RemoveProfile(dir, name string) error {
	if err := vocabulary.ValidName(name); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(dir, name+".toml"))
	if errors.Is(err, fs.ErrNotExist) {
		return paths.Dangling(dir)
	}
	return err
}

// faults are the errors of the settings, by key.
func (f profileFile) faults() map[string]error {
	_, lifetime := parseLifetime(f.KeyLifetime)
	return map[string]error{
		"server_url":   checkServerURL(f.ServerURL),
		"method":       checkMethod(f.Method),
		"ca_file":      checkPath(f.CAFile),
		"key_lifetime": lifetime,
		"proxy_port":   checkPort(f.ProxyPort),

		"proxy_allow_origins": checkOrigins(f.ProxyOrigins),
		"proxy_allow_hosts":   checkHosts(f.ProxyHosts),
		"ask":                 checkAsk(f.Ask),
		"exec_scopes":         checkExecScopes(f.ExecScopes),

		"header_command":     checkCommand(f.HeaderCommand),
		"header_command_for": checkHeaderName(f.HeaderCommandFor),
		"client_cert":        cmp.Or(checkPath(f.ClientCert), checkPartner(f.ClientCert, f.ClientKey, "client_key")),
		"client_key":         cmp.Or(checkPath(f.ClientKey), checkPartner(f.ClientKey, f.ClientCert, "client_cert")),
		"token_command":      checkCommand(f.TokenCommand),
		"token_header":       checkHeaderName(f.TokenHeader),
	}
}

// checkCommand wants a program that is found wherever the agent was started: by its full
// path, or by its name in PATH.
func checkCommand(words []string) error {
	for i, word := range words {
		switch {
		case strings.ContainsRune(word, 0):
			return errors.New("has a NUL character, which no program can be given")
		case i > 0 || filepath.IsAbs(word) || word != "" && filepath.Base(word) == word && word != "." && word != "..":
		default:
			return fmt.Errorf("%q is no program; write its full path, or its name if it is in PATH", word)
		}
	}
	return nil
}

// checkHeaderName wants a token of RFC 9110, section 5.6.2. Package gateway knows the
// headers that can't be had.
func checkHeaderName(name string) error {
	if name == "" || httpguts.ValidHeaderFieldName(name) {
		return nil
	}
	return fmt.Errorf("%q is no header's name; write one such as X-Access-Token", name)
}

// checkPartner wants another setting beside one.
func checkPartner(value, other, name string) error {
	if value != "" && other == "" {
		return fmt.Errorf("needs %s beside it", name)
	}
	return nil
}

// checkServerURL checks that the URL can be a server's and holds no password. The
// server's client decides whether plain HTTP is allowed.
func checkServerURL(raw string) error {
	if raw == "" {
		return errors.New("is missing; write one such as https://langflow.example.com")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" {
		return errors.New("not an http or https URL; write one such as https://langflow.example.com")
	}
	if u.User != nil {
		return errors.New("the URL has a user name or password in it; take it out and sign in with langkeep login")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errors.New("the URL has a query or a fragment; take it out")
	}
	return nil
}

func checkMethod(method string) error {
	switch method {
	case "", "password", "auto-login", "refresh-token", "api-key", "external":
		return nil
	}
	return fmt.Errorf("%q is no method; use password, auto-login, refresh-token, api-key or external", method)
}

func checkPath(path string) error {
	if path == "" || filepath.IsAbs(path) {
		return nil
	}
	return fmt.Errorf("%q is not an absolute path; write it in full", path)
}

func parseLifetime(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration; write one such as 24h", s)
	}
	if d < minKeyLifetime {
		return 0, fmt.Errorf("%q is too short; use %v or more", s, minKeyLifetime)
	}
	return d, nil
}

// checkOrigins wants origins as browsers write them (RFC 6454, 6.2), since they
// are compared as text. "null" is the origin of every sandbox.
func checkOrigins(origins []string) error {
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || o != strings.ToLower(u.Scheme+"://"+u.Host) || strings.ContainsAny(o, " *") {
			return fmt.Errorf("%q is not an origin; write one such as http://localhost:3000", o)
		}
	}
	return nil
}

// hostName is a name or an IPv4 address as a Host header has it, without a port. Names
// of containers may have underscores.
var hostName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)
})

func checkHosts(hosts []string) error {
	for _, h := range hosts {
		if len(h) > 253 || !hostName().MatchString(h) {
			return fmt.Errorf("%q is not a host's name; write one such as host.docker.internal, without a port", h)
		}
	}
	return nil
}

// execScopes are the scopes that exec and env can give a program.
var execScopes = []string{"read", "token", "api-key", "run", "tweak", "edit", "proxy"}

func checkExecScopes(scopes []string) error {
	for _, s := range scopes {
		if !slices.Contains(execScopes, s) {
			return fmt.Errorf("%q is no scope for a program; use some of %s", s, strings.Join(execScopes, ", "))
		}
	}
	return nil
}

func checkPort(port int) error {
	if port < 0 || port > 65535 {
		return fmt.Errorf("%d is no port; use one up to 65535", port)
	}
	return nil
}
