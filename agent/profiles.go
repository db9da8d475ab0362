package agent

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/gateway"
	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
)

// Reload reads the profiles' files. It adds new profiles, and begins to put changed
// settings in force: each profile's as soon as nothing else works on its session, so
// that a sign-in that hangs holds up neither other profiles nor the next Reload. A file
// that can't be read changes nothing; FileErrors tells of it. A profile whose file is
// gone is dropped from memory; its secrets stay, since editors replace files in more
// than one step.
func (a *Agent) Reload() {
	a.files.Lock()
	defer a.files.Unlock()
	profiles, errs := config.LoadProfiles(a.profilesDir)
	for _, err := range errs {
		a.log.Warn("a profile's file can't be read; the settings in force stay", "error", err)
	}
	for name, p := range profiles {
		profiles[name] = normal(p)
	}
	a.mu.Lock()
	a.unreadable = errs
	for name, s := range a.all() {
		if p, ok := profiles[name]; !ok || p != s.known.Load().profile || s.unusable != nil || s.takeUps > 0 {
			a.startTakeUpLocked(s)
		}
	}
	a.mu.Unlock()
	var added []config.Profile
	for name, p := range profiles {
		if !a.Has(name) {
			added = append(added, p)
		}
	}
	a.add(added...)
}

// FileErrors returns the errors of the profiles' files, whose settings are not in force:
// first those of the files that can't be read, then those of the settings that can't
// be used.
func (a *Agent) FileErrors() []error {
	a.mu.Lock()
	defer a.mu.Unlock()
	errs := slices.Clone(a.unreadable)
	all := a.all()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := all[name].unusable; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// startTakeUpLocked begins to put the settings of a session's file in force. Of two
// takeUps under way one waits for the other one's turn, and reads the file after it, so a
// third one would find nothing new.
func (a *Agent) startTakeUpLocked(s *session) {
	if s.takeUps < 2 && a.crew.begin(func() { a.takeUp(s) }) {
		s.takeUps++
	}
}

// takeUp waits until nothing else works on a session, and puts its file's settings in
// force.
func (a *Agent) takeUp(s *session) {
	var fault error
	now, release, gone := a.seize(a.life, s.name) // of that name, should s be removed meanwhile
	if gone == nil {
		defer release()
		fault = a.applyFile(now)
	}
	if fault != nil {
		a.log.Warn("a profile's settings can't be used; those in force stay", "profile", s.name, "error", fault)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.takeUps-- // before the turn ends: see startTakeUpLocked
	if gone == nil {
		now.unusable = fault
	}
}

// applyFile reads a seized session's file and puts its settings in force.
func (a *Agent) applyFile(s *session) error {
	a.files.Lock()
	p, err := config.LoadProfile(a.profileFile(s.name))
	if errors.Is(err, os.ErrNotExist) {
		// A symbolic link to nothing is a file that can't be read, not one that is gone.
		if _, gone := os.Lstat(a.profileFile(s.name)); errors.Is(gone, os.ErrNotExist) {
			a.drop(s)
		}
	}
	a.files.Unlock()
	if err != nil {
		return nil // Reload noted that error already
	}
	if normal(p) == s.known.Load().profile {
		return nil // a sign-in writes its file early, and applies it itself
	}
	if p, err = checked(p); err != nil {
		return err
	}
	return a.apply(a.life, s, p)
}

func (a *Agent) profileFile(name string) string {
	return filepath.Join(a.profilesDir, name+".toml")
}

// drop takes a session out of memory. Its secrets stay in the store.
func (a *Agent) drop(s *session) {
	s.turn.interrupt()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.updateLocked(s, func(m *machine, _ moment) {
		m.removed = true
		m.plan(time.Time{})
	})
	a.editSessionsLocked(func(all map[string]*session) {
		if all[s.name] == s {
			delete(all, s.name)
		}
	})
	a.keys.Drop(s.name)
	last := s.known.Load()
	a.releaseLocked(last.upstream)
	a.crew.begin(last.close) // which waits for commands under way
	for u := range a.subscriptions {
		u.put(Event{Snapshot: Snapshot{Profile: config.Profile{Name: s.name}}, Removed: true})
	}
}

// add makes sessions for profiles, due at once.
func (a *Agent) add(profiles ...config.Profile) {
	added := map[string]*session{}
	for _, p := range profiles {
		m := newMachine(p)
		m.upstream = a.upstreams.of(p)
		added[p.Name] = a.newSession(m)
		a.follow(added[p.Name], m.upstream)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.editSessionsLocked(func(all map[string]*session) { maps.Copy(all, added) })
	for _, s := range added {
		a.updateLocked(s, func(m *machine, now moment) {
			if !m.loaded {
				m.plan(now.wall)
			}
		})
	}
}

// keepProfile writes a profile's file. The caller holds a.files.
func (a *Agent) keepProfile(p config.Profile) error {
	if err := config.SaveProfile(a.profilesDir, p); err != nil {
		return &Error{Kind: Internal, Profile: p.Name, Code: FileUnwritable, Detail: err.Error(), Err: err}
	}
	return nil
}

// editProfile changes a profile's file as it is now, so that a person's edits since the
// last reload stay. Without a file it starts from the settings in force. undo writes the
// earlier settings again, unless a person has edited the file since. It returns an error
// of with unwrapped.
func (a *Agent) editProfile(inForce config.Profile, with func(config.Profile) (config.Profile, error)) (undo func() error, err error) {
	a.files.Lock()
	defer a.files.Unlock()
	was, err := config.LoadProfile(a.profileFile(inForce.Name))
	if errors.Is(err, os.ErrNotExist) {
		was, err = inForce, nil
	}
	if err != nil {
		return nil, &Error{Kind: Internal, Profile: inForce.Name, Code: FileUnwritable, Detail: err.Error(), Err: err}
	}
	written, err := with(was)
	if err != nil {
		return nil, err
	}
	return func() error {
		a.files.Lock()
		defer a.files.Unlock()
		if file, err := config.LoadProfile(a.profileFile(inForce.Name)); err != nil || file != written {
			return nil
		}
		return a.keepProfile(was)
	}, a.keepProfile(written)
}

// Add makes a new profile, signed out.
func (a *Agent) Add(p config.Profile) (Snapshot, error) {
	if err := vocabulary.ValidName(p.Name); err != nil {
		return Snapshot{}, &Error{Kind: BadRequest, Detail: err.Error()}
	}
	p, err := checked(p)
	if err != nil {
		return Snapshot{}, err
	}
	a.files.Lock()
	defer a.files.Unlock()
	if a.Has(p.Name) {
		return Snapshot{}, &Error{Kind: Conflict, Profile: p.Name, Code: ProfileExists}
	}
	if _, err := os.Stat(a.profileFile(p.Name)); err == nil {
		return Snapshot{}, &Error{Kind: Conflict, Profile: p.Name, Code: FileUnreadable}
	}
	if err := a.keepProfile(p); err != nil {
		return Snapshot{}, err
	}
	a.add(p)
	return a.Profile(p.Name)
}

// normal writes a hand-edited profile's URL as Add would. A URL that can't be parsed
// stays: the session's client returns the error.
func normal(p config.Profile) config.Profile {
	if url, err := langflow.ParseURL(p.ServerURL); err == nil {
		p.ServerURL = url
	}
	return p
}

// checked normalises a profile's settings.
func checked(p config.Profile) (config.Profile, error) {
	url, err := langflow.ParseURL(p.ServerURL)
	if err != nil {
		return p, &Error{Kind: BadRequest, Profile: p.Name, Detail: err.Error()}
	}
	p.ServerURL = url
	if _, err := langflow.New(url, langflow.Options{Transport: http.DefaultTransport, AllowHTTP: p.AllowHTTP}); err != nil {
		e := errorOf(p.Name, err)
		e.Kind = BadRequest
		return p, e
	}
	if p.CAFile != "" {
		ca, err := readCA(p.CAFile)
		if !filepath.IsAbs(p.CAFile) {
			err = errors.New("write its path in full")
		}
		if err == nil {
			_, err = langflow.NewTransport(ca)
		}
		if err != nil {
			return p, &Error{Kind: BadRequest, Profile: p.Name, Code: CAFileUnusable, Detail: err.Error()}
		}
	}
	if p.ClientCert != "" {
		if _, err := langflow.NewClientCert(p.ClientCert, p.ClientKey).Read(); err != nil {
			return p, &Error{Kind: BadRequest, Profile: p.Name, Detail: errorOf(p.Name, err).Detail}
		}
	}
	for name, header := range map[string]string{"header_command_for": p.HeaderCommandFor, "token_header": p.TokenHeader} {
		if header == "" {
			continue
		}
		if err := gateway.CheckHeader(header, "value"); err != nil {
			return p, &Error{Kind: BadRequest, Profile: p.Name, Detail: name + ": " + err.Error()}
		}
	}
	return p, nil
}

// Change changes a profile, starting from its file as it is now. A server of another
// origin signs the profile out first. A person's own edit that can't be used, such as a
// CA file that is not there yet, stays in the file, and only the change comes into
// force.
func (a *Agent) Change(ctx context.Context, name string, with func(p *config.Profile)) (Snapshot, error) {
	s, release, err := a.seize(ctx, name)
	if err != nil {
		return Snapshot{}, err
	}
	defer release()
	old := s.known.Load().profile
	var p config.Profile // the settings to put in force
	// Write the file first: its change can be undone, a sign-out can't.
	undo, err := a.editProfile(old, func(file config.Profile) (config.Profile, error) {
		next := file
		with(&next)
		if err := config.CheckProfile(next); err != nil {
			return next, &Error{Kind: BadRequest, Profile: name, Detail: err.Error()}
		}
		var err error
		p, err = checked(next)
		switch {
		case err == nil && next.ServerURL != file.ServerURL:
			next.ServerURL = p.ServerURL // as Add writes it
		case err != nil && !sameWay(next, file):
			return next, err
		case err != nil:
			p = old
			with(&p)
		}
		return next, nil
	})
	if err != nil {
		return Snapshot{}, err
	}
	if err := a.apply(ctx, s, p); err != nil {
		return Snapshot{}, errors.Join(err, undo())
	}
	return a.Profile(name)
}

// sameWay tells whether two profiles have the same way to the server.
func sameWay(p, q config.Profile) bool {
	return p.ServerURL == q.ServerURL && p.CAFile == q.CAFile && p.AllowHTTP == q.AllowHTTP &&
		p.HeaderCommand == q.HeaderCommand && p.HeaderCommandFor == q.HeaderCommandFor && p.ClientCert == q.ClientCert && p.ClientKey == q.ClientKey &&
		p.TokenCommand == q.TokenCommand && p.TokenHeader == q.TokenHeader
}

// apply puts a seized session's new settings, already checked, in force.
func (a *Agent) apply(ctx context.Context, s *session, p config.Profile) error {
	origin, err := langflow.Origin(p.ServerURL)
	if err != nil {
		return &Error{Kind: BadRequest, Profile: p.Name, Detail: err.Error()}
	}
	old := s.known.Load()
	other := origin != old.origin || p.Username != old.profile.Username || p.Method != old.profile.Method
	// A profile that uses nothing of the store may have been another one before the agent
	// started, so what is stored there may be what its new settings want.
	afresh := other && old.unused()
	switch {
	case afresh:
		a.keys.Forget(s.name) // of the account from before
	case other:
		if err := a.signOut(ctx, s); err != nil {
			return err
		}
	}
	if sameWay(p, old.profile) && !other {
		a.update(s, func(m *machine, _ moment) { m.profile = p })
		return nil
	}
	to := a.upstreams.of(p)
	old.pass.OnRenewal(nil)
	to.pass.Keep(old.pass.Kept()) // which signOut has emptied if they were another server's
	a.follow(s, to)
	a.mu.Lock()
	change := a.updateLocked
	if afresh {
		change = a.noteLocked // its state is known once it was looked up
	}
	change(s, func(m *machine, now moment) {
		m.profile, m.upstream, m.outage = p, to, outage{}
		if p.ServerURL != old.profile.ServerURL {
			m.version = "" // the version was another server's
		}
		if afresh {
			m.loaded = p.Method == "" // as newMachine
		}
		if m.holds() || !m.loaded {
			m.plan(now.wall)
		}
	})
	a.retireLocked(old.upstream, to)
	a.mu.Unlock()
	if afresh {
		if err := a.load(ctx, s); err != nil {
			a.log.Info("the store is asked later", "profile", p.Name, "error", err)
		}
		a.update(s, func(*machine, moment) {}) // also where it had nothing to look up
	}
	return nil
}

// Remove deletes a profile and its secrets, and returns its last snapshot. If the
// secrets can't be deleted, the profile stays.
func (a *Agent) Remove(ctx context.Context, name string) (Snapshot, error) {
	s, release, err := a.seize(ctx, name)
	if err != nil {
		return Snapshot{}, err
	}
	defer release()
	if err := a.signOut(ctx, s); err != nil {
		return Snapshot{}, err
	}
	a.files.Lock()
	defer a.files.Unlock()
	if err := config.RemoveProfile(a.profilesDir, name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Snapshot{}, &Error{Kind: Internal, Profile: name, Code: FileUndeletable, Detail: err.Error(), Err: err}
	}
	last, err := a.Profile(name)
	a.drop(s)
	return last, err
}
