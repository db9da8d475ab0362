package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"langkeep/agent/secret"
	"langkeep/localapi/proof"
)

// ProofRequest asks the agent to prove itself, before it gets a bearer.
type ProofRequest struct {
	Key   string `json:"key"`   // the ID of the token's secret, see package proof
	Nonce string `json:"nonce"` // 32 random bytes in base64url
}

// Proof is the answer: an HMAC over the nonce and the agent's end of the
// connection, in base64url.
type Proof struct {
	Proof string `json:"proof"`
}

// ProvingTransport sends requests to the agent's ports alone, its proxies' included,
// and only over connections on which it has proved to know the token.
func ProvingTransport(token secret.Text) *http.Transport {
	return &http.Transport{
		// An agent is on this computer: a token must never go to a proxy.
		Proxy:              nil,
		DisableCompression: true,
		DialContext:        proving((&net.Dialer{Timeout: dialTimeout, Control: onlyLoopback}).DialContext, token),
	}
}

// proving wraps dial: the listener must prove to be the agent on the very connection
// that then carries the token. Any user can take the port of a killed agent.
func proving(dial func(ctx context.Context, network, address string) (net.Conn, error), token secret.Text) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		_ = conn.SetDeadline(time.Now().Add(dialTimeout)) // a failure shows in what follows
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		err = agentProves(conn, address, proof.Of(token))
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		_ = conn.SetDeadline(time.Time{})
		return conn, nil
	}
}

// agentProves asks the listener of a new connection to prove that it knows the secret.
// host is the dialled address. An agent without the secret is a Problem of
// TypeUnauthorized; any other listener, another error.
func agentProves(conn net.Conn, host string, shared proof.Secret) error {
	nonce := make([]byte, proof.Size)
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the program instead
	body, err := json.Marshal(ProofRequest{Key: shared.ID(), Nonce: base64.RawURLEncoding.EncodeToString(nonce)})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+host+"/v1/proof", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := req.Write(conn); err != nil {
		return fmt.Errorf("ask it to prove itself: %w", err)
	}
	const most = 16 << 10 // bytes of its answer
	answer := bufio.NewReader(io.LimitReader(conn, most))
	res, err := http.ReadResponse(answer, req)
	if err != nil {
		return fmt.Errorf("ask it to prove itself: %w", err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("ask it to prove itself: %w", err)
	}
	stranger := fmt.Errorf("the program that listens at %s does not prove to be the agent, and got no secret", host)
	if res.StatusCode == http.StatusUnauthorized && problemIn(res, text) != nil {
		// Use words of our own: the answer may be a stranger's.
		return NewProblem(TypeUnauthorized, "the agent does not know this token: it was revoked, has expired, or belongs to an earlier start of the agent")
	}
	if res.StatusCode == http.StatusForbidden && problemIn(res, text) != nil {
		return NewProblem(TypeForbidden, "the agent refuses this connection: ask as the user who runs it")
	}
	var got Proof
	if res.StatusCode != http.StatusOK || res.Close || answer.Buffered() > 0 || json.Unmarshal(text, &got) != nil {
		return stranger
	}
	is, err := base64.RawURLEncoding.DecodeString(got.Proof)
	if err != nil || !proof.Fits(is, shared.OfAgent(nonce, conn.RemoteAddr().String())) {
		return stranger
	}
	return nil
}
