package client

import (
	"testing"
	"time"
)

func TestKey(t *testing.T) {
	const reply = `{"profile":"prod","server_url":"https://x.test","api_key":"sk-1","expires_at":"2026-01-02T03:04:05Z"}`
	sends(t, func(c *Client) error {
		key, err := c.Key(t.Context(), "prod", 90*time.Second)
		if key.Profile != "prod" || key.ServerURL != "https://x.test" || key.APIKey.Reveal() != "sk-1" || key.ExpiresAt == nil {
			t.Errorf("got %+v", key)
		}
		return err
	}, "GET /v1/profiles/prod/api-key?min_valid=1m30s ", reply)
	sends(t, func(c *Client) error {
		body, err := c.KeyJSON(t.Context(), "prod", AnyLifetime)
		if body.Reveal() != reply {
			t.Errorf("the body is %q", body.Reveal())
		}
		return err
	}, "GET /v1/profiles/prod/api-key ", reply)
}

func TestKeys(t *testing.T) {
	const reply = `{"keys":[{"id":"1","name":"a","masked":"sk-1**","uses":3,"active":true,"managed":true}]}`
	sends(t, func(c *Client) error {
		keys, err := c.Keys(t.Context(), "prod")
		if want := (AccountKey{ID: "1", Name: "a", Masked: "sk-1**", Uses: 3, Active: true, Managed: true}); len(keys) != 1 || keys[0] != want {
			t.Errorf("got %+v", keys)
		}
		return err
	}, "GET /v1/profiles/prod/keys ", reply)
	sends(t, func(c *Client) error {
		body, err := c.KeysJSON(t.Context(), "prod")
		if string(body) != reply {
			t.Errorf("the body is %q", body)
		}
		return err
	}, "GET /v1/profiles/prod/keys ", reply)
	sends(t, func(c *Client) error { return c.RevokeKey(t.Context(), "prod", "a b&c") }, "DELETE /v1/profiles/prod/keys?id=a+b%26c ", "")
}

func TestKeysOfNamesOfDots(t *testing.T) {
	c := unasked(t)
	for _, name := range []string{"", ".", ".."} {
		_, keyErr := c.KeyJSON(t.Context(), name, AnyLifetime)
		_, keysErr := c.Keys(t.Context(), name)
		refused(t, name, keyErr, keysErr, c.RevokeKey(t.Context(), name, "1"))
	}
}
