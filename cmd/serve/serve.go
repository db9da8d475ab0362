// Package serve is the composition root: it builds an agent from its parts, runs it
// until it is told to stop, and takes it apart again. It does not know the command
// line.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"langkeep/agent"
	"langkeep/agent/asks"
	"langkeep/agent/audit/auditlog"
	"langkeep/agent/autostart"
	"langkeep/agent/chromium"
	"langkeep/agent/clients"
	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/connect"
	"langkeep/agent/history"
	"langkeep/agent/keychain"
	"langkeep/agent/paths"
	"langkeep/agent/rotate"
	"langkeep/agent/secret"
	"langkeep/localapi"
	"langkeep/localapi/client"
	"langkeep/localapi/doctor"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
	"langkeep/tray/clipboard"
)

const (
	logSize      = 5 << 20 // bytes
	logKeep      = 3       // files
	lockPatience = 200 * time.Millisecond
)

// Options override config.toml, and have the callbacks of the command.
type Options struct {
	Listen, Store string // as in config.toml if empty
	Paths         paths.Paths
	Version       string                      // of this program
	Passphrase    func() (secret.Text, error) // of the file store; called for that store only
	Ready         func(url string)            // called once everything answers
	NoBus         bool                        // a command has started the agent, and there is no session bus
}

// running is an agent that answers, for the desktop's view of it.
type running struct {
	agent  *agent.Agent
	asks   *asks.Desk
	server *localapi.Server
	config *liveConfig
	clock  clock.Clock
	log    *slog.Logger
	stop   func() // does not wait for the end
}

// Run runs the agent until ctx ends or the owner asks it to stop. It holds the
// lock, so there is one a user. A store that is locked, or not there, is
// keychain.ErrLocked or keychain.ErrMissing.
func Run(ctx context.Context, o Options) error { return run(ctx, o, func(running) {}) }

// run is Run, and shows the agent once it answers.
func run(ctx context.Context, o Options, show func(running)) (err error) {
	if err := o.Paths.Create(); err != nil {
		return err
	}
	lock, err := takeLock(o.Paths)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	withdraw(o.Paths) // remove a killed agent's files: another program may listen at their address now
	o.Paths.Sweep()

	settings, err := o.settings()
	if err != nil {
		return err
	}
	logFile, err := rotate.Open(o.Paths.Log(), logSize, logKeep)
	if err != nil {
		return err
	}
	defer logFile.Close()
	level := new(slog.LevelVar)
	setLevel(level, settings)
	log := slog.New(slog.NewTextHandler(logFile, &slog.HandlerOptions{Level: level}))

	// Harden before the first secret is read.
	if err := harden(); err != nil {
		log.Info("core dumps and debuggers are not kept off", "reason", err)
	}
	store, err := openStore(settings.Store, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	live := newLiveConfig(o.Paths.ConfigFile(), level, settings)
	owner := guard.NewToken()
	clk := clock.System()
	api := newAPI(o, live, store, owner, clk, log)
	listeners, url, err := listen(settings.Listen, o, log)
	if err != nil {
		return err
	}
	api.URL = url

	userAgent := "langkeep/" + o.Version
	api.Agent = agent.New(agent.Config{
		Store: store, Clock: clk, Log: log, ProfilesDir: o.Paths.ProfilesDir(),
		UserAgent: userAgent, KeysFile: o.Paths.Keys(), LockFile: o.Paths.Locked(),
		OpenWindow: openWindow(live, o.Paths),
	})
	if err := chromium.Sweep(o.Paths.Browsers()); err != nil {
		log.Warn("can't delete what a browser has left", "error", err)
	}
	api.Agent.Reload()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	api.Started, api.Stop = time.Now(), stop
	api.History = history.Open(o.Paths.History(), clk, log)
	defer api.History.Close()
	api.Audit = auditlog.Open(o.Paths.Audit(), clk, log)
	api.Doctor = &doctor.Inside{
		Agent: api.Agent, Store: store, PeerLookup: api.Guard.PeerLookup, Clipboard: func() error { return clipboard.Check(os.Getenv) }, Paths: o.Paths, Home: doctor.HomeFolder(), UserAgent: userAgent,
	}
	api.Autostart = startAtLogin(o.Paths, log)
	api.Tools = connect.OpenDesk(o.Paths, os.Getenv)
	server := localapi.New(*api)
	defer context.AfterFunc(ctx, api.Agent.CloseWindows)()
	var parts sync.WaitGroup
	parts.Go(func() {
		config.Watch(ctx, o.Paths, clk, log, func() {
			live.reload(log)
			api.Agent.Reload()
			server.LookAtAsk()
		})
	})

	// The engine runs longer than the server, so that the last requests still get an
	// answer. It begins before the files are written, since the disk takes as long as a
	// renewal.
	engine, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	parts.Go(func() { api.Agent.Run(engine) })
	defer withdraw(o.Paths)
	makeshift := o.NoBus && settings.Store == "keychain"
	if makeshift {
		log.Warn("there is no session bus, and so no keychain: a command with a desktop's environment will replace this agent")
	}
	if err := publish(o.Paths, url, owner, makeshift); err != nil {
		stop()
		stopEngine()
		parts.Wait()
		return err
	}
	log.Info("started", "version", o.Version, "url", url, "store", store.Kind(), "pid", os.Getpid())
	o.Ready(url)
	show(running{agent: api.Agent, asks: api.Asks, server: server, config: live, clock: clk, log: log, stop: stop})
	err = server.Serve(ctx, listeners...)
	stop()
	stopEngine()
	parts.Wait()
	log.Info("stopped")
	return err
}

// settings are config.toml's, with those of the command line in their place.
func (o Options) settings() (config.Config, error) {
	settings, err := config.LoadConfig(o.Paths.ConfigFile())
	if o.Listen != "" {
		settings.Listen = o.Listen
	}
	if o.Store != "" {
		settings.Store = o.Store
	}
	return settings, err
}

// newAPI makes the local API's configuration, but for the parts that need the agent.
func newAPI(o Options, live *liveConfig, store keychain.Store, owner secret.Text, clk clock.Clock, log *slog.Logger) *localapi.Config {
	api := &localapi.Config{
		Log: log, Version: o.Version, Store: store.Kind(), Settings: live, PageFile: o.Paths.PageFile(),
		Pages: guard.NewPages(clk), Clients: clients.Open(o.Paths.Clients(), clk, log),
		Asks:  asks.New(asks.Config{Clock: clk, Log: log, File: o.Paths.Allowed(), Alive: guard.SessionAlive}),
		Modes: asks.NewMemory(o.Paths.Asking()),
	}
	api.Guard = guard.New(guard.Config{
		Authority: guard.Authorities{guard.OwnerToken(owner), api.Pages, localapi.ClientTokens(api.Clients)}, AllowUIDs: live.allowedUsers, Log: log,
	})
	api.ConfigError = func() error {
		faults := []error{live.problem()}
		for _, err := range api.Agent.FileErrors() {
			faults = append(faults, errors.New(words.Error(err)))
		}
		return errors.Join(append(faults, api.Clients.Problem())...)
	}
	api.ListenProxy = func(profile string) (net.Listener, error) {
		if err := o.Paths.CreateProxySocketDir(profile); err != nil {
			return nil, err
		}
		return guard.ListenSocket(filepath.Join(o.Paths.ProxySocketDir(profile), "proxy.sock"))
	}
	return api
}

// openWindow opens windows of the browser that config.toml names at that moment.
func openWindow(live *liveConfig, p paths.Paths) func(ctx context.Context, address string) (agent.Window, error) {
	return func(ctx context.Context, address string) (agent.Window, error) {
		program, err := chromium.Find(live.Get().Browser)
		if err != nil {
			return nil, err
		}
		w, err := chromium.Open(ctx, program, p.Browsers(), address)
		if err != nil {
			return nil, err // not a Window that is nil
		}
		return w, nil
	}
}

// startAtLogin starts the agent at login; nil where that can't be.
func startAtLogin(p paths.Paths, log *slog.Logger) localapi.Autostart {
	entry, err := autostart.New(p, os.Getenv)
	if err != nil {
		log.Info("no start at login", "reason", err)
		return nil
	}
	if !entry.Possible() {
		return nil
	}
	return loginStart{entry, p}
}

// takeLock makes this process the user's one agent.
func takeLock(p paths.Paths) (*flock.Flock, error) {
	lock := paths.NewLock(p.Lock())
	// A command that checks whether an agent runs holds the lock for a moment.
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
		return nil, fmt.Errorf("an agent runs already%s: stop it with langkeep stop", client.HolderWords(p))
	default:
		return nil, fmt.Errorf("can't lock %s: %w", p.Lock(), err)
	}
}

// publish writes the agent's address and the owner's token for the user's programs.
func publish(p paths.Paths, url string, owner secret.Text, makeshift bool) error {
	if err := paths.WriteFile(p.Token(), []byte(owner.Reveal())); err != nil {
		return err
	}
	data, err := json.Marshal(client.Running{Schema: 1, URL: url, PID: os.Getpid(), Makeshift: makeshift})
	if err != nil {
		return err
	}
	return paths.WriteFile(p.Agent(), append(data, '\n'))
}

// withdraw deletes publish's files. A file that can't be deleted does no harm: its
// token is good for this run only.
func withdraw(p paths.Paths) {
	_ = os.Remove(p.Agent())
	_ = os.Remove(p.Token())
}

// openStore opens the store that the settings name, and never another one.
func openStore(kind string, o Options, log *slog.Logger) (keychain.Store, error) {
	switch kind {
	case "memory":
		return keychain.NewMemory(), nil
	case "file":
		passphrase, err := o.Passphrase()
		if err != nil {
			return nil, err
		}
		return keychain.NewFile(o.Paths.Secrets(), passphrase)
	default:
		return keychain.NewOS(o.Paths.KeychainService(), log), nil
	}
}

// listen opens the loopback addresses and the socket.
func listen(address string, o Options, log *slog.Logger) ([]net.Listener, string, error) {
	listeners, err := guard.ListenTCP(address)
	if err != nil {
		return nil, "", err
	}
	url := "http://" + listeners[0].Addr().String()
	socket, err := guard.ListenSocket(o.Paths.Socket())
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
