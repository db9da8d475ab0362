package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"langkeep/agent/paths"
	"langkeep/agent/paths/pathstest"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// chrome is the full path of a browser.
func chrome() string {
	if runtime.GOOS == "windows" {
		return `C:\Program Files\Google\Chrome\Application\chrome.exe`
	}
	return "/opt/google/chrome/chrome"
}

func TestLoadConfig(t *testing.T) {
	full := Config{
		Listen: "[::1]:18000", Store: "file", DefaultProfile: "prod", LogLevel: "debug", AllowUsers: []string{"bob", "1001"},
		Browser: chrome(), Ask: "new", LockWithScreen: true,
		Notify: Notify{SignInRequired: true, Offline: false, BackToNormal: true},
	}
	with := func(change func(*Config)) Config {
		c := Default()
		change(&c)
		return c
	}
	for content, want := range map[string]Config{
		"":             Default(),
		"schema = 1\n": Default(),
		"# mine\nschema = 1\nlisten = \"[::1]:18000\"\nstore = 'file'\ndefault_profile = \"prod\"\nlog_level = \"debug\"\nallow_users = [\"bob\", \"1001\"]\nbrowser = '" + chrome() + "'\nask = \"new\"\nlock_with_screen = true\n[notify]\noffline = false\n": full,
		"notify.offline = false\r\nstore = \"memory\"\r\n": with(func(c *Config) { c.Notify.Offline = false; c.Store = "memory" }),
		"listen = \"localhost:0\"":                         with(func(c *Config) { c.Listen = "localhost:0" }),
	} {
		path := filepath.Join(t.TempDir(), "config.toml")
		write(t, path, content)
		if got, err := LoadConfig(path); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v", content, got, err)
		}
		if read(t, path) != content {
			t.Errorf("%q was touched", content)
		}
	}
	if got, err := LoadConfig(filepath.Join(t.TempDir(), "config.toml")); err != nil || !reflect.DeepEqual(got, Default()) {
		t.Errorf("without a file: %+v, %v", got, err)
	}
}

func TestLoadConfigErrors(t *testing.T) {
	for content, want := range map[string]string{
		"schema = 1\n\nlissten = \"x\"\n":                ":3: unknown setting \"lissten\"",
		"[notify]\nonline = true\n":                      ":2: unknown setting \"notify.online\"",
		"log_level = 5\n":                                ":1: log_level: a value of the type integer stands where a string in quotes belongs",
		"schema = '1'\n":                                 ":1: schema: a value of the type string stands where a whole number belongs",
		"allow_users = 'ann'\n":                          ":1: allow_users: a value of the type string stands where a list of strings, such as [\"a\", \"b\"], belongs",
		"allow_users = [5]\n":                            ":1: allow_users: a value of the type integer stands where a string in quotes belongs",
		"[notify]\noffline = 'no'\n":                     ":2: notify.offline: a value of the type string stands where true or false belongs",
		"notify = true\n":                                ":1: notify: a value of the type boolean stands where a table belongs",
		"[log_level]\n":                                  ":1: log_level: a value of the type table stands where a string in quotes belongs",
		"[[notify]]\n":                                   ":1: notify: a value of the type array table stands where a table belongs",
		"[proxy]\n":                                      ":1: unknown setting \"proxy\"",
		"listen = \n":                                    ":1: ",
		"store = \"file\"\nstore = \"memory\"\n":         ":2: ",
		"listen = 5\n":                                   ":1: ",
		"\nlisten = \"0.0.0.0:17860\"\n":                 ":2: listen: \"0.0.0.0\" is not allowed; use 127.0.0.1",
		"listen = \"127.0.0.9:17860\"":                   ":1: listen: \"127.0.0.9\" is not allowed; use 127.0.0.1, [::1] or localhost",
		"listen = \"127.0.0.1\"":                         ":1: listen: \"127.0.0.1\" is no address",
		"listen = \"127.0.0.1:65536\"":                   ":1: listen: \"65536\" is no port",
		"# a\n# b\nstore = \"disk\"":                     ":3: store: \"disk\" is no store",
		"log_level = \"loud\"":                           ":1: log_level: \"loud\" is no log level",
		"default_profile = \"Prod\"":                     ":1: default_profile: \"Prod\" can't be",
		"allow_users = [\"bob\", \"\"]":                  ":1: allow_users: a user's name is empty",
		"\nbrowser = \"google-chrome\"":                  ":2: browser: \"google-chrome\" is no full path",
		"schema = 2\nfrom_the_future = true":             ":1: schema 2 was written by a newer langkeep",
		"from_the_future = true\n\nschema = 9":           ":3: schema 9 was written by a newer langkeep",
		"schema = -1":                                    ":1: schema -1 does not exist",
		"schema = \"1\"":                                 ":1: ",
		"# " + strings.Repeat("x", 1<<20) + "\nschema=1": "the file is too large",
		"\x00": ":1: ",
	} {
		path := filepath.Join(t.TempDir(), "config.toml")
		write(t, path, content)
		got, err := LoadConfig(path)
		if err == nil || !strings.HasPrefix(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %+v, %v", content, got, err)
		}
		if strings.Contains(want, "newer") && !errors.Is(err, paths.ErrNewer) {
			t.Errorf("%.60q: not ErrNewer: %v", content, err)
		}
		if read(t, path) != content {
			t.Errorf("%.60q was touched", content)
		}
		if _, err := os.Stat(path + ".bak"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%.60q: a backup was made", content)
		}
	}
}

// TestMigration: an older file is kept as .bak, and only its schema changes.
func TestMigration(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "prod.toml")
	before := "# mine\nschema = 0 # old\nserver_url = \"https://a.example\" # here\n"
	write(t, path, before)
	p, err := LoadProfile(path)
	if err != nil || p.ServerURL != "https://a.example" {
		t.Fatalf("got %+v, %v", p, err)
	}
	if got := read(t, path+".bak"); got != before {
		t.Errorf("the backup has %q", got)
	}
	if got := read(t, path); got != strings.Replace(before, "schema = 0", "schema = 1", 1) {
		t.Errorf("the file has %q", got)
	}
	if all, errs := LoadProfiles(dir); len(all) != 1 || errs != nil {
		t.Errorf("the backup is taken for a profile: %v, %v", all, errs)
	}
}

// caFile is an absolute path, which begins with a drive on Windows.
var caFile, _ = filepath.Abs("/etc/ca.pem")

var everySetting = Profile{
	Name: "prod", ServerURL: "https://lf.example.com:8443/team/a", Username: `ann "a" 'b' ü\`, Method: "password", CAFile: caFile,
	AllowHTTP: true, KeyLifetime: 24 * time.Hour, Proxy: true, ProxyPort: 17861,
	ProxyOrigins: "http://localhost:3000 https://app.example",
}

func TestSaveProfile(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []Profile{everySetting, {Name: "dev", ServerURL: "http://127.0.0.1:7860"}} {
		if err := SaveProfile(dir, p); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadProfile(filepath.Join(dir, p.Name+".toml")); err != nil || got != p {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if got, want := read(t, filepath.Join(dir, "dev.toml")), "schema = 1\nserver_url = 'http://127.0.0.1:7860'\n"; got != want {
		t.Errorf("the file has %q", got)
	}
	all, errs := LoadProfiles(dir)
	if errs != nil || len(all) != 2 || all["prod"] != everySetting {
		t.Errorf("got %+v, %v", all, errs)
	}
	if err := RemoveProfile(dir, "dev"); err != nil {
		t.Error(err)
	}
	if err := RemoveProfile(dir, "dev"); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
	if all, errs := LoadProfiles(dir); errs != nil || len(all) != 1 {
		t.Errorf("got %+v, %v", all, errs)
	}
	if err := RemoveProfile(dir, "../prod"); err == nil {
		t.Error("a name that is a path")
	}
}

// TestSaveProfileKeepsComments: only what changed is written anew.
func TestSaveProfileKeepsComments(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "prod.toml")
	write(t, path, "# my server\n\nserver_url   = \"https://a.example\"  # moved in May\nMethod = \"password\" # mine\n\n  key_lifetime = \"60m\"\n\"proxy\" = true # on\n# the end")
	p, err := LoadProfile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveProfile(dir, p); err != nil {
		t.Fatal(err)
	}
	p.ServerURL, p.Method, p.Proxy, p.ProxyPort = "https://b.example", "api-key", false, 17861
	if err := SaveProfile(dir, p); err != nil {
		t.Fatal(err)
	}
	want := "# my server\n\nserver_url = 'https://b.example'  # moved in May\nmethod = 'api-key' # mine\n\n  key_lifetime = \"60m\"\nproxy = false # on\n# the end\nproxy_port = 17861\n"
	if got := read(t, path); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, err := LoadProfile(path); err != nil || got != p {
		t.Errorf("got %+v, %v", got, err)
	}
}

// SaveProfile never overwrites a file that it can't read, and never writes settings that
// it could not read again.
func TestSaveProfileRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "prod.toml")
	for _, content := range []string{"schema = 2\n", "server_url = \n", "server_url = 'https://a.example'\nmine = 1\n", ""} {
		write(t, path, content)
		if err := SaveProfile(dir, everySetting); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("over %q: %v", content, err)
		}
		if got := read(t, path); got != content {
			t.Errorf("%q became %q", content, got)
		}
	}
	for name, change := range map[string]func(*Profile){
		"name":         func(p *Profile) { p.Name = "../prod" },
		"server_url":   func(p *Profile) { p.ServerURL = "" },
		"method":       func(p *Profile) { p.Method = "sso" },
		"ca_file":      func(p *Profile) { p.CAFile = "ca.pem" },
		"key_lifetime": func(p *Profile) { p.KeyLifetime = time.Second },
		"proxy_port":   func(p *Profile) { p.ProxyPort = -1 },

		"proxy_allow_origins": func(p *Profile) { p.ProxyOrigins = "http://localhost:3000 null" },
	} {
		p := everySetting
		p.Name = "other"
		change(&p)
		if err := SaveProfile(dir, p); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a bad %s: %v", name, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestLoadProfileErrors(t *testing.T) {
	const url = "server_url = \"https://a.example\"\n"
	for content, want := range map[string]string{
		"":                              ": server_url: is missing",
		"server_url = \"\"":             ":1: server_url: is missing",
		"server_url = \"a.example\"":    ":1: server_url: not an http or https URL",
		"server_url = \"ftp://a\"":      ":1: server_url: not an http or https URL",
		"server_url = \"https://\"":     ":1: server_url: not an http or https URL",
		"server_url = \"https:a\"":      ":1: server_url: not an http or https URL",
		"server_url = \"https://a:b/\"": ":1: server_url: not an http or https URL",
		"server_url = \"https://u@a\"":  ":1: server_url: the URL has a user name",
		"server_url = \"https://a/?q\"": ":1: server_url: the URL has a query",
		"server_url = \"https://a/?\"":  ":1: server_url: the URL has a query",
		"server_url = \"https://a/#f\"": ":1: server_url: the URL has a query",
		url + "method = \"sso\"":        ":2: method: \"sso\" is no method",
		url + "ca_file = \"ca.pem\"":    ":2: ca_file: \"ca.pem\" is not an absolute path",
		url + "key_lifetime = \"9s\"":   ":2: key_lifetime: \"9s\" is too short",
		url + "key_lifetime = \"soon\"": ":2: key_lifetime: \"soon\" is no duration",
		url + "key_lifetime = 3600":     ":2: ",
		url + "proxy_port = 65536":      ":2: proxy_port: 65536 is no port",
		url + "proxy_port = -1":         ":2: proxy_port: -1 is no port",

		url + "proxy_allow_origins = ['*']":                       ":2: proxy_allow_origins: \"*\" is not an origin",
		url + "proxy_allow_origins = ['null']":                    ":2: proxy_allow_origins: \"null\" is not an origin",
		url + "proxy_allow_origins = [\n'http://a', 'http://a/']": ":2: proxy_allow_origins: \"http://a/\" is not an origin",
		url + "proxy_allow_origins = ['http://A']":                ":2: proxy_allow_origins: \"http://A\" is not an origin",
		url + "proxy_allow_origins = ['http://u@a']":              ":2: proxy_allow_origins: \"http://u@a\" is not an origin",
		url + "proxy_allow_origins = ['https://a https://b']":     ":2: proxy_allow_origins: \"https://a https://b\" is not an origin",
		url + "proxy_allow_origins = 'https://a'":                 ":2: ",
		url + "password = \"hunter2\"\n":                          ":2: unknown setting \"password\"",
		url + "[more]\n":                                          ":2: unknown setting \"more\"",
		url + "proxy = \"on\"":                                    ":2: ",
	} {
		path := filepath.Join(t.TempDir(), "prod.toml")
		write(t, path, content)
		if got, err := LoadProfile(path); err == nil || !strings.HasPrefix(err.Error(), path+want) {
			t.Errorf("%q: got %+v, %v", content, got, err)
		}
	}
	// A password in the wrong place must not reach a log.
	path := filepath.Join(t.TempDir(), "prod.toml")
	for _, content := range []string{
		"server_url = \"https://ann:hunter2@a.example\"", "server_url = \"https://ann:hunter2@a.example:port\"",
		"server_url = \"https://a.example/%zz?hunter2\"",
	} {
		write(t, path, content)
		if _, err := LoadProfile(path); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", content, err)
		}
	}
	if _, err := LoadProfile(filepath.Join(t.TempDir(), "prod.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestLoadProfiles(t *testing.T) {
	dir := t.TempDir()
	badName := "con" // a device's name, which Windows makes no file for
	if runtime.GOOS == "windows" {
		badName = "-"
	}
	const good = "server_url = \"https://a.example\"\n"
	for name, content := range map[string]string{
		"a.toml": good, "b.toml": "oops", "C.toml": good, badName + ".toml": good,
		".tmp-a.toml.1": "", ".#a.toml": "", ".a.toml": "", "a.toml.bak": "", "a.toml~": "", "README": "",
	} {
		write(t, filepath.Join(dir, name), content)
	}
	if err := os.Mkdir(filepath.Join(dir, "d.toml"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, errs := LoadProfiles(dir)
	if len(all) != 1 || all["a"].ServerURL != "https://a.example" {
		t.Errorf("got %+v", all)
	}
	said := fmt.Sprint(errs)
	if len(errs) != 4 || !strings.Contains(said, "d.toml is no ordinary file") || !strings.Contains(said, "b.toml:1: ") || !strings.Contains(said, "C.toml: ") || !strings.Contains(said, badName+".toml: ") {
		t.Errorf("got %v", errs)
	}
	if all, errs := LoadProfiles(filepath.Join(dir, "missing")); all == nil || len(all) != 0 || errs != nil {
		t.Errorf("a missing folder: %v, %v", all, errs)
	}
}

// A change leaves everything else as a person wrote it, and says what it said.
func TestChangeConfig(t *testing.T) {
	off := Change{Offline: new(false)}
	for name, test := range map[string]struct {
		before string // "-": no file
		change Change
		after  string
	}{
		"no file":           {"-", off, "schema = 1\nnotify.offline = false\n"},
		"nothing to do":     {"# mine\n", Change{Offline: new(true), LogLevel: new("info")}, "# mine\n"},
		"a text":            {"log_level = 'warn' # loud\n", Change{LogLevel: new("debug")}, "log_level = \"debug\" # loud\n"},
		"no line feed":      {"log_level = 'warn'", off, "log_level = 'warn'\nnotify.offline = false\n"},
		"a table":           {"store = 'file'\n\n[notify] # quiet\noffline = true # at work\nback_to_normal = false\n", off, "store = 'file'\n\n[notify] # quiet\noffline = false # at work\nback_to_normal = false\n"},
		"new in a table":    {"[notify]\nback_to_normal = false\n# the end\n", off, "[notify]\nback_to_normal = false\noffline = false\n# the end\n"},
		"an empty table":    {"[notify] # none\n", off, "[notify] # none\noffline = false\n"},
		"without line feed": {"[notify]", off, "[notify]\noffline = false\n"},
		"dotted":            {"notify.offline = true\n", off, "notify.offline = false\n"},
		"top level":         {"# one\n[notify]\noffline = true\n", Change{DefaultProfile: new("prod")}, "# one\ndefault_profile = \"prod\"\n[notify]\noffline = true\n"},
		"another case":      {"[Notify]\nOffline = true\n", off, "[Notify]\noffline = false\n"},
		"a mark, CRLF":      {"\ufeffstore = 'file'\r\n\r\n[notify]\r\nback_to_normal = false # no\r\n", off, "\ufeffstore = 'file'\r\n\r\n[notify]\r\nback_to_normal = false # no\r\noffline = false\r\n"},
		"CRLF, in place":    {"log_level = 'warn'\r\nnotify.offline = true\r\n", Change{LogLevel: new("debug"), Offline: new(false)}, "log_level = \"debug\"\r\nnotify.offline = false\r\n"},
		"a mark alone":      {"\ufeff", off, "\ufeffnotify.offline = false\n"},
		"two at once":       {"-", Change{DefaultProfile: new("prod"), BackToNormal: new(false)}, "schema = 1\ndefault_profile = \"prod\"\nnotify.back_to_normal = false\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.toml")
			if test.before != "-" {
				if err := os.WriteFile(path, []byte(test.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			changed, err := ChangeConfig(path, test.change)
			if err != nil {
				t.Fatal(err)
			}
			after, err := os.ReadFile(path)
			if err != nil || string(after) != test.after {
				t.Errorf("got %q, want %q", after, test.after)
			}
			read, err := LoadConfig(path)
			if err != nil || !reflect.DeepEqual(read, changed) {
				t.Errorf("the file says %+v, %v; returned was %+v", read, err, changed)
			}
		})
	}
}

func TestChangeConfigRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		before string
		change Change
		want   string
	}{
		"a value":         {"", Change{LogLevel: new("loud")}, "log_level"},
		"a name":          {"", Change{DefaultProfile: new("a\nb")}, "default_profile"},
		"a bad file":      {"listen = 1\n", Change{Offline: new(false)}, "config.toml:1"},
		"a newer file":    {"schema = 99\n", Change{Offline: new(false)}, "99"},
		"an inline table": {"notify = { back_to_normal = false }\n", Change{Offline: new(false)}, "by hand"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.toml")
			if err := os.WriteFile(path, []byte(test.before), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := ChangeConfig(path, test.change)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
			if after, _ := os.ReadFile(path); string(after) != test.before {
				t.Errorf("the file is now %q", after)
			}
		})
	}
}

// A file that an editor on Windows has written keeps its form, and an error in it still
// names its line.
func TestProfileOfAnotherEditor(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "prod.toml")
	for _, mark := range []string{"", "\ufeff"} {
		write(t, path, mark+"# my server\r\nserver_url = 'https://a.example' # mine\r\nkey_lifetime = '8h'")
		p, err := LoadProfile(path)
		if err != nil {
			t.Fatal(err)
		}
		p.Proxy, p.KeyLifetime = true, time.Hour
		if err := SaveProfile(dir, p); err != nil {
			t.Fatal(err)
		}
		want := mark + "# my server\r\nserver_url = 'https://a.example' # mine\r\nkey_lifetime = '1h0m0s'\r\nproxy = true\r\n"
		if got := read(t, path); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, err := LoadProfile(path); err != nil || got != p {
			t.Errorf("got %+v, %v", got, err)
		}
		write(t, path, mark+"schema = 0\r\nserver_url = 'https://a.example'\r\n")
		if _, err := LoadProfile(path); err != nil {
			t.Fatal(err)
		}
		if got, want := read(t, path), mark+"schema = 1\r\nserver_url = 'https://a.example'\r\n"; got != want {
			t.Errorf("migrated: %q, want %q", got, want)
		}
		write(t, path, mark+"server_url = 'https://a.example'\r\nproxy_port = 70000\r\n")
		if _, err := LoadProfile(path); err == nil || !strings.Contains(err.Error(), "prod.toml:2:") {
			t.Errorf("what is wrong: %v", err)
		}
	}
}

// Settings that are kept elsewhere, such as in a folder of dotfiles, stay there.
func TestLinkedSettings(t *testing.T) {
	dir, dotfiles := t.TempDir(), t.TempDir()
	link := func(name, content string) (path, target string) {
		t.Helper()
		path, target = filepath.Join(dir, name), filepath.Join(dotfiles, name)
		write(t, target, content)
		pathstest.Symlink(t, target, path)
		return path, target
	}
	prod, target := link("prod.toml", "server_url = 'https://a.example'\n")
	p, err := LoadProfile(prod)
	if err != nil {
		t.Fatal(err)
	}
	p.Proxy = true
	settings, kept := link("config.toml", "store = 'file'\n")
	_, err = ChangeConfig(settings, Change{LogLevel: new("debug")})
	if err := errors.Join(err, SaveProfile(dir, p)); err != nil {
		t.Fatal(err)
	}
	old, schema := link("old.toml", "schema = 0\nserver_url = 'https://a.example'\n")
	if _, err := LoadProfile(old); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		target: "server_url = 'https://a.example'\nproxy = true\n",
		kept:   "store = 'file'\nlog_level = \"debug\"\n",
		schema: "schema = 1\nserver_url = 'https://a.example'\n",
	} {
		if got := read(t, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		if info, err := os.Lstat(filepath.Join(dir, filepath.Base(path))); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s is no link any more: %v", path, err)
		}
	}
	// Where nothing changes nothing is written: the folder may be read-only.
	if runtime.GOOS != "windows" {
		before, err := os.Stat(target)
		if err := errors.Join(err, SaveProfile(dir, p)); err != nil {
			t.Fatal(err)
		}
		if after, err := os.Stat(target); err != nil || !os.SameFile(before, after) {
			t.Errorf("what says the same was written anew: %v", err)
		}
	}
	// A link that leads nowhere may have been planted.
	if err := os.Remove(target); err != nil {
		t.Fatal(err)
	}
	if err := SaveProfile(dir, p); err == nil || !strings.Contains(err.Error(), "link to nothing") {
		t.Errorf("a dangling link: %v", err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
}

// Settings behind a symbolic link to nothing are somewhere: they are neither the
// defaults nor deleted.
func TestLinksToNothing(t *testing.T) {
	dir := t.TempDir()
	settings, profiles := filepath.Join(dir, "config.toml"), filepath.Join(dir, "profiles")
	pathstest.Symlink(t, filepath.Join(dir, "dotfiles", "config.toml"), settings)
	pathstest.Symlink(t, filepath.Join(dir, "dotfiles", "profiles"), profiles)
	check := func(what, path string, err error) {
		t.Helper()
		if err == nil || errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path+" is a symbolic link to nothing; mend or delete it") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := LoadConfig(settings)
	check("config.toml", settings, err)
	_, err = ChangeConfig(settings, Change{LogLevel: new("debug")})
	check("a change of config.toml", settings, err)
	_, err = LoadProfile(filepath.Join(profiles, "prod.toml"))
	check("a profile", profiles, err)
	all, errs := LoadProfiles(profiles)
	check("the profiles", profiles, errors.Join(errs...))
	if len(all) > 0 {
		t.Errorf("read %v", all)
	}
	check("a change of a profile", profiles, SaveProfile(profiles, Profile{Name: "prod", ServerURL: "https://a.example"}))
	check("a removal", profiles, RemoveProfile(profiles, "prod"))
}
