package localapi

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"langkeep/agent"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// tokenAnswer is client.Token as it is sent: the one place where a token
// leaves its redacting type.
type tokenAnswer struct {
	Profile     string     `json:"profile"`
	ServerURL   string     `json:"server_url"`
	AccessToken string     `json:"access_token"`
	TokenType   string     `json:"token_type"`
	ExpiresAt   *time.Time `json:"expires_at"`
	ExpiresIn   *int64     `json:"expires_in"`
}

func (s *Server) token(w http.ResponseWriter, r *http.Request, _ *guard.Caller, name string) error {
	minValid, err := minValidOf(r)
	if err != nil {
		return err
	}
	grant, err := s.Agent.Token(r.Context(), name, minValid)
	if err != nil {
		return err
	}
	if wantsText(r.Header.Get("Accept")) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(grant.Token.Reveal())) // fails only if the client has gone
		return nil
	}
	answered := tokenAnswer{
		Profile: grant.Profile, ServerURL: grant.ServerURL, AccessToken: grant.Token.Reveal(), TokenType: "Bearer",
		ExpiresAt: moment(grant.ExpiresAt),
	}
	if answered.ExpiresAt != nil {
		answered.ExpiresIn = new(wholeSeconds(grant.ExpiresIn))
	}
	return answer(w, http.StatusOK, answered)
}

// wantsText tells whether a client asks for the bare token. Some HTTP libraries
// name both, "application/json, text/plain, */*", and expect JSON.
func wantsText(accept string) bool {
	return strings.Contains(accept, "text/plain") && !strings.Contains(accept, "json")
}

// minValidOf reads ?min_valid, a Go duration that is not negative.
func minValidOf(r *http.Request) (time.Duration, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err == nil && !query.Has("min_valid") {
		return agent.Wish, nil
	}
	d, durationErr := time.ParseDuration(query.Get("min_valid"))
	if err != nil || durationErr != nil || d < 0 {
		return 0, client.NewProblem(client.TypeBadRequest, "min_valid must be a duration such as 90s or 10m")
	}
	return d, nil
}
