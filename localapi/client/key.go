package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"langkeep/agent/secret"
)

// Key is the body of GET /v1/profiles/{name}/api-key, as read: marshalled, it
// redacts itself.
type Key struct {
	Profile   string      `json:"profile"`
	ServerURL string      `json:"server_url"`
	APIKey    secret.Text `json:"api_key"`
	ExpiresAt *time.Time  `json:"expires_at"` // by the server's clock; null: never, or not known
}

// Keys is the body of GET /v1/profiles/{name}/keys.
type Keys struct {
	Keys []AccountKey `json:"keys"`
}

// AccountKey describes an API key of a profile's account, made by Langkeep or not. It
// does not have the key itself.
type AccountKey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Masked     string     `json:"masked"` // as the server shows it
	CreatedAt  *time.Time `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	ExpiresAt  *time.Time `json:"expires_at"` // null: never, or the server doesn't say
	Uses       int        `json:"uses"`
	Active     bool       `json:"active"`
	Managed    bool       `json:"managed"` // made by this agent
	Current    bool       `json:"current"` // the agent hands this key out now
}

// Key is an API key that lives for at least minValid (AnyLifetime leaves it to
// the agent). Problems are as of Token; a server that lets nobody make keys is
// TypeNotSupported with the reason keys-forbidden.
func (c *Client) Key(ctx context.Context, name string, minValid time.Duration) (Key, error) {
	return decode[Key](c.credential(ctx, name, "/api-key", minValid))
}

// KeyJSON is the body of GET /v1/profiles/{name}/api-key, byte for byte.
func (c *Client) KeyJSON(ctx context.Context, name string, minValid time.Duration) (secret.Text, error) {
	body, err := c.credential(ctx, name, "/api-key", minValid)
	return secret.New(string(body)), err
}

// Keys are all API keys of a profile's account on its server.
func (c *Client) Keys(ctx context.Context, name string) ([]AccountKey, error) {
	keys, err := decode[Keys](c.KeysJSON(ctx, name))
	return keys.Keys, err
}

// KeysJSON is the body of GET /v1/profiles/{name}/keys, byte for byte.
func (c *Client) KeysJSON(ctx context.Context, name string) ([]byte, error) {
	return c.ofProfile(ctx, http.MethodGet, name, "/keys", nil)
}

// RevokeKey deletes one of the account's keys on the server.
func (c *Client) RevokeKey(ctx context.Context, name, id string) error {
	_, err := c.ofProfile(ctx, http.MethodDelete, name, "/keys?id="+url.QueryEscape(id), nil)
	return err
}
