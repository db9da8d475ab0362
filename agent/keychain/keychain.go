// Package keychain keeps secrets at rest: in the system's keychain, in an
// encrypted file, or in memory only. There is never a fallback from one to
// another.
package keychain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"langkeep/agent/secret"
)

// The errors of a Store. Only ErrNotFound means that an item is absent. After any other
// error the item may be there: it must be neither given up nor written over.
var (
	ErrNotFound = errors.New("not in the keychain")
	ErrLocked   = errors.New("the keychain is locked")
	ErrMissing  = errors.New("there is no keychain")
	ErrSilent   = errors.New("the keychain does not answer")
	ErrTooBig   = errors.New("a secret has at most 64 KiB")
	ErrFailing  = errors.New("the keychain is failing")
	// ErrNoKeyring is an ErrMissing: a service answers, and has no keyring or wallet yet.
	ErrNoKeyring = fmt.Errorf("%w: its service has no keyring yet; sign in to make one", ErrMissing)
	// ErrKept comes wrapped together with ErrFailing: the item was to be deleted
	// and is still there, because a person said no, or did not answer.
	ErrKept = errors.New("the keychain still has the item")
)

// MaxSecret is the longest secret that every Store keeps, in bytes.
const MaxSecret = 64 << 10

// Item is one secret, with the server and account that it belongs to.
type Item struct {
	Origin     string // the only origin that may get the secret
	Username   string
	CookieName string // the refresh cookie's name, learned at sign-in; else ""
	Secret     secret.Text
	ExpiresAt  time.Time // zero: unknown or never
	ID         string    // of an API key, else ""
	// WithPass means that there are headers or cookies for a gateway too. Without
	// it a reader of the sign-in need not ask a slow keychain for them.
	WithPass bool
}

// Store keeps items by name, see ItemName. Its methods may be called from
// many goroutines.
type Store interface {
	// Kind is "keychain", "file" or "memory".
	Kind() string
	// Ready is nil if items can be read and written without asking anyone;
	// else ErrLocked, ErrMissing, ErrSilent or ErrFailing.
	Ready(ctx context.Context) error
	// Unlock asks the person, who may take a minute. Call it only after an action of a
	// person that needs the store. It fails like Ready.
	Unlock(ctx context.Context) error
	// Get fails like Ready, or with ErrNotFound.
	Get(ctx context.Context, account string) (Item, error)
	// Set has read the item back when it returns nil. It replaces an item that can't be
	// parsed, and logs that, since nothing else would ever mend it. An item of a newer
	// Langkeep stays, and is ErrFailing. A secret longer than MaxSecret is ErrTooBig
	// before the store is touched. A Set that fails, or that a crash cuts short, leaves
	// the earlier item whole, or this one.
	Set(ctx context.Context, account string, it Item) error
	// Delete checks that the item is gone: nil if there is no such item (any more),
	// ErrKept if it is still there.
	Delete(ctx context.Context, account string) error
	// Close waits for a call in flight, but not for one that hangs.
	Close() error
}

// The kinds of item of a profile.
const (
	RefreshToken = "refresh-token"
	AccessToken  = "access-token"
	Password     = "password"
	APIKey       = "api-key"
	Headers      = "headers" // that a gateway wants
	Cookies      = "cookies" // a gateway's
)

// ItemName is the name of an item: of a profile, and with one of the constants above.
func ItemName(profile, what string) string { return profile + "/" + what }

// itemVersion is the field v of the items that this program writes.
const itemVersion = 1

// itemJSON is an item at rest.
type itemJSON struct {
	V          int        `json:"v"`
	Origin     string     `json:"origin"`
	Username   string     `json:"username"`
	CookieName string     `json:"cookie_name"`
	Secret     string     `json:"secret"`
	ExpiresAt  *time.Time `json:"expires_at"`
	ID         string     `json:"id,omitempty"`
	Gateway    bool       `json:"gateway,omitempty"`
}

// encode writes an item as compactly as JSON allows: Windows has room for 2,560 bytes in
// one piece. A secret longer than MaxSecret is ErrTooBig.
func encode(account string, it Item) (string, error) {
	if err := checkSize(account, it); err != nil {
		return "", err
	}
	if !utf8.ValidString(it.Secret.Reveal()) || !utf8.ValidString(it.Username) {
		// encoding/json would replace invalid bytes.
		return "", fmt.Errorf("%w: a secret or user name that is not UTF-8 can't be kept", ErrFailing)
	}
	j := itemJSON{
		V: itemVersion, Origin: it.Origin, Username: it.Username, CookieName: it.CookieName,
		Secret: it.Secret.Reveal(), ID: it.ID, Gateway: it.WithPass,
	}
	if !it.ExpiresAt.IsZero() {
		at := it.ExpiresAt.UTC()
		j.ExpiresAt = &at
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // six bytes for each of <, > and &
	if err := enc.Encode(j); err != nil {
		return "", fmt.Errorf("%w: encode the item", ErrFailing)
	}
	return string(bytes.TrimSuffix(buf.Bytes(), []byte("\n"))), nil
}

// checkSize is ErrTooBig for a secret longer than MaxSecret.
func checkSize(account string, it Item) error {
	if size := len(it.Secret.Reveal()); size > MaxSecret {
		return fmt.Errorf("%w: %s has %d bytes", ErrTooBig, account, size)
	}
	return nil
}

// decode reads an item. Its errors never quote what it read.
func decode(account, data string) (Item, error) {
	j, err := parse(account, data)
	if err != nil {
		return Item{}, err
	}
	it := Item{Origin: j.Origin, Username: j.Username, CookieName: j.CookieName, Secret: secret.New(j.Secret), ID: j.ID, WithPass: j.Gateway}
	if j.ExpiresAt != nil {
		it.ExpiresAt = j.ExpiresAt.UTC()
	}
	return it, nil
}

// Why an item can't be parsed; both come wrapped together with ErrFailing.
var (
	errNewer   = errors.New("was written by a newer langkeep; update this one")
	errCorrupt = errors.New("can't be parsed; sign in again to replace it")
)

func parse(account, data string) (itemJSON, error) {
	// Read the version first: a newer item may have fields of other types.
	var v struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal([]byte(data), &v); err == nil && v.V > itemVersion {
		return itemJSON{}, fmt.Errorf("%w: %s %w", ErrFailing, account, errNewer)
	}
	var j itemJSON
	if err := json.Unmarshal([]byte(data), &j); err != nil || j.V != itemVersion {
		return itemJSON{}, fmt.Errorf("%w: %s %w", ErrFailing, account, errCorrupt)
	}
	if j.ExpiresAt != nil {
		// The conversion to UTC may give a year that JSON can't have.
		if _, err := j.ExpiresAt.UTC().MarshalJSON(); err != nil {
			return itemJSON{}, fmt.Errorf("%w: %s %w", ErrFailing, account, errCorrupt)
		}
	}
	return j, nil
}
