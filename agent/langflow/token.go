package langflow

import (
	"errors"
	"math"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"langkeep/agent/secret"
)

// Tokens is the result of a sign-in or a refresh.
type Tokens struct {
	Access         secret.Text
	AccessExpiry   time.Time     // server time; zero if the token does not say
	AccessLifetime time.Duration // when issued, up to 2 s too long since a Date lags; 0 unknown

	Refresh         secret.Text // empty if the server gave none
	RefreshExpiry   time.Time
	RefreshLifetime time.Duration

	// CookieName is the refresh cookie's name, from Set-Cookie, else the name that was
	// sent; "" if neither is known. Under a root path it differs (from 1.12.7).
	CookieName string
}

// MaxLifetime bounds a believable token: Langflow's longest is 365 days (auto
// login up to 1.10.0), and operators set longer ones.
const MaxLifetime = 10 * 365 * 24 * time.Hour

// Inspect reads when a token ends, and from that its lifetime at serverNow,
// which should be the moment of issue: Langflow's tokens have no iat. The
// signature is not checked (no key is published): good for a schedule, never
// for trust. An opaque token, or one without a positive exp, gives zeros. An
// exp more than ten years away is taken as ten years away. A token that has
// already ended gives its expiry and the lifetime 0.
func Inspect(token secret.Text, serverNow time.Time) (expiry time.Time, lifetime time.Duration) {
	exp, ok := expClaim(token)
	return lifeOf(exp, ok, serverNow)
}

// lifeOf is Inspect's answer for a token with this expClaim.
func lifeOf(exp float64, ok bool, serverNow time.Time) (expiry time.Time, lifetime time.Duration) {
	if !ok {
		return time.Time{}, 0
	}
	if latest := serverNow.Add(MaxLifetime); exp > float64(latest.Unix()) {
		exp = float64(latest.Unix())
	}
	expiry = time.Unix(int64(exp), 0).UTC()
	return expiry, max(0, expiry.Sub(serverNow))
}

// expClaim returns a token's exp in seconds since 1970.
func expClaim(token secret.Text) (float64, bool) {
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(token.Reveal(), claims)
	// An unknown algorithm is reported after the claims were read.
	if err != nil && !errors.Is(err, jwt.ErrTokenUnverifiable) {
		return 0, false
	}
	exp, ok := claims["exp"].(float64)
	return math.Floor(exp), ok && exp >= 1
}

// ExternalTokens are the Tokens of an identity provider's access token, just received.
// expiry is its end, zero if that is not known, in which case a JWT says it itself.
func (c *Client) ExternalTokens(access secret.Text, expiry time.Time) *Tokens {
	t := &Tokens{Access: access, AccessExpiry: expiry}
	offset, _ := c.Offset()
	now := c.clock.Now().Add(offset)
	if expiry.IsZero() {
		t.AccessExpiry, t.AccessLifetime = Inspect(access, now)
	} else {
		t.AccessLifetime = max(0, expiry.Sub(now))
	}
	return t
}

// believable tells whether a token with this exp can have been issued at t.
func believable(exp float64, t time.Time) bool {
	left := exp - float64(t.Unix())
	return left > 0 && left <= MaxLifetime.Seconds()
}
