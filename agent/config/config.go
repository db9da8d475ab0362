// Package config reads and writes the settings that a person may edit: config.toml, and
// one file a profile. They hold no secret.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os/user"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"langkeep/agent/paths"
	"langkeep/agent/vocabulary"
)

// Config is config.toml: the settings for all profiles. A test writes the comments of
// its fields into docs/configuration.md.
type Config struct {
	// Where the local API listens: 127.0.0.1 or [::1], and a port; the other one
	// gets the same port. In force at the next start.
	Listen string `toml:"listen"`
	// Where secrets are kept: keychain, file (needs LANGKEEP_PASSPHRASE_FILE) or
	// memory, which forgets them at the end. In force at the next start.
	Store string `toml:"store"`
	// The profile for a command that names none.
	DefaultProfile string `toml:"default_profile"`
	// How much the log says: debug, info, warn or error.
	LogLevel string `toml:"log_level"`
	// Users of this computer beside you, by name or number, who may connect over
	// TCP and to a proxy's socket. They need a token all the same.
	AllowUsers []string `toml:"allow_users"`
	// The browser for sign-ins that need one, as the full path of a program of
	// the Chromium family; empty for the first that is installed of Chrome, Edge,
	// Chromium, Brave and Vivaldi.
	Browser string `toml:"browser"`
	// Whether a person is asked before a program gets a token, a key or a client token
	// (exec, mcp and client add): never, new (unless they have allowed it before) or always.
	Ask string `toml:"ask"`
	// Whether the screen's lock locks Langkeep too, for as long as the screen is
	// locked. On Linux, with a desktop.
	LockWithScreen bool   `toml:"lock_with_screen"`
	Notify         Notify `toml:"notify"`
}

// Notify says which notifications a person wants.
type Notify struct {
	// Whether to be told that a sign-in is needed.
	SignInRequired bool `toml:"sign_in_required"`
	// Whether to be told that a session ends within a day while its server can't
	// be reached.
	Offline bool `toml:"offline"`
	// Whether to be told that one of these has ended.
	BackToNormal bool `toml:"back_to_normal"`
}

// Default is the settings without a config.toml.
func Default() Config {
	return Config{
		Listen:   "127.0.0.1:17860",
		Store:    "keychain",
		LogLevel: "info",
		Ask:      vocabulary.AskNever,
		Notify:   Notify{SignInRequired: true, Offline: true, BackToNormal: true},
	}
}

// LoadConfig reads config.toml; without the file it is Default, but a symbolic link
// to nothing is an error. An error names the file and the line.
func LoadConfig(path string) (Config, error) {
	c, _, err := loadConfig(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Default(), nil
	}
	return c, err
}

func loadConfig(path string) (Config, *document, error) {
	f := struct {
		Schema int `toml:"schema"`
		Config
	}{Config: Default()}
	doc, err := load(path, &f)
	if err != nil {
		return Config{}, nil, err
	}
	if err := doc.check(f.Config.faults()); err != nil {
		return Config{}, nil, err
	}
	return f.Config, doc, nil
}

// faults are the errors of the settings, by key.
func (c Config) faults() map[string]error {
	return map[string]error{
		"listen":          CheckListen(c.Listen),
		"store":           CheckStore(c.Store),
		"default_profile": checkDefaultProfile(c.DefaultProfile),
		"log_level":       checkLogLevel(c.LogLevel),
		"allow_users":     checkUsers(c.AllowUsers),
		"browser":         checkBrowser(c.Browser),
		"ask":             checkAsk(c.Ask),
	}
}

func checkAsk(ask string) error {
	if !slices.Contains([]string{"", vocabulary.AskNever, vocabulary.AskNew, vocabulary.AskAlways}, ask) {
		return fmt.Errorf("%q is not when to ask; write never, new or always", ask)
	}
	return nil
}

// Change has the settings of config.toml that the control page may change; nil leaves a
// setting as it is.
type Change struct {
	DefaultProfile *string
	LogLevel       *string
	SignInRequired *bool
	Offline        *bool
	BackToNormal   *bool
}

// ErrValue means that a setting can't have the new value.
var ErrValue = errors.New("not a value of this setting")

// ChangeConfig changes settings in config.toml, or makes the file, and returns all its
// settings. The rest of the file stays. A file that can't be read is an error, and is
// left alone. A symbolic link stays one.
func ChangeConfig(path string, c Change) (Config, error) {
	config, doc, err := loadConfig(path)
	if errors.Is(err, fs.ErrNotExist) {
		config, doc = Default(), &document{path: path}
		doc.set("schema", fmt.Sprint(paths.Schema))
	} else if err != nil {
		return Config{}, err
	}
	// strconv's quoting is valid TOML for a text that was checked.
	change(doc, "default_profile", &config.DefaultProfile, c.DefaultProfile, strconv.Quote)
	change(doc, "log_level", &config.LogLevel, c.LogLevel, strconv.Quote)
	change(doc, "notify.sign_in_required", &config.Notify.SignInRequired, c.SignInRequired, strconv.FormatBool)
	change(doc, "notify.offline", &config.Notify.Offline, c.Offline, strconv.FormatBool)
	change(doc, "notify.back_to_normal", &config.Notify.BackToNormal, c.BackToNormal, strconv.FormatBool)
	faults := config.faults()
	for _, key := range []string{"default_profile", "log_level"} {
		if err := faults[key]; err != nil {
			return Config{}, fmt.Errorf("%w: %s: %w", ErrValue, key, err)
		}
	}
	// set does not know every form of TOML, such as an inline table: a person must
	// change such a file.
	got := Default()
	if err := toml.Unmarshal(doc.data, &got); err != nil || !reflect.DeepEqual(got, config) {
		return Config{}, fmt.Errorf("%s: its way of writing can't be changed from here; edit it by hand", path)
	}
	return config, doc.write()
}

// change sets a setting to *to and writes it into the file if it differs; a nil to
// changes nothing.
func change[T comparable](doc *document, key string, setting, to *T, toml func(T) string) {
	if to != nil && *to != *setting {
		*setting = *to
		doc.set(key, toml(*to))
	}
}

func checkDefaultProfile(name string) error {
	if name == "" {
		return nil
	}
	return vocabulary.ValidName(name)
}

func checkUsers(users []string) error {
	if slices.Contains(users, "") {
		return errors.New("a user's name is empty; take it out")
	}
	return nil
}

// AllowedUsers returns the ids of allow_users. The error names those that this computer
// does not know, who are not admitted.
func (c Config) AllowedUsers() (ids []uint32, err error) {
	if runtime.GOOS == "windows" {
		return nil, nil // it doesn't tell the user behind a connection
	}
	var unknown []string
	for _, name := range c.AllowUsers {
		id := name
		if u, err := user.Lookup(name); err == nil {
			id = u.Uid
		}
		if uid, err := strconv.ParseUint(id, 10, 32); err == nil {
			ids = append(ids, uint32(uid))
		} else {
			unknown = append(unknown, strconv.Quote(name))
		}
	}
	if unknown != nil {
		err = fmt.Errorf("this computer knows no user %s, whom allow_users in config.toml names", strings.Join(unknown, ", "))
	}
	return ids, err
}

// checkBrowser does not look for the program: it may be on a disk that is not there yet.
func checkBrowser(path string) error {
	if path != "" && !filepath.IsAbs(path) {
		return fmt.Errorf("%q is no full path; write the path of the program from the root on", path)
	}
	return nil
}

// CheckListen tells whether addr is one that the local API may listen on: 127.0.0.1,
// [::1] or localhost, and a port, where 0 is any free one.
func CheckListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is no address; write one such as 127.0.0.1:17860", addr)
	}
	// Another address of 127/8 could not be named in a Host.
	if host != "127.0.0.1" && host != "::1" && host != "localhost" {
		return fmt.Errorf("%q is not allowed; use 127.0.0.1, [::1] or localhost", host)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is no port; use one up to 65535", port)
	}
	return nil
}

// CheckStore tells whether kind names a store.
func CheckStore(kind string) error {
	if kind == "keychain" || kind == "file" || kind == "memory" {
		return nil
	}
	return fmt.Errorf("%q is no store; use keychain, file or memory", kind)
}

func checkLogLevel(name string) error {
	if slices.Contains([]string{"debug", "info", "warn", "error"}, name) {
		return nil
	}
	return fmt.Errorf("%q is no log level; use debug, info, warn or error", name)
}
