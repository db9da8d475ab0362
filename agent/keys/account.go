package keys

import (
	"context"
	"slices"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
)

// AccountKey is an API key of a profile's account, whoever made it.
type AccountKey struct {
	ID, Name, Masked           string
	Created, LastUsed, Expires time.Time // by the server's clock; zero: never, or it does not say
	Uses                       int
	Active                     bool
	Ours                       bool // made by this agent
	Current                    bool // what Key hands out now
}

// List lists all API keys of an account.
func (m *Manager) List(ctx context.Context, a Account, client *langflow.Client, cred langflow.Credential) ([]AccountKey, error) {
	keys, err := client.Keys(ctx, cred)
	if err != nil {
		return nil, err
	}
	current, _ := m.current(a.Profile)
	ours, err := m.Journal.of(a)
	if err != nil {
		m.Log.Warn("can't tell which keys are ours", "error", err)
	}
	all := make([]AccountKey, len(keys))
	for i, k := range keys {
		all[i] = AccountKey{
			ID: k.ID, Name: k.Name, Masked: k.Masked, Created: k.Created, LastUsed: k.LastUsed, Expires: k.Expires,
			Uses: k.Uses, Active: k.Active, Current: k.ID == current.id,
			Ours: slices.ContainsFunc(ours, func(r Record) bool { return r.Name == k.Name }),
		}
	}
	return all, nil
}

// Revoke deletes a key on the server, and gives it up. One that is not there is
// NoSuchKey.
func (m *Manager) Revoke(ctx context.Context, client *langflow.Client, cred langflow.Credential, id string) error {
	err := client.DeleteKey(ctx, cred, id)
	if langflow.NoSuchKey(err) {
		return &Error{Problem: NoSuchKey, Err: err}
	}
	if err != nil {
		return err
	}
	// The journal first: a key that it does not know is not taken from the store.
	err = m.Journal.Change(func(all []Record) []Record {
		return slices.DeleteFunc(all, func(r Record) bool { return r.ID == id })
	})
	m.mu.Lock()
	var holders []string // another profile may have the same account
	for profile, h := range m.keys {
		if h.key.id == id && id != "" {
			holders = append(holders, profile)
		}
	}
	m.mu.Unlock()
	for _, profile := range holders {
		m.giveUp(profile, id)
	}
	return err
}

// EndsKnown tells whether the server knows the end of the key that is held for a
// profile. Those before Langflow 1.10 ignore ends.
func (m *Manager) EndsKnown(profile string) bool {
	return m.Status(profile).Reason != vocabulary.ExpiryIgnored
}
