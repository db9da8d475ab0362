package langflow

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"langkeep/agent/secret"
)

// APIKey is an account's key in the server's list.
type APIKey struct {
	ID, Name string
	Key      secret.Text // only of a key that was just made
	Masked   string      // only of a listed key
	Created  time.Time   // these three by the server's clock, zero if it doesn't say
	LastUsed time.Time
	Expires  time.Time // also zero if the key never ends
	Uses     int
	Active   bool
}

// keyJSON is an APIKey on the wire.
type keyJSON struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Key       string    `json:"api_key"`
	CreatedAt timestamp `json:"created_at"`
	LastUsed  timestamp `json:"last_used_at"`
	ExpiresAt timestamp `json:"expires_at"`
	Uses      int       `json:"total_uses"`
	Active    *bool     `json:"is_active"`
}

func (j keyJSON) key() APIKey {
	return APIKey{
		ID: clean(j.ID), Name: clean(j.Name), Created: j.CreatedAt.Time, LastUsed: j.LastUsed.Time, Expires: j.ExpiresAt.Time,
		Uses: j.Uses, Active: j.Active == nil || *j.Active,
	}
}

// timestamp is a time as Langflow writes it: up to 1.9 without an offset, in UTC. A
// time that can't be read is zero: the key is as good without it.
type timestamp struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *timestamp) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) != nil {
		return nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} { // both take fractions
		at, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		// The conversion to UTC may give the year 10000, which JSON can't have.
		if _, err := at.UTC().MarshalJSON(); err == nil {
			t.Time = at.UTC()
		}
		return nil
	}
	return nil
}

// CreateKey makes an API key that ends at expires, by the server's clock. Where
// the answer's Expires is zero the server ignores that, as those before 1.10
// do, and the key never ends. A refusal that is not one of the credential is of
// kind Refused: this account may not make keys.
func (c *Client) CreateKey(ctx context.Context, cred Credential, name string, expires time.Time) (APIKey, error) {
	body, err := json.Marshal(map[string]string{"name": name, "expires_at": expires.UTC().Format(time.RFC3339)})
	if err != nil {
		return APIKey{}, err
	}
	a, err := c.call(ctx, cred.on(call{op: "make an api key", method: http.MethodPost, path: "/api_key/", json: body}))
	if err != nil {
		return APIKey{}, err
	}
	var j keyJSON
	if json.Unmarshal(a.body, &j) != nil || !visible(j.Key) || clean(j.ID) == "" {
		return APIKey{}, a.notLangflow("the answer has no api key")
	}
	k := j.key()
	k.Key = secret.New(j.Key)
	return k, nil
}

// Keys lists the account's API keys.
func (c *Client) Keys(ctx context.Context, cred Credential) ([]APIKey, error) {
	a, err := c.call(ctx, cred.on(call{op: "list the api keys", method: http.MethodGet, path: "/api_key/"}))
	if err != nil {
		return nil, err
	}
	var list struct {
		Keys *[]keyJSON `json:"api_keys"`
	}
	if json.Unmarshal(a.body, &list) != nil || list.Keys == nil {
		return nil, a.notLangflow("the answer has no list of api keys")
	}
	all := make([]APIKey, 0, len(*list.Keys))
	for _, j := range *list.Keys {
		k := j.key()
		k.Masked = clean(j.Key)
		all = append(all, k)
	}
	return all, nil
}

// DeleteKey deletes an API key of the account. An unknown id is of kind BadRequest.
func (c *Client) DeleteKey(ctx context.Context, cred Credential, id string) error {
	const op = "delete an api key"
	// Ids are UUIDs. Other text may lead to another route, on the server or in a
	// gateway.
	if id == "" || strings.Trim(id, "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
		return &Error{Op: op, Kind: BadRequest, Detail: "that is no key's id"}
	}
	_, err := c.call(ctx, cred.on(call{op: op, method: http.MethodDelete, path: "/api_key/" + url.PathEscape(id), repeatable: true}))
	return err
}

// NoSuchKey tells whether DeleteKey failed because the key is not there.
func NoSuchKey(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == BadRequest && (e.Status == http.StatusBadRequest || e.Status == http.StatusNotFound)
}
