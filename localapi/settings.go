package localapi

import (
	"errors"
	"fmt"
	"net/http"

	"langkeep/agent/config"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

func (s *Server) settings(w http.ResponseWriter, _ *http.Request, _ *guard.Caller, _ string) error {
	return answer(w, http.StatusOK, s.presentSettings(s.Settings.Get()))
}

func (s *Server) changeSettings(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	var body client.SettingsChange
	if err := read(r, &body); err != nil {
		return err
	}
	// A default profile that was removed since may stay: sending it again changes
	// nothing.
	if name := body.DefaultProfile; name != nil && *name != "" && *name != s.Settings.Get().DefaultProfile && !s.Agent.Has(*name) {
		return client.NewProblem(client.TypeBadRequest, fmt.Sprintf("default_profile: there is no profile %.64q; make it first, or name another", *name))
	}
	if body.StartAtLogin != nil && s.Autostart == nil {
		return client.NewProblem(client.TypeNotSupported, "start_at_login: this agent can't be started at login: see langkeep autostart status")
	}
	changed, err := s.Settings.Change(config.Change{
		DefaultProfile: body.DefaultProfile, LogLevel: body.LogLevel,
		SignInRequired: body.Notify.SignInRequired, Offline: body.Notify.Offline, BackToNormal: body.Notify.BackToNormal,
	})
	if errors.Is(err, config.ErrValue) {
		return client.NewProblem(client.TypeBadRequest, err.Error())
	}
	if err != nil { // the file's error, which names the line
		return client.NewProblem(client.TypeConflict, err.Error())
	}
	if on := body.StartAtLogin; on != nil {
		if err := s.Autostart.Set(*on); err != nil {
			return client.NewProblem(client.TypeConflict, "start_at_login: "+err.Error())
		}
	}
	if offer := body.OfferStart; s.Autostart != nil && (body.StartAtLogin != nil || offer != nil && !*offer) {
		if err := s.Autostart.Offered(); err != nil {
			return err
		}
	}
	return answer(w, http.StatusOK, s.presentSettings(changed))
}

// Autostart starts the agent when its user logs in, or not.
type Autostart interface {
	Enabled() bool
	Set(on bool) error
	// IsOffered tells whether a person was asked; Offered notes that.
	IsOffered() bool
	Offered() error
}

func (s *Server) presentSettings(c config.Config) client.Settings {
	var starts *bool
	offer := false
	if s.Autostart != nil {
		on := s.Autostart.Enabled()
		starts, offer = &on, !on && !s.Autostart.IsOffered()
	}
	return client.Settings{
		StartAtLogin: starts, OfferStart: offer,
		DefaultProfile: c.DefaultProfile, LogLevel: c.LogLevel,
		Notify: client.Notify{SignInRequired: c.Notify.SignInRequired, Offline: c.Notify.Offline, BackToNormal: c.Notify.BackToNormal},
	}
}
