package serve

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"langkeep/agent"
	"langkeep/agent/config"
	"langkeep/agent/paths"
	"langkeep/agent/sessionbus"
	"langkeep/agent/vocabulary"
	"langkeep/assets"
	"langkeep/cmd/browser"
	"langkeep/localapi"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
	"langkeep/tray"
	"langkeep/tray/clipboard"
	"langkeep/tray/notify"
	"langkeep/tray/screen"
)

// Desktop has the ways to reach a person beside the tray.
type Desktop struct {
	Getenv func(string) string
	Say    func(string) // a line on the terminal that the agent was started from
	Greet  bool         // opens the control page at the first start
}

// RunOnDesktop is Run with a tray and notifications, where a desktop can show
// them. It must be called on main's goroutine, which the tray needs.
func RunOnDesktop(ctx context.Context, o Options, d Desktop) error {
	board, noBoard := clipboard.New(d.Getenv)
	begun := make(chan running, 1)
	var served error
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		served = run(ctx, o, func(r running) { begun <- r })
		if board != nil {
			board.Close() // close it here, since on macOS the tray's end ends the process
		}
	}()
	select {
	case r := <-begun:
		v := desktopView{Desktop: d, running: r, options: o, board: board, noBoard: noBoard, noTray: make(chan struct{}), codes: make(chan struct{}, 1)}
		v.show(ctx, stopped)
	case <-stopped:
	}
	<-stopped
	return served
}

// desktopView shows a running agent on the desktop.
type desktopView struct {
	Desktop
	running
	options Options
	board   *clipboard.Clipboard // nil: there is none, and noBoard tells why
	noBoard error
	tray    atomic.Bool   // it is there
	noTray  chan struct{} // closed once the desktop has said that it has none
	codes   chan struct{} // receives after a code is shown or hidden
}

// panelPatience is for a panel that starts after the agent, as at a login.
const panelPatience = 20 * time.Second

// show shows the agent until it has stopped. The tray ends last: on macOS it ends the
// process.
func (v *desktopView) show(ctx context.Context, stopped <-chan struct{}) {
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts.Go(func() { v.notify(ctx) })
	parts.Go(func() { v.lockWithScreen(ctx) })

	if v.noBoard != nil {
		v.log.Info("the menu has no copy entries", "reason", v.noBoard)
	}
	changes := v.agent.Subscribe()
	defer v.agent.Unsubscribe(changes)
	asked, leave := v.asks.Attend()
	defer leave()
	err := tray.Run(tray.Config{
		Profiles: v.profiles, Questions: v.asks.Open, Code: v.code, Changes: either(ctx, changes.Ready(), either(ctx, asked, v.codes)), Clock: v.clock, Version: v.options.Version,
		Icons: v.options.Paths.Icons(), Actions: v.actions(ctx), Log: v.log, Say: v.Say,
		Shown: func() {
			v.tray.Store(true)
			if v.noBoard != nil {
				v.Say("the menu has no copy entries: " + v.noBoard.Error())
			}
			v.welcome(ctx)
		},
		Absent: func() { close(v.noTray) },
	}, stopped)
	if err != nil {
		v.log.Info("no tray", "reason", err)
		v.Say("no tray icon: there is no desktop here to show one")
		<-stopped
	}
}

// either receives when one of two channels does, until ctx ends.
func either(ctx context.Context, a, b <-chan struct{}) <-chan struct{} {
	changed := make(chan struct{}, 1)
	go func() {
		for {
			select {
			case <-a:
			case <-b:
			case <-ctx.Done():
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed
}

func (v *desktopView) profiles() []client.Profile {
	var all []client.Profile
	for _, s := range v.agent.Profiles() {
		all = append(all, localapi.Present(s))
	}
	return all
}

// code is the code that confirms a control page, for the tray.
func (v *desktopView) code() string {
	c, shown := v.server.Pages.Shown()
	if !shown {
		return ""
	}
	title, _ := words.ShownCode(c.Code.Reveal(), c.Program)
	return title
}

// hasDesktop tells whether there is anything that could show something.
func (v *desktopView) hasDesktop(ctx context.Context) bool {
	return runtime.GOOS == "windows" || runtime.GOOS == "darwin" || v.Getenv("DISPLAY") != "" || v.Getenv("WAYLAND_DISPLAY") != "" || sessionbus.Reachable(ctx)
}

// codeScreen shows codes as notifications and in the tray's menu.
type codeScreen struct {
	*desktopView
	show func(notify.Message) error
}

// ShowCode implements guard.Screen.
func (s codeScreen) ShowCode(c guard.ShownCode) error {
	s.changed()
	if err := s.show(notify.Code(c)); err != nil {
		s.log.Info("a code can't be shown as a notification", "error", err)
		if !s.tray.Load() {
			return err
		}
	}
	return nil
}

// HideCode implements guard.Screen.
func (s codeScreen) HideCode() {
	s.changed()
	if err := s.show(notify.Message{Subject: notify.Confirming, Over: true}); err != nil {
		s.log.Info("the notification of a code can't be taken back", "error", err)
	}
}

func (s codeScreen) changed() {
	select {
	case s.codes <- struct{}{}:
	default:
	}
}

// lockWithScreen locks and unlocks the agent with the screen, while the settings say so.
func (v *desktopView) lockWithScreen(ctx context.Context) {
	err := screen.Watch(ctx, func(locked bool) {
		if err := v.agent.SetLocked(agent.Screen, locked && v.config.Get().LockWithScreen); err != nil {
			v.log.Warn("the screen's lock", "error", err)
		}
	})
	if err != nil {
		v.log.Info("the screen's lock is not watched", "reason", err)
	}
}

// actions are the actions of clicks in the tray's menu.
func (v *desktopView) actions(ctx context.Context) tray.Actions {
	actions := tray.Actions{
		OpenURL:  func(url string) error { return browser.Open(ctx, url) },
		OpenPage: func(at string) error { return v.openPage(ctx, at) },
		Refresh: func(ctx context.Context, name string) error {
			_, err := v.agent.Refresh(ctx, name, true)
			return err
		},
		SignOut: func(ctx context.Context, name string) error {
			_, err := v.agent.Logout(ctx, name)
			return err
		},
		SignIn:       v.signIn,
		CancelSignIn: v.agent.CancelLogin,
		SetProxy:     v.server.SetProxy,
		Answer:       v.asks.Answer,
		Locked:       v.agent.IsLocked,
		SetLocked:    func(on bool) error { return v.agent.SetLocked(agent.Person, on) },
		Quit:         v.stop,
	}
	switch {
	case errors.Is(v.noBoard, clipboard.ErrNoXwayland):
		actions.NoClipboard = "install Xwayland"
	case v.noBoard != nil:
		actions.NoClipboard = "no display"
	}
	if v.board != nil {
		actions.CopyToken = func(ctx context.Context, name string) error {
			grant, err := v.agent.Token(ctx, name, agent.AnyLifetime)
			if err != nil {
				return err
			}
			return v.board.Copy(grant.Token)
		}
		actions.CopyKey = func(ctx context.Context, name string) error {
			grant, err := v.agent.Key(ctx, name, agent.AnyLifetime)
			if err != nil {
				return err
			}
			return v.board.Copy(grant.Key)
		}
	}
	if start := v.server.Autostart; start != nil {
		actions.StartsAtLogin, actions.StartAtLogin = start.Enabled, start.Set
	}
	return actions
}

// signIn has a person sign in in a browser. Where none can be opened, the control page has
// the other ways.
func (v *desktopView) signIn(ctx context.Context, name string) error {
	_, err := v.agent.LoginInBrowser(ctx, name, agent.Credentials{})
	e, ok := errors.AsType[*agent.Error](err)
	switch {
	case ok && e.Kind == agent.NotSupported:
		v.log.Info("no browser to sign in with", "profile", name, "error", err)
		return v.openPage(ctx, "sign-in/"+name)
	case ok && e.Reason == vocabulary.BrowserClosed:
		return nil // as the person wanted
	}
	return err
}

// openPage opens the control page in the browser, at the requested place.
func (v *desktopView) openPage(ctx context.Context, at string) error {
	link, err := v.server.OpenURL(at)
	if err != nil {
		return err
	}
	return browser.Open(ctx, link.Reveal())
}

// pressed does what a notification's button says.
func (v *desktopView) pressed(ctx context.Context, name, do string) error {
	switch name {
	case notify.Asking:
		return notify.Answer(v.asks, do)
	case notify.Confirming:
		return nil // the page is open
	case notify.Starting:
		if do == notify.StartAtLogin.Do {
			return v.server.Autostart.Set(true)
		}
		return nil
	case placeSubject, notify.Weakening, notify.Adding:
		return v.openPage(ctx, "")
	}
	switch do {
	case notify.SignIn.Do:
		snapshot, err := v.agent.Profile(name)
		if err == nil && words.WantsBrowser(localapi.Present(snapshot)) {
			return v.signIn(ctx, name)
		}
		return v.openPage(ctx, "sign-in/"+name)
	case notify.TryNow.Do:
		_, err := v.agent.Refresh(ctx, name, true)
		return err
	}
	return v.openPage(ctx, "card/"+name)
}

// welcome opens the control page if there is no profile yet, once ever, and tells whether
// it did.
func (v *desktopView) welcome(ctx context.Context) bool {
	if !v.Greet || len(v.agent.Profiles()) > 0 {
		return false
	}
	if _, err := os.Stat(v.options.Paths.Welcomed()); err == nil {
		return false
	}
	err := v.openPage(ctx, "add")
	if err == nil {
		err = paths.WriteMark(v.options.Paths.Welcomed())
	}
	if err != nil {
		v.log.Warn("the control page did not open at the first start", "error", err)
	}
	return err == nil
}

// welcomeWithoutTray is welcome on a desktop that shows no tray icons, as GNOME without an
// extension: a notification says where Langkeep is.
func (v *desktopView) welcomeWithoutTray(ctx context.Context, show func(notify.Message) error) {
	if v.Getenv("DISPLAY") == "" && v.Getenv("WAYLAND_DISPLAY") == "" {
		return
	}
	select {
	case <-v.noTray:
	case <-ctx.Done():
		return
	}
	select {
	case <-time.After(panelPatience):
	case <-ctx.Done():
		return
	}
	if v.tray.Load() || !v.welcome(ctx) {
		return
	}
	v.tell(show, notify.Message{
		Subject: placeSubject, Title: "running without an icon",
		Text:    "Open it from your applications, or with langkeep open: this desktop shows no tray icons.",
		Buttons: []notify.Button{notify.Open},
	})
}

// tell shows a message, where the desktop does.
func (v *desktopView) tell(show func(notify.Message) error, m notify.Message) {
	if err := show(m); err != nil {
		v.log.Info("a notification was not shown", "of", m.Subject, "error", err)
	}
}

// placeSubject is the subject of the message on where Langkeep is; no profile has such a name.
const placeSubject = "its place"

// notify shows notifications until ctx ends.
func (v *desktopView) notify(ctx context.Context) {
	var icon any = assets.AppIcon()
	if runtime.GOOS == "windows" {
		// Windows reads the icon after the call.
		if err := paths.WriteFile(v.options.Paths.Icon(), assets.AppIcon()); err != nil {
			v.log.Warn("notifications have no icon", "error", err)
		}
		icon = v.options.Paths.Icon()
	}
	show, end := notify.Desktop(icon, func(subject, do string) {
		if err := v.pressed(ctx, subject, do); err != nil && ctx.Err() == nil {
			v.log.Warn("a notification's button", "of", subject, "button", do, "error", err)
		}
	})
	defer end()
	var asking sync.WaitGroup
	defer asking.Wait()
	elsewhere := func() bool { return v.tray.Load() || v.server.PageAnswers() }
	asking.Go(func() { notify.Ask(ctx, v.asks, show, elsewhere, v.log) })
	if v.hasDesktop(ctx) {
		v.server.Pages.SetScreen(codeScreen{v, show})
		defer v.server.Pages.SetScreen(nil)
	}
	asking.Go(func() { v.welcomeWithoutTray(ctx, show) })
	asking.Go(func() {
		for {
			select {
			case weaker := <-v.server.Weakened():
				v.tell(show, notify.Weakened(weaker))
			case added := <-v.server.Added():
				v.tell(show, notify.Added(added, time.Now()))
			case <-ctx.Done():
				return
			}
		}
	})
	if start := v.server.Autostart; start != nil {
		asking.Go(func() {
			changes := v.agent.Subscribe()
			defer v.agent.Unsubscribe(changes)
			isPlace := func() bool { return v.tray.Load() && !v.server.PageShown() }
			if err := notify.OfferStart(ctx, changes, start, isPlace, show); err != nil {
				v.log.Warn("the start at login", "error", err)
			}
		})
	}
	changes := v.agent.Subscribe()
	defer v.agent.Unsubscribe(changes)
	notify.Run(ctx, notify.Config{
		Changes: changes, Clock: v.clock, Log: v.log, Show: show,
		Wanted: func() config.Notify { return v.config.Get().Notify },
		SignIn: func(string) string {
			if v.tray.Load() {
				return "Sign in from the tray menu."
			}
			return "Sign in with langkeep open."
		},
	})
}
