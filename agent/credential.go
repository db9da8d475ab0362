package agent

import (
	"context"
	"net/http"

	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
)

// Through returns a way to a profile's server by own that sends along what the gateway in
// front of it wants; requests to other origins go by foreign, without it. It is for the
// doctor.
func (a *Agent) Through(name string, own, foreign http.RoundTripper) http.RoundTripper {
	s, err := a.session(name)
	if err != nil {
		return foreign // the profile was removed meanwhile
	}
	return s.known.Load().pass.Through(own, foreign)
}

// KeyCredential returns an API key of a profile, made if need be, and the client of its
// server. It is for the doctor; errors are as Key's.
func (a *Agent) KeyCredential(ctx context.Context, name string) (*langflow.Client, langflow.Credential, error) {
	grant, err := a.Key(ctx, name, AnyLifetime)
	if err != nil {
		return nil, langflow.Credential{}, err
	}
	s, err := a.session(name)
	if err != nil {
		return nil, langflow.Credential{}, err
	}
	return s.known.Load().client, langflow.Key(grant.Key), nil
}

// Credential returns the held credential of a profile and the client of its server: an
// access token that is valid now, or with method api-key the key. It is for the doctor,
// not for readers. Errors are *Error.
func (a *Agent) Credential(ctx context.Context, name string) (*langflow.Client, langflow.Credential, error) {
	s, err := a.session(name)
	if err != nil {
		return nil, langflow.Credential{}, err
	}
	m, now := a.look(s)
	if m.clientErr != nil {
		return nil, langflow.Credential{}, errorOf(name, m.clientErr)
	}
	if m.profile.Method != vocabulary.APIKey && !m.byGateway {
		grant, err := a.Token(ctx, name, AnyLifetime)
		return m.client, langflow.Bearer(grant.Token), err
	}
	switch {
	case m.state(now) == KeychainLocked:
		return nil, langflow.Credential{}, keychainError(name, m.storeErr)
	case !m.holds(), m.byGateway && m.state(now) == SignInRequired:
		return nil, langflow.Credential{}, m.signInError()
	}
	return m.client, m.lasting(), nil
}
