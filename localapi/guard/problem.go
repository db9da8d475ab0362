package guard

import (
	"encoding/json"
	"net/http"
	"strconv"

	"langkeep/localapi/client"
)

// WriteProblem answers with a problem. A 405 needs its Allow header set
// before. Where the caller or the request itself is refused the connection is
// closed, so that no stranger keeps one and nobody waits for the rest of a
// refused body.
func WriteProblem(w http.ResponseWriter, p *client.Problem) {
	h := w.Header()
	switch p.Status {
	case http.StatusUnauthorized:
		h["Www-Authenticate"] = []string{"Bearer"}
		h["Connection"] = []string{"close"}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusMisdirectedRequest:
		h["Connection"] = []string{"close"}
	case http.StatusForbidden:
		if p.Kind() != client.TypeSignInRequired {
			h["Connection"] = []string{"close"}
		}
	}
	if p.RetryAfter != nil {
		h["Retry-After"] = []string{strconv.FormatInt(*p.RetryAfter, 10)}
	}
	harden(h)
	h["Content-Type"] = []string{"application/problem+json"}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and integers alone
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // whoever left does not hear it
}
