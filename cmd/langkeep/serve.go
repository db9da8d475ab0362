package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"langkeep/agent"
	"langkeep/agent/audit"
	"langkeep/agent/clients"
	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/paths"
	"langkeep/agent/rotate"
	"langkeep/agent/secret"
	"langkeep/localapi"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

const (
	logSize      = 5 << 20 // bytes
	logKeep      = 3       // files
	lockPatience = 200 * time.Millisecond
)

// serveOptions say what is different from config.toml, and who is told.
type serveOptions struct {
	listen, store string // empty: as in config.toml
	paths         paths.Paths
	getenv        func(string) string
	ready         func(liveAgent) // called once everything answers; may be nil
}

// liveAgent is an agent that answers, for who shows it to people.
type liveAgent struct {
	url    string
	keeper *agent.Agent
	server *localapi.Server
	config *liveConfig
	log    *slog.Logger
	stop   func() // does not wait for the end
}

// serve runs the agent until ctx ends or the owner asks it to stop. It holds
// the lock, so there is one a user.
func serve(ctx context.Context, o serveOptions) (err error) {
	if err := o.paths.Create(); err != nil {
		return err
	}
	lock, err := takeLock(o.paths)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	withdraw(o.paths) // what an agent that was killed has left: somebody else may listen there now
	o.paths.Sweep()

	settings, err := config.LoadConfig(o.paths.ConfigFile())
	if err != nil {
		return err
	}
	if o.listen != "" {
		settings.Listen = o.listen
	}
	if o.store != "" {
		settings.Store = o.store
	}
	logFile, err := rotate.Open(o.paths.Log(), logSize, logKeep)
	if err != nil {
		return err
	}
	defer logFile.Close()
	level := new(slog.LevelVar)
	setLevel(level, settings)
	log := slog.New(slog.NewTextHandler(logFile, &slog.HandlerOptions{Level: level}))

	// Before the first secret.
	if err := harden(); err != nil {
		log.Info("core dumps and debuggers are not kept off", "reason", err)
	}
	store, err := openStore(settings.Store, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	live := &liveConfig{path: o.paths.ConfigFile(), level: level, settings: settings}
	owner := guard.NewToken()
	pages := guard.NewPages(clock.System())
	programs := clients.Open(o.paths.Clients(), clock.System(), log)
	gate := guard.New(guard.Config{
		Authority: guard.Authorities{guard.OwnerToken(owner), pages, localapi.ClientTokens(programs)}, AllowUIDs: live.allowedUsers, Log: log,
	})
	listeners, url, err := listen(settings.Listen, o, log)
	if err != nil {
		return err
	}

	keeper := agent.New(agent.Config{
		Store: store, Clock: clock.System(), Log: log, ProfilesDir: o.paths.ProfilesDir(),
		UserAgent: "langkeep/" + version, KeysFile: o.paths.Keys(),
	})
	live.note(errors.Join(keeper.Reload(ctx)...), log)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	server := localapi.New(localapi.Config{
		Agent: keeper, Guard: gate, Log: log, Version: version, Started: time.Now(), Store: store.Kind(),
		ConfigError: func() error { return errors.Join(live.problem(), programs.Problem()) },
		Settings:    live, Clients: programs, Pages: pages,
		Audit: audit.Open(o.paths.Audit(), clock.System(), log), URL: url, PageFile: o.paths.PageFile(), Stop: stop,
		Doctor: newInside(keeper, store, gate, o.paths),
	})
	var running sync.WaitGroup
	running.Go(func() {
		err := config.Watch(ctx, o.paths, log, func() {
			changed, err := config.LoadConfig(o.paths.ConfigFile())
			if err == nil {
				live.set(changed)
			}
			live.note(errors.Join(append(keeper.Reload(ctx), err)...), log)
		})
		if err != nil {
			log.Warn("edited files are only taken up at the next start", "error", err)
		}
	})

	// The engine outlives the server: who is being served still gets an answer. It
	// begins before the files are written, since their way to the disk takes as
	// long as a renewal.
	engine, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	running.Go(func() { keeper.Run(engine) })
	defer withdraw(o.paths)
	if err := publish(o.paths, url, owner); err != nil {
		stop()
		stopEngine()
		running.Wait()
		return err
	}
	log.Info("started", "version", version, "url", url, "store", store.Kind(), "pid", os.Getpid())
	if o.ready != nil {
		o.ready(liveAgent{url: url, keeper: keeper, server: server, config: live, log: log, stop: stop})
	}
	err = server.Serve(ctx, listeners...)
	stop()
	stopEngine()
	running.Wait()
	log.Info("stopped")
	return err
}

// takeLock makes this process the user's one agent.
func takeLock(p paths.Paths) (*flock.Flock, error) {
	lock := p.NewLock()
	// A command that looks whether an agent runs holds it for a moment.
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	held, err := lock.TryLockContext(ctx, lockPatience/10)
	switch {
	case held:
		// In its place, so that the file stays the one that is locked. Without room
		// for it, or on Windows, where a locked file can't be written, agent.json
		// tells, a little later.
		_ = os.WriteFile(p.Lock(), fmt.Appendf(nil, "{\"schema\":%d,\"pid\":%d}\n", paths.Schema, os.Getpid()), 0o600)
		return lock, nil
	case err == nil || errors.Is(err, context.DeadlineExceeded):
		return nil, alreadyRunning(p)
	default:
		return nil, fmt.Errorf("can't lock %s: %w", p.Lock(), err)
	}
}

// alreadyRunning names the agent that holds the lock.
func alreadyRunning(p paths.Paths) error {
	return fmt.Errorf("an agent runs already%s: stop it with langkeep stop", client.HolderWords(p))
}

// publish tells the user's programs where the agent is, and how the owner
// proves to be it.
func publish(p paths.Paths, url string, owner secret.Text) error {
	if err := paths.WriteFile(p.Token(), []byte(owner.Reveal())); err != nil {
		return err
	}
	data, err := json.Marshal(client.Running{Schema: 1, URL: url, PID: os.Getpid()})
	if err != nil {
		return err
	}
	return paths.WriteFile(p.Agent(), append(data, '\n'))
}

// withdraw takes back what publish has written. What can't be deleted is dead
// all the same: its token is only good for this run.
func withdraw(p paths.Paths) {
	_ = os.Remove(p.Agent())
	_ = os.Remove(p.Token())
}

// openStore opens the store that the settings name, and never another one.
func openStore(kind string, o serveOptions, log *slog.Logger) (keychain.Store, error) {
	switch kind {
	case "memory":
		return keychain.NewMemory(), nil
	case "file":
		passphrase, err := readPassphrase(o.getenv)
		if err != nil {
			return nil, err
		}
		return keychain.NewFile(o.paths.Secrets(), passphrase)
	default:
		return keychain.NewOS(o.paths.KeychainService(), log), nil
	}
}

// readPassphrase reads the first line of the file that LANGKEEP_PASSPHRASE_FILE
// names.
func readPassphrase(getenv func(string) string) (secret.Text, error) {
	name := getenv("LANGKEEP_PASSPHRASE_FILE")
	if name == "" {
		return secret.Text{}, fmt.Errorf("the file store needs LANGKEEP_PASSPHRASE_FILE, the name of a file with the passphrase: %w", keychain.ErrLocked)
	}
	line, err := func() (string, error) {
		path, err := paths.Abs(name, getenv)
		if err != nil {
			return "", err
		}
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return readLine(f)
	}()
	if err != nil {
		return secret.Text{}, fmt.Errorf("can't read the passphrase from the first line of %s: %v: %w", name, err, keychain.ErrLocked)
	}
	return secret.New(line), nil
}

// listen opens the loopback addresses and the socket.
func listen(address string, o serveOptions, log *slog.Logger) ([]net.Listener, string, error) {
	listeners, err := guard.ListenTCP(address)
	if err != nil {
		return nil, "", err
	}
	url := "http://" + listeners[0].Addr().String()
	socket, err := guard.ListenSocket(o.paths.Socket())
	switch {
	case err == nil:
		return append(listeners, socket), url, nil
	case errors.Is(err, guard.ErrNoSocket):
		log.Info("no socket here: commands use TCP", "reason", err)
		return listeners, url, nil
	default:
		for _, l := range listeners {
			_ = l.Close() // the error of the socket says what is wrong
		}
		return nil, "", err
	}
}

// liveConfig is what of config.toml can change while the agent runs.
type liveConfig struct {
	path  string // of config.toml
	level *slog.LevelVar

	changing sync.Mutex // held from reading config.toml to writing it

	mu       sync.Mutex // protects the following
	settings config.Config
	uids     []uint32
	resolved bool
	err      error
}

func (l *liveConfig) set(c config.Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settings, l.resolved = c, false
	setLevel(l.level, c)
}

// Get returns what config.toml says.
func (l *liveConfig) Get() config.Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settings
}

// Change writes config.toml and takes it up at once.
func (l *liveConfig) Change(c config.Change) (config.Config, error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	changed, err := config.ChangeConfig(l.path, c)
	if err == nil {
		l.set(changed)
	}
	return changed, err
}

// note remembers what is wrong with the files, for status to tell.
func (l *liveConfig) note(err error, log *slog.Logger) {
	if err != nil {
		log.Warn("a file edited by hand can't be used; the running settings are kept", "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *liveConfig) problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// allowedUsers are the ids of allow_users. A name that this system does not
// know lets nobody in.
func (l *liveConfig) allowedUsers() []uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.resolved {
		return l.uids
	}
	l.uids, l.resolved = nil, true
	for _, name := range l.settings.AllowUsers {
		id := name
		if u, err := user.Lookup(name); err == nil {
			id = u.Uid
		}
		if uid, err := strconv.ParseUint(id, 10, 32); err == nil {
			l.uids = append(l.uids, uint32(uid))
		}
	}
	return slices.Clip(l.uids)
}

func setLevel(level *slog.LevelVar, c config.Config) {
	// The level was checked when config.toml was read.
	_ = level.UnmarshalText([]byte(c.LogLevel))
}
