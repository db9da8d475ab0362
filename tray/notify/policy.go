// Package notify shows notifications of changes that a person would otherwise wait for
// without knowing. It is a view of the agent's events: it decides which ones are worth
// a notification, and shows those on the desktop, best effort.
package notify

import (
	"time"

	"langkeep/agent"
	"langkeep/agent/config"
	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
	"langkeep/localapi"
	"langkeep/localapi/words"
)

const (
	pause  = 10 * time.Minute // between two of one profile and kind
	urgent = 24 * time.Hour   // tell of an offline server only this long before the refresh token's end
	steady = time.Minute      // how long a gateway must be in the way before it is told: a network's own sign-in page comes and goes
)

// kind is the subject of a notification.
type kind int

const (
	none kind = iota
	signInRequired
	gateway
	command // the profile's command fails, and there is no valid token any more
	offline
	backToNormal
)

// Button is what a message offers to do.
type Button struct {
	Do    string // for the program
	Label string
}

// The buttons of a profile's messages.
var (
	SignIn = Button{"sign-in", "Sign in"}
	TryNow = Button{"try-now", "Try now"}
	Open   = Button{"open", "Open"} // the control page, as a click on the text does
)

// Message is a notification for a person. A later one of its subject takes the place of
// the one that is shown.
type Message struct {
	Subject string // a profile's name, or one that no profile can have, such as Asking
	Title   string // what it is about, and what is the matter or to be done
	Text    string // a sentence or a few; never a secret
	Buttons []Button
	Urgent  bool // it stays until it is answered or over
	Passing bool // no history keeps it
	Over    bool // it says nothing: what is shown of the subject is over
}

// policy decides which notifications to show. It compares a profile's condition with
// the one that the person was told last, so it tells only changes, including one that
// had to wait.
type policy struct {
	wanted   func() config.Notify
	signIn   func(profile string) string // how to sign in, a sentence
	profiles map[string]*profile
	removed  []Message // of profiles that are gone
}

type profile struct {
	snapshot agent.Snapshot
	trouble  kind // the trouble that the person knows of, or none
	silent   bool // the person does not want that kind, so was not told
	shown    bool // a message about a trouble may still be on the screen
	exposed  bool // the person was told that another user holds the proxy's port
	last     map[kind]time.Time
}

func newPolicy(wanted func() config.Notify, signIn func(string) string) *policy {
	return &policy{wanted: wanted, signIn: signIn, profiles: map[string]*profile{}}
}

// take notes an event.
func (o *policy) take(e agent.Event) {
	if e.Removed {
		if p := o.profiles[e.Name]; p != nil && p.shown {
			o.removed = append(o.removed, Message{Subject: e.Name, Over: true})
		}
		delete(o.profiles, e.Name)
		return
	}
	p := o.profiles[e.Name]
	if p == nil {
		p = &profile{last: map[kind]time.Time{}}
		o.profiles[e.Name] = p
	}
	p.snapshot = e.Snapshot
}

// due returns the notifications to show now, and when to ask again if no event comes;
// zero means never.
func (o *policy) due(now time.Time) (tell []Message, again time.Time) {
	tell, o.removed = o.removed, nil
	for name, p := range o.profiles {
		exposed := p.snapshot.ProxyReason == vocabulary.PortOfAnotherUser
		if exposed && !p.exposed {
			tell = append(tell, Message{Subject: name, Title: name + ": tokens revoked", Text: words.ProxyExposed, Buttons: []Button{Open}})
		}
		p.exposed = exposed
		m, at := o.look(p, now)
		switch {
		case m != nil:
			tell, p.shown = append(tell, *m), p.trouble != none
		case p.shown && (p.trouble == none || p.snapshot.State == agent.Fresh):
			tell, p.shown = append(tell, Message{Subject: name, Over: true}), false
		}
		if !at.IsZero() && (again.IsZero() || at.Before(again)) {
			again = at
		}
	}
	return tell, again
}

// look is due for one profile.
func (o *policy) look(p *profile, now time.Time) (tell *Message, again time.Time) {
	is, again := condition(p.snapshot, now)
	if p.snapshot.State == agent.SignedOut {
		p.trouble, p.silent = none, false // a person did that, so there is nothing to tell
	}
	switch {
	case is == none, is == p.trouble, is == backToNormal && p.trouble == none:
		return nil, again
	case is != backToNormal && p.trouble == signInRequired, is == offline && p.trouble != none:
		return nil, again // the agent tries now and then, and the person knows the worse state
	case p.trouble == gateway && is == signInRequired && p.snapshot.Reason == string(langflow.Gateway):
		p.trouble = is // the person knows it
		return nil, again
	}
	heard := o.wants(is) && !(is == backToNormal && p.silent)
	if heard {
		// A clock that was set back must not make the pause longer.
		if since := now.Sub(p.last[is]); since >= 0 && since < pause {
			return nil, p.last[is].Add(pause)
		}
		p.last[is] = now
	}
	p.trouble, p.silent = is, !heard
	if is == backToNormal {
		p.trouble, p.silent = none, false
	}
	if !heard {
		return nil, again
	}
	return new(o.message(p.snapshot, is, now)), again
}

// condition is the kind that a snapshot calls for, or none, and when to look again
// because of the clock alone.
func condition(s agent.Snapshot, now time.Time) (is kind, again time.Time) {
	switch s.State {
	case agent.SignInRequired:
		return signInRequired, time.Time{}
	case agent.Fresh:
		return backToNormal, time.Time{}
	case agent.Retrying, agent.Stale:
		if s.Reason == string(langflow.Gateway) {
			if since := now.Sub(s.FailingSince); since < steady {
				return none, s.FailingSince.Add(steady)
			}
			return gateway, time.Time{}
		}
		if s.State == agent.Retrying {
			return none, time.Time{}
		}
		if s.Reason == string(langflow.CommandFailed) {
			if since := now.Sub(s.FailingSince); since < steady {
				return none, s.FailingSince.Add(steady)
			}
			return command, time.Time{}
		}
		// Without a failure the session waits for another step, such as its first load
		// from the store.
		if s.FailingSince.IsZero() || s.RefreshExpires.IsZero() {
			return none, time.Time{}
		}
		left := sessionLeft(s, now)
		switch {
		case left <= 0:
			return none, time.Time{}
		case left < urgent:
			return offline, time.Time{}
		}
		return none, now.Add(left - urgent + time.Second)
	}
	return none, time.Time{}
}

// sessionLeft is how long the session can go without a refresh.
func sessionLeft(s agent.Snapshot, now time.Time) time.Duration {
	return s.RefreshExpires.Sub(now.Add(s.Offset))
}

func (o *policy) wants(k kind) bool {
	c := o.wanted()
	switch k {
	case signInRequired, gateway, command:
		return c.SignInRequired
	case offline:
		return c.Offline
	case backToNormal:
		return c.BackToNormal
	}
	return false
}

func (o *policy) message(s agent.Snapshot, k kind, now time.Time) Message {
	p := localapi.Present(s)
	m := Message{Subject: s.Name, Title: s.Name + ": " + words.State(p), Text: words.Reason(p), Buttons: []Button{Open}}
	switch k {
	case signInRequired:
		if s.Reason == string(langflow.SessionEnded) && s.Method != vocabulary.External {
			m.Text = "The server ended this session."
		}
		if s.Reason == string(langflow.Inactive) {
			m.Title = s.Name + ": account deactivated" // which no sign-in mends
			break
		}
		m.Text += " " + o.signIn(s.Name)
		m.Buttons = []Button{SignIn}
	case gateway:
		if words.SignInHelps(p) {
			m.Buttons = []Button{SignIn}
		}
	case command:
		m.Buttons = []Button{TryNow}
	case offline:
		m.Text = "Can't reach the server; the session ends in " + words.Remaining(sessionLeft(s, now)) + "."
		m.Buttons = []Button{TryNow}
	default:
		m.Title, m.Text, m.Buttons = s.Name+": back to normal", "Signed in, and refreshes by itself.", nil
	}
	return m
}
