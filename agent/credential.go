package agent

import (
	"context"

	"langkeep/agent/langflow"
)

// KeyCredential is an API key of a profile, made if need be, with the client of
// its server. It is for looking closer at a server; errors are as Key's.
func (a *Agent) KeyCredential(ctx context.Context, name string) (*langflow.Client, langflow.Credential, error) {
	grant, err := a.Key(ctx, name, Wish)
	if err != nil {
		return nil, langflow.Credential{}, err
	}
	s, err := a.session(name)
	if err != nil {
		return nil, langflow.Credential{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return s.client, langflow.Key(grant.Key), nil
}

// EndsKeys tells whether the server knows the end of the key that is held for a
// profile. Those before Langflow 1.10 ignore ends.
func (a *Agent) EndsKeys(name string) bool {
	s, err := a.session(name)
	if err != nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return !s.key.ignored
}

// Credential is what is held for a profile, with the client of its server: an
// access token that is valid now, or with method api-key the key. It is for
// looking closer at a server, not for readers. Errors are *Error.
func (a *Agent) Credential(ctx context.Context, name string) (*langflow.Client, langflow.Credential, error) {
	s, err := a.session(name)
	if err != nil {
		return nil, langflow.Credential{}, err
	}
	a.mu.Lock()
	client, clientErr := s.client, s.clientErr
	byKey, key := s.profile.Method == methodAPIKey, s.apiKey
	state, ended, storeErr := a.state(s), s.ended, s.storeErr
	a.mu.Unlock()
	switch {
	case clientErr != nil:
		return nil, langflow.Credential{}, errorOf(name, clientErr)
	case !byKey:
		grant, err := a.Token(ctx, name, Wish)
		return client, langflow.Bearer(grant.Token), err
	case state == KeychainLocked:
		return nil, langflow.Credential{}, keychainError(name, storeErr)
	case key.Empty():
		return nil, langflow.Credential{}, signInError(name, ended)
	}
	return client, langflow.Key(key), nil
}
