package guard

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"langkeep/localapi/client"
)

// WriteProblem answers with a problem. A 405 needs its Allow header set before. If the
// caller or the request itself is refused, the connection is closed, so that no
// stranger keeps one. net/http first reads the rest of a refused body, for refusedTime
// at most: a body that never comes would keep the connection.
func WriteProblem(w http.ResponseWriter, p *client.Problem) {
	if p.Status == http.StatusUnauthorized {
		w.Header()["Www-Authenticate"] = []string{"Bearer"}
	}
	WriteUnchallenged(w, p)
}

// WriteUnchallenged is WriteProblem without the challenge of a 401, which MCP clients take
// for the wish that they sign in by OAuth.
func WriteUnchallenged(w http.ResponseWriter, p *client.Problem) {
	h := w.Header()
	switch p.Status {
	case http.StatusUnauthorized, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusMisdirectedRequest:
		last(w)
	case http.StatusForbidden:
		if p.Kind() != client.TypeSignInRequired {
			last(w)
		}
	}
	if p.RetryAfter != nil {
		h["Retry-After"] = []string{strconv.FormatInt(*p.RetryAfter, 10)}
	}
	harden(h)
	h["Content-Type"] = []string{"application/problem+json"}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // only strings and integers, so it can't fail
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // fails only if the client has left
}

// Drain reads the rest of a known caller's request before the refusal, up to drainBytes
// and for refusedTime. A client that is still sending when the answer comes and the
// connection closes sees a reset in place of the answer.
func Drain(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 || r.Body == nil {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedTime)) // fails only on a closed connection
	_, _ = io.CopyN(io.Discard, r.Body, drainBytes)                                // a client that sends more may see that reset
}

// last makes an answer the last one of its connection.
func last(w http.ResponseWriter) {
	w.Header()["Connection"] = []string{"close"}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedTime)) // fails only on a closed connection
}
