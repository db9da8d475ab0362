package localapi

import (
	"net/http"
	"time"

	"langkeep/agent/asks"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// keyAnswer is client.Key as it is sent: the one place where a key leaves its
// redacting type.
type keyAnswer struct {
	Profile   string     `json:"profile"`
	ServerURL string     `json:"server_url"`
	APIKey    string     `json:"api_key"`
	ExpiresAt *time.Time `json:"expires_at"`
}

func (s *Server) apiKey(w http.ResponseWriter, r *http.Request, caller *guard.Caller, name string) error {
	minValid, err := minValidOf(r)
	if err != nil {
		return err
	}
	if err := s.mayHave(r, caller, name, asks.Key); err != nil {
		return err
	}
	grant, err := s.Agent.Key(r.Context(), name, minValid)
	if err != nil {
		return err
	}
	if wantsText(r.Header.Get("Accept")) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(grant.Key.Reveal())) // fails only if the client has gone
		return nil
	}
	return answer(w, http.StatusOK, keyAnswer{
		Profile: grant.Profile, ServerURL: grant.ServerURL, APIKey: grant.Key.Reveal(), ExpiresAt: moment(grant.ExpiresAt),
	})
}

func (s *Server) keys(w http.ResponseWriter, r *http.Request, _ *guard.Caller, name string) error {
	keys, err := s.Agent.Keys(r.Context(), name)
	if err != nil {
		return err
	}
	all := client.Keys{Keys: []client.AccountKey{}} // never null
	for _, k := range keys {
		all.Keys = append(all.Keys, client.AccountKey{
			ID: k.ID, Name: k.Name, Masked: k.Masked, CreatedAt: moment(k.Created), LastUsedAt: moment(k.LastUsed),
			ExpiresAt: moment(k.Expires), Uses: k.Uses, Active: k.Active, Managed: k.Ours, Current: k.Current,
		})
	}
	return answer(w, http.StatusOK, all)
}

func (s *Server) revokeKey(w http.ResponseWriter, r *http.Request, _ *guard.Caller, name string) error {
	id := r.URL.Query().Get("id")
	if id == "" {
		return client.NewProblem(client.TypeBadRequest, "name the key with ?id=, as in the list of keys")
	}
	if err := s.Agent.RevokeKey(r.Context(), name, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
