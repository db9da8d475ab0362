// Package notify tells a person of what they would else wait for without
// knowing. It is a view of the agent's events: it decides what is worth a
// notification, and has it shown on the desktop, best effort.
package notify

import (
	"time"

	"langkeep/agent"
	"langkeep/agent/config"
	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

const (
	pause  = 10 * time.Minute // between two of one profile and kind
	urgent = 24 * time.Hour   // before the refresh token's end, being offline is worth telling
	steady = time.Minute      // how long a gateway must be in the way: a network's own sign-in page comes and goes
)

// kind is what a notification is about.
type kind int

const (
	none kind = iota
	signInRequired
	gateway
	offline
	backToNormal
)

// notification is what a person reads.
type notification struct {
	title string // the profile
	text  string // one sentence or two; never a secret
}

// policy decides. It compares what is so with what a person was told last, and
// so tells of changes only, also of one that had to wait.
type policy struct {
	wanted   func() config.Notify
	signIn   func(profile string) string // how to sign in, a sentence
	profiles map[string]*profile
}

type profile struct {
	snapshot agent.Snapshot
	trouble  kind // the one that a person knows of, or none
	silent   bool // they were not told of it, since they don't want that kind
	exposed  bool // they were told that another user holds the proxy's port
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

// due returns what is to be told now, and when to ask again if nothing happens;
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
		p.trouble, p.silent = none, false // a person did that
	}
	switch {
	case is == none, is == p.trouble, is == backToNormal && p.trouble == none:
		return nil, again
	case (is == offline || is == gateway) && p.trouble == signInRequired, is == offline && p.trouble == gateway:
		return nil, again // it is tried now and then, and they know the worse
	}
	heard := o.wants(is) && !(is == backToNormal && p.silent)
	if heard {
		// A clock that was set back must not silence it for longer.
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

// condition is which kind a snapshot calls for, or none, and when to look again
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
		// Without a failure it waits for something else, such as its first look at
		// the store.
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
	case signInRequired, gateway:
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
		if s.Reason != "session-ended" {
			why = words.Reason(client.Profile{ServerURL: s.ServerURL, Reason: &s.Reason, ReasonDetail: &s.Detail})
		}
		return why + " " + o.signIn(s.Name)
	case gateway:
		return words.Reason(client.Profile{ServerURL: s.ServerURL, Reason: &s.Reason, Gateway: &s.Gateway})
	case offline:
		return "Can't reach the server; the session ends in " + words.Remaining(sessionLeft(s, now)) + "."
	}
	return "Back to normal."
}
