package localapi

import (
	"net/http"

	"langkeep/agent"
	"langkeep/localapi/guard"
)

// lock has the agent hand nothing out, until unlock.
func (s *Server) lock(w http.ResponseWriter, _ *http.Request, _ *guard.Caller, _ string) error {
	return s.setLocked(w, true)
}

func (s *Server) unlock(w http.ResponseWriter, _ *http.Request, _ *guard.Caller, _ string) error {
	return s.setLocked(w, false)
}

func (s *Server) setLocked(w http.ResponseWriter, on bool) error {
	if err := s.Agent.SetLocked(agent.Person, on); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
