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

// notification is a title and text for a person.
type notification struct {
	title string // the profile
	text  string // one sentence or two; never a secret
}

// policy decides which notifications to show. It compares a profile's condition with
// the one that the person was told last, so it tells only changes, including one that
// had to wait.
type policy struct {
	wanted   func() config.Notify
	signIn   func(profile string) string // how to sign in, a sentence
	profiles map[string]*profile
}

type profile struct {
	snapshot agent.Snapshot
	trouble  kind // the trouble that the person knows of, or none
	silent   bool // the person does not want that kind, so was not told
	exposed  bool // the person was told that another user holds the proxy's port
	last     map[kind]time.Time
}

func newPolicy(wanted func() config.Notify, signIn func(string) string) *policy {
	return &policy{wanted: wanted, signIn: signIn, profiles: map[string]*profile{}}
}

// take notes an event.
func (o *policy) take(e agent.Event) {
	if e.Removed {
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
func (o *policy) due(now time.Time) (tell []notification, again time.Time) {
	for _, p := range o.profiles {
		exposed := p.snapshot.ProxyReason == vocabulary.PortOfAnotherUser
		if exposed && !p.exposed {
			tell = append(tell, notification{p.snapshot.Name, words.ProxyExposed})
		}
		p.exposed = exposed
		n, at := o.look(p, now)
		if n != nil {
			tell = append(tell, *n)
		}
		if !at.IsZero() && (again.IsZero() || at.Before(again)) {
			again = at
		}
	}
	return tell, again
}

// look is due for one profile.
func (o *policy) look(p *profile, now time.Time) (tell *notification, again time.Time) {
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
	return &notification{title: p.snapshot.Name, text: o.text(p.snapshot, is, now)}, again
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

func (o *policy) text(s agent.Snapshot, k kind, now time.Time) string {
	switch k {
	case signInRequired:
		why := "The server ended this session."
		if s.Reason != string(langflow.SessionEnded) || s.Method == vocabulary.External {
			why = words.Reason(localapi.Present(s))
		}
		return why + " " + o.signIn(s.Name)
	case gateway, command:
		return words.Reason(localapi.Present(s))
	case offline:
		return "Can't reach the server; the session ends in " + words.Remaining(sessionLeft(s, now)) + "."
	}
	return "Back to normal."
}
