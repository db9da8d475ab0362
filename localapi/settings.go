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
	return answer(w, http.StatusOK, presentSettings(s.Settings.Get()))
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
	return answer(w, http.StatusOK, presentSettings(changed))
}

func presentSettings(c config.Config) client.Settings {
	return client.Settings{
		DefaultProfile: c.DefaultProfile, LogLevel: c.LogLevel,
		Notify: client.Notify{SignInRequired: c.Notify.SignInRequired, Offline: c.Notify.Offline, BackToNormal: c.Notify.BackToNormal},
	}
}
