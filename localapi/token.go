package localapi

import (
	"net/http"
	"strings"
	"time"

	"langkeep/agent"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// tokenAnswer is client.Token as it is sent: the one place where a token
// leaves its redacting type.
type tokenAnswer struct {
	client.Token
	AccessToken string `json:"access_token"`
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
	if strings.Contains(r.Header.Get("Accept"), "text/plain") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(grant.Token.Reveal())) // fails only if the client has gone
		return nil
	}
	answered := tokenAnswer{AccessToken: grant.Token.Reveal()}
	answered.Profile, answered.ServerURL, answered.TokenType = grant.Profile, grant.ServerURL, "Bearer"
	answered.ExpiresAt = moment(grant.ExpiresAt)
	if answered.ExpiresAt != nil {
		answered.ExpiresIn = new(wholeSeconds(grant.ExpiresIn))
	}
	return answer(w, http.StatusOK, answered)
}

// minValidOf reads ?min_valid, a Go duration that is not negative.
func minValidOf(r *http.Request) (time.Duration, error) {
	query := r.URL.Query()
	if !query.Has("min_valid") {
		return agent.Wish, nil
	}
	d, err := time.ParseDuration(query.Get("min_valid"))
	if err != nil || d < 0 {
		return 0, client.NewProblem(client.TypeBadRequest, "min_valid must be a duration such as 90s or 10m")
	}
	return d, nil
}
