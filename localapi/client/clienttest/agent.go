// Package clienttest stands in for the agent in tests of what asks it.
package clienttest

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"

	"langkeep/agent/secret"
	"langkeep/localapi/proof"
)

// Agent proves to be the agent to those who have the token, and leaves all else to
// the handler. It does not use package client, whose own tests use it.
func Agent(token string, all http.Handler) http.Handler {
	shared := proof.Of(secret.New(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/proof" {
			all.ServeHTTP(w, r)
			return
		}
		var asked struct{ Key, Nonce string }
		err := json.NewDecoder(r.Body).Decode(&asked)
		nonce, nonceErr := base64.RawURLEncoding.DecodeString(asked.Nonce)
		if err != nil || nonceErr != nil || !shared.Named(asked.Key) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"type":"urn:langkeep:problems/unauthorized"}`) // fails only if the client has gone
			return
		}
		at := r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
		_ = json.NewEncoder(w).Encode(map[string]string{"proof": base64.RawURLEncoding.EncodeToString(shared.OfAgent(nonce, at))})
	})
}
