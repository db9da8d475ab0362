package localapi

import (
	"encoding/base64"
	"net"
	"net/http"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/proof"
)

// prove answers a nonce with the agent's proof, before a client sends its bearer. The
// proof reveals nothing of the token, which has 256 random bits.
func (s *Server) prove(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	var body client.ProofRequest
	if err := read(r, &body); err != nil {
		return err
	}
	nonce, err := base64.RawURLEncoding.DecodeString(body.Nonce)
	if err != nil || len(nonce) != proof.Size {
		return client.NewProblem(client.TypeBadRequest, "the nonce must be 32 bytes in base64url")
	}
	at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return client.NewProblem(client.TypeNotSupported, "this connection has no address to prove: ask over TCP or the socket")
	}
	answered, ok := s.Guard.Prove(body.Key, nonce, at.String())
	if !ok {
		return client.NewProblem(client.TypeUnauthorized, "no token has this key: it was revoked, has expired, or belongs to an earlier start of the agent")
	}
	return answer(w, http.StatusOK, client.Proof{Proof: base64.RawURLEncoding.EncodeToString(answered)})
}
