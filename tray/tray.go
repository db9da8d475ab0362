package tray

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"langkeep/agent/asks"
	"langkeep/agent/clock"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// ErrNoDesktop is Run's answer where no desktop can show a tray.
var ErrNoDesktop = errors.New("no desktop here to show the tray icon")

// Config has the parts of a tray.
type Config struct {
	Profiles func() []client.Profile // by name
	// Questions are the programs that wait for an answer, the oldest first.
	Questions func() []asks.Question
	// Code is the code that confirms a control page, in words; "" while there is none.
	Code    func() string
	Changes <-chan struct{} // receives after a profile, a question or the code has changed
	Clock   clock.Clock
	Version string
	Icons   string // a folder for icons that the panel reads, which need not be there yet
	Actions Actions
	Log     *slog.Logger
	// Say tells a person why the tray behaves oddly, each reason once.
	Say func(string)
	// Shown is called once the desktop shows the icon, and Absent at once where there is a
	// desktop without a tray; they may be nil.
	Shown, Absent func()
}

// Actions are the actions of clicks. Each runs in a goroutine of its own.
type Actions struct {
	OpenURL func(url string) error // in the browser
	// OpenPage opens the control page at a fragment: "", "add", "sign-in/NAME" or
	// "about". Nil leaves out the entries that need it.
	OpenPage func(fragment string) error
	// SignIn opens a browser in which the person signs in, and waits for that; CancelSignIn
	// closes it. Nil, as OpenPage.
	SignIn       func(ctx context.Context, profile string) error
	CancelSignIn func(profile string) error
	CopyToken    func(ctx context.Context, profile string) error // nil, as CopyKey: there is no clipboard
	CopyKey      func(ctx context.Context, profile string) error
	NoClipboard  string // why; a few words for the menu
	SetProxy     func(ctx context.Context, profile string, on bool) error
	Refresh      func(ctx context.Context, profile string) error // may ask to unlock the keychain
	SignOut      func(ctx context.Context, profile string) error
	Answer       func(question string, a asks.Answer) error
	// StartsAtLogin and StartAtLogin are the check mark; nil leaves it out.
	StartsAtLogin func() bool
	StartAtLogin  func(bool) error
	// Locked and SetLocked are the check mark of the lock; nil leaves it out.
	Locked    func() bool
	SetLocked func(bool) error
	Quit      func() // asks the agent to stop, and does not wait for it
}

// actionLimit is for a click's work, a prompt of the keychain included.
const actionLimit = 2 * time.Minute

// offers are the parts of the menu that these actions allow.
func (a *Actions) offers() offers {
	o := offers{page: a.OpenPage != nil, browser: a.SignIn != nil, clipboard: a.CopyToken != nil, noClipboard: a.NoClipboard, startAtLogin: a.StartAtLogin != nil}
	if a.Locked != nil {
		o.lock, o.locked = true, a.Locked()
	}
	if a.StartsAtLogin != nil {
		o.startsAtLogin = a.StartsAtLogin()
	}
	return o
}

// act runs the action of a click on an entry. p is the profile of its submenu; only
// Name is set if the profile has gone meanwhile.
func (a *Actions) act(ctx context.Context, e entry, p client.Profile) error {
	if e.do == signIn && a.SignIn != nil && words.WantsBrowser(p) {
		return a.SignIn(ctx, p.Name) // which has a limit of its own, for a person in a browser
	}
	ctx, cancel := context.WithTimeout(ctx, actionLimit)
	defer cancel()
	switch e.do {
	case allowOnce:
		return a.Answer(p.Name, asks.Once)
	case allowInSession:
		return a.Answer(p.Name, asks.InSession)
	case allowAlways:
		return a.Answer(p.Name, asks.AlwaysAllow)
	case deny:
		return a.Answer(p.Name, asks.Deny)
	case signIn:
		return a.OpenPage("sign-in/" + p.Name)
	case cancelSignIn:
		return a.CancelSignIn(p.Name)
	case openLangflow:
		if !browsable(p.ServerURL) {
			return errors.New("the profile has gone")
		}
		return a.OpenURL(p.ServerURL)
	case copyToken:
		return a.CopyToken(ctx, p.Name)
	case copyKey:
		return a.CopyKey(ctx, p.Name)
	case switchProxy:
		return a.SetProxy(ctx, p.Name, !e.checked)
	case refresh:
		return a.Refresh(ctx, p.Name)
	case signOut:
		return a.SignOut(ctx, p.Name)
	case newProfile:
		return a.OpenPage("add")
	case controlPage:
		return a.OpenPage("")
	case switchLock:
		return a.SetLocked(!e.checked)
	case startAtLogin:
		return a.StartAtLogin(!e.checked)
	case about:
		return a.OpenPage("about")
	case quit:
		a.Quit()
	}
	return nil
}
