// Package paths has the table of all files that Langkeep uses, and the functions that
// write them.
package paths

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Paths are the folders, all absolute.
type Paths struct {
	Config string // settings, which a person may edit; no secret
	State  string // files that must outlive a reboot
	Run    string // files that need not: the owner's token, the socket
	Home   string // LANGKEEP_HOME, absolute and cleaned, else ""
}

// Resolve finds the folders for this user on this system. It creates nothing.
func Resolve(getenv func(string) string) (Paths, error) {
	return resolve(runtime.GOOS, getenv, os.Getuid(), private)
}

// Abs is the absolute form of a path that a person wrote in a setting. A tilde at
// its beginning is the home folder, as in a shell, which expands none between
// quotation marks, after an equals sign or in a file.
func Abs(path string, getenv func(string) string) (string, error) {
	rest, tilde := strings.CutPrefix(path, "~")
	if !tilde {
		return filepath.Abs(path)
	}
	if rest != "" && !os.IsPathSeparator(rest[0]) {
		return "", fmt.Errorf("%s begins with another user's home folder: write it in full, or ./%s for that name", path, path)
	}
	name := "HOME"
	if runtime.GOOS == "windows" {
		name = "USERPROFILE"
	}
	home := getenv(name)
	if !filepath.IsAbs(home) {
		return "", fmt.Errorf("%s begins with the home folder, but %s is %q: write it in full", path, name, home)
	}
	return filepath.Join(home, rest), nil
}

// resolve is Resolve for any system; private tells whether a folder is this
// user's alone.
func resolve(goos string, getenv func(string) string, uid int, private func(string) bool) (Paths, error) {
	if home := getenv("LANGKEEP_HOME"); home != "" {
		home, err := Abs(home, getenv)
		if err != nil {
			return Paths{}, fmt.Errorf("find LANGKEEP_HOME: %w", err)
		}
		return Paths{
			Config: filepath.Join(home, "config"),
			State:  filepath.Join(home, "state"),
			Run:    filepath.Join(home, "run"),
			Home:   home,
		}, nil
	}
	// needed reads a variable that the folders depend on.
	needed := func(name string) (string, error) {
		v := getenv(name)
		if !absolute(goos, v) {
			return "", fmt.Errorf("%s must be set to an absolute path, but is %q; set it, or LANGKEEP_HOME", name, v)
		}
		return v, nil
	}
	switch goos {
	case "windows":
		roaming, err := needed("AppData")
		if err != nil {
			return Paths{}, err
		}
		local, err := needed("LocalAppData")
		if err != nil {
			return Paths{}, err
		}
		return Paths{
			Config: filepath.Join(roaming, "langkeep"),
			State:  filepath.Join(local, "langkeep"),
			Run:    filepath.Join(local, "langkeep", "run"),
		}, nil
	case "darwin":
		home, err := needed("HOME")
		if err != nil {
			return Paths{}, err
		}
		dir := filepath.Join(home, "Library", "Application Support", "langkeep")
		return Paths{Config: dir, State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run")}, nil
	}
	// XDG Base Directory Specification 0.8: a relative path counts as unset.
	xdg := func(name string, fallback ...string) (string, error) {
		if v := getenv(name); absolute(goos, v) {
			return filepath.Join(v, "langkeep"), nil
		}
		home, err := needed("HOME")
		if err != nil {
			return "", err
		}
		return filepath.Join(append([]string{home}, append(fallback, "langkeep")...)...), nil
	}
	config, err := xdg("XDG_CONFIG_HOME", ".config")
	if err != nil {
		return Paths{}, err
	}
	state, err := xdg("XDG_STATE_HOME", ".local", "state")
	if err != nil {
		return Paths{}, err
	}
	p := Paths{Config: config, State: state, Run: filepath.Join(state, "run")}
	// su and sudo may leave another user's XDG_RUNTIME_DIR behind.
	for _, dir := range []string{getenv("XDG_RUNTIME_DIR"), "/run/user/" + strconv.Itoa(uid)} {
		if absolute(goos, dir) && private(dir) {
			p.Run = filepath.Join(dir, "langkeep")
			break
		}
	}
	return p, nil
}

// absolute is filepath.IsAbs for any system.
func absolute(goos, path string) bool {
	if goos == "windows" {
		return strings.HasPrefix(path, `\\`) ||
			len(path) > 2 && path[1] == ':' && (path[2] == '\\' || path[2] == '/')
	}
	return strings.HasPrefix(path, "/")
}

// ConfigFile is the settings for all profiles.
func (p Paths) ConfigFile() string { return filepath.Join(p.Config, "config.toml") }

// ProfilesDir holds one file a profile.
func (p Paths) ProfilesDir() string { return filepath.Join(p.Config, "profiles") }

// ProfileFile is the settings of one profile.
func (p Paths) ProfileFile(name string) string {
	return filepath.Join(p.ProfilesDir(), name+".toml")
}

// Lock is held by the one agent of this user. It is never deleted.
func (p Paths) Lock() string { return filepath.Join(p.State, "lock") }

// Agent says where the running agent listens.
func (p Paths) Agent() string { return filepath.Join(p.State, "agent.json") }

// Clients has the hashes of the client tokens.
func (p Paths) Clients() string { return filepath.Join(p.State, "clients.json") }

// Keys has the names of the API keys that were made, none of which is a secret.
func (p Paths) Keys() string { return filepath.Join(p.State, "keys.json") }

// Connections lists the entries that connect has written into other programs' files.
func (p Paths) Connections() string { return filepath.Join(p.State, "connections.json") }

// ConnectionsLock is held by a command that changes connections. It is never deleted.
func (p Paths) ConnectionsLock() string { return filepath.Join(p.State, "connections.lock") }

// Audit is the audit log.
func (p Paths) Audit() string { return filepath.Join(p.State, "audit.jsonl") }

// History has the profiles' changes of 30 days, without a secret.
func (p Paths) History() string { return filepath.Join(p.State, "history.jsonl") }

// Log is the agent's log.
func (p Paths) Log() string { return filepath.Join(p.State, "log") }

// Secrets is the file store's one file.
func (p Paths) Secrets() string { return filepath.Join(p.State, "secrets.age") }

// Allowed has a person's answers about programs that ask.
func (p Paths) Allowed() string { return filepath.Join(p.State, "allowed.json") }

// Asking has when programs were asked about, so that a weaker setting is told.
func (p Paths) Asking() string { return filepath.Join(p.State, "asking.json") }

// Locked is there while a person has locked the agent.
func (p Paths) Locked() string { return filepath.Join(p.State, "locked") }

// Browsers is the folder of the windows in which a person signs in. It is empty but for
// that time.
func (p Paths) Browsers() string { return filepath.Join(p.State, "browsers") }

// Welcomed is there once the control page was opened by itself, at the first
// start on a desktop.
func (p Paths) Welcomed() string { return filepath.Join(p.State, "welcomed") }

// StartOffered is there once a person was asked whether the agent is to start at login.
func (p Paths) StartOffered() string { return filepath.Join(p.State, "start-offered") }

// Icon is the icon of notifications, on Windows.
func (p Paths) Icon() string { return filepath.Join(p.State, "icon.png") }

// Icons is the folder of the tray's icons, which the panel reads.
func (p Paths) Icons() string { return filepath.Join(p.Run, "icons") }

// Token is the owner's token.
func (p Paths) Token() string { return filepath.Join(p.Run, "token") }

// PageFile leads a browser to the control page where a code must not be among
// its arguments. It is there for 30 s.
func (p Paths) PageFile() string { return filepath.Join(p.Run, "open.html") }

// Socket is the Unix socket of the local API.
func (p Paths) Socket() string { return filepath.Join(p.Run, "agent.sock") }

// ProxySocketDir holds the Unix socket of a profile's proxy and nothing else, so that a
// container can be given the folder.
func (p Paths) ProxySocketDir(profile string) string { return filepath.Join(p.Run, "proxies", profile) }

// KeychainService is the service that keychain items are kept under: one of
// its own for each LANGKEEP_HOME, so that two agents never share a secret.
func (p Paths) KeychainService() string {
	if p.Home == "" {
		return "langkeep"
	}
	sum := sha256.Sum256([]byte(p.Home))
	return "langkeep-" + hex.EncodeToString(sum[:4])
}

// Create makes the folders that are missing, for this user alone. A folder of
// ours that is open to others is closed to them; one that is a symbolic link
// or somebody else's is an error that names it.
func (p Paths) Create() error {
	if p.Home != "" {
		if err := createHome(p.Home); err != nil {
			return err
		}
	}
	for _, dir := range []string{p.Config, p.ProfilesDir(), p.State, p.Run} {
		if err := createDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// CreateProxySocketDir makes a profile's ProxySocketDir, as Create makes folders.
func (p Paths) CreateProxySocketDir(profile string) error {
	dir := p.ProxySocketDir(profile)
	if err := createDir(filepath.Dir(dir)); err != nil {
		return err
	}
	return createDir(dir)
}

// createHome makes the folder that LANGKEEP_HOME names. One that is there may
// hold other things of the person's, so it keeps its mode, except that nobody
// else may swap the folders below it.
func createHome(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return createDir(dir)
	}
	if err != nil {
		return fmt.Errorf("look at LANGKEEP_HOME: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("LANGKEEP_HOME %s is not a folder; choose another", dir)
	}
	if !ours(info) || info.Mode()&fs.ModeSticky != 0 {
		return fmt.Errorf("LANGKEEP_HOME %s is shared with other users; choose a folder of your own", dir)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return os.Chmod(dir, info.Mode().Perm()&^0o022)
	}
	return nil
}

// createDir makes one folder of ours, or checks and closes the one that is
// there.
func createDir(dir string) error {
	// The parents are the person's (~/.config): made 0700 where missing, as the
	// XDG specification asks, and otherwise left alone.
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("the folder %s can't be made: %w", dir, bare(err))
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the folder %s can't be made: %w", dir, bare(err))
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at a folder: %w", err)
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link; put a folder in its place, or set LANGKEEP_HOME", dir)
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder; move it away", dir)
	case !ours(info):
		return fmt.Errorf("%s belongs to another user; move it away, or set LANGKEEP_HOME", dir)
	}
	if err := restrict(dir, info); err != nil {
		return fmt.Errorf("close %s to other users: %w", dir, err)
	}
	return nil
}

// tmpPrefix begins the names of files that are still being written.
const tmpPrefix = ".tmp-"

// WriteFile replaces the file at path, or makes it, for this user alone. After
// a crash at any moment the file is either the old or the new one; a leftover
// .tmp- file may lie beside it, see Sweep. A symbolic link at path is replaced, never
// followed.
func WriteFile(path string, data []byte) (err error) {
	dir, name := filepath.Split(path)
	// CreateTemp makes a file of mode 0600 and refuses one that is there.
	f, err := os.CreateTemp(dir, tmpPrefix+name+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, bare(err))
	}
	defer func() {
		if err != nil {
			_ = f.Close() // a second close is harmless
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, bare(err))
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := restrict(f.Name(), info); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := replace(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// bare is the system's own error, without the call and the path that package os puts before
// it: people need to read "permission denied", not "openat".
func bare(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err
	}
	if of, ok := errors.AsType[*os.LinkError](err); ok {
		return of.Err
	}
	return err
}

// WriteThrough is WriteFile for a file that its person may keep elsewhere, such as in a
// folder of dotfiles: a symbolic link at path stays, and the file that it leads
// to is replaced. A link that leads nowhere is an error, since a folder that was
// open to others may have had it planted.
func WriteThrough(path string, data []byte) error {
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return fmt.Errorf("write %s: the symbolic link leads nowhere; mend or delete it: %w", path, err)
		}
		path = target
	}
	return WriteFile(path, data)
}

// Sweep removes what WriteFile left when an agent was killed. The caller is the
// one agent, so nobody is writing these now; only the record of connections is
// written by commands.
func (p Paths) Sweep() {
	for _, dir := range []string{p.Config, p.ProfilesDir(), p.State, p.Run} {
		entries, _ := os.ReadDir(dir) // a folder that can't be read has nothing to be swept
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), tmpPrefix) || !e.Type().IsRegular() {
				continue
			}
			if strings.HasPrefix(e.Name(), tmpPrefix+filepath.Base(p.Connections())) {
				info, err := e.Info()
				if err != nil || time.Since(info.ModTime()) < time.Minute {
					continue
				}
			}
			_ = os.Remove(filepath.Join(dir, e.Name())) // the next start tries again
		}
	}
}

// errTooLarge is what ReadFile says of a file over its limit.
var errTooLarge = errors.New("the file is too large")

// Open opens an ordinary file for reading that nobody but this user and root can
// have written: while a folder was open to others, somebody may have planted one.
// It follows symbolic links, for people who keep their settings elsewhere. A
// missing file is fs.ErrNotExist; a link to nothing is another error, since the
// file is somewhere: on a disk that is not mounted, or in a folder that was moved.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0) // a pipe would keep us waiting
	if errors.Is(err, fs.ErrNotExist) {
		if link := Dangling(path); link != nil {
			return nil, link
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, bare(err))
	}
	if err := ordinary(f); err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

// Dangling is the error of a path that is not there because it is, or leads
// through, a symbolic link to nothing; nil for a path that is there or of which
// nothing is.
func Dangling(path string) error {
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			if at == filepath.Dir(at) {
				return nil
			}
			continue // the path may be missing because of a folder above it
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return nil
		}
		if _, err := os.Stat(at); !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("%s is a symbolic link to nothing; mend or delete it", at)
	}
}

func ordinary(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no ordinary file; put one in its place", f.Name())
	}
	if what := Exposed(info); what != "" {
		return fmt.Errorf("%s %s", f.Name(), what)
	}
	return nil
}

// ReadFile reads a file of at most limit bytes, as Open opens it.
func ReadFile(path string, limit int64) ([]byte, error) {
	return readFile(path, limit, func(fs.FileInfo) string { return "" })
}

// ReadPrivate reads a file as ReadFile does, but not one that others can read. root's may
// be open to its group, by which this user then reads it. On Windows it does not look,
// since a file's access list does not show in its mode.
func ReadPrivate(path string, limit int64) ([]byte, error) {
	return readFile(path, limit, readable)
}

// readFile is ReadFile but for files of which refused says something.
func readFile(path string, limit int64, refused func(fs.FileInfo) string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if what := refused(info); what != "" {
		return nil, fmt.Errorf("%s %s", path, what)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, errTooLarge, limit)
	}
	return data, nil
}
