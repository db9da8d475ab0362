// Package config reads what a person may edit: config.toml, and one file a
// profile. No secret is ever in them.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// Config is config.toml: what holds for all profiles.
type Config struct {
	Listen         string   `toml:"listen"` // a loopback address and port
	Store          string   `toml:"store"`  // keychain, file or memory
	DefaultProfile string   `toml:"default_profile"`
	LogLevel       string   `toml:"log_level"`   // debug, info, warn or error
	AllowUsers     []string `toml:"allow_users"` // other local users, by name or uid, who may connect over TCP
	Notify         Notify   `toml:"notify"`
}

// Notify says which notifications a person wants.
type Notify struct {
	SignInRequired bool `toml:"sign_in_required"`
	Offline        bool `toml:"offline"`
	BackToNormal   bool `toml:"back_to_normal"`
}

// Default is what holds without a config.toml.
func Default() Config {
	return Config{
		Listen:   "127.0.0.1:17860",
		Store:    "keychain",
		LogLevel: "info",
		Notify:   Notify{SignInRequired: true, Offline: true, BackToNormal: true},
	}
}

// LoadConfig reads config.toml; without the file it is Default. An error names
// the file and the line.
func LoadConfig(path string) (Config, error) {
	f := struct {
		Schema int `toml:"schema"`
		Config
	}{Config: Default()}
	doc, err := load(path, &f)
	if errors.Is(err, fs.ErrNotExist) {
		return Default(), nil
	}
	if err != nil {
		return Config{}, err
	}
	c := f.Config
	err = doc.check(map[string]error{
		"listen":          CheckListen(c.Listen),
		"store":           CheckStore(c.Store),
		"default_profile": checkDefaultProfile(c.DefaultProfile),
		"log_level":       checkLogLevel(c.LogLevel),
		"allow_users":     checkUsers(c.AllowUsers),
	})
	if err != nil {
		return Config{}, err
	}
	return c, nil
}

func checkDefaultProfile(name string) error {
	if name == "" {
		return nil
	}
	return ValidName(name)
}

func checkUsers(users []string) error {
	if slices.Contains(users, "") {
		return errors.New("a user's name is empty; take it out")
	}
	return nil
}

// CheckListen tells whether addr is one that the local API may listen on: a
// loopback address and a port, where 0 is any free one.
func CheckListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is no address; write one such as 127.0.0.1:17860", addr)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		return fmt.Errorf("%q is not a loopback address; use 127.0.0.1 or [::1]", host)
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
