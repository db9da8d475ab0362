package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"langkeep/agent/langflow"
	"langkeep/agent/secret"
)

// anyLifetime is how long an output is kept that does not tell its end.
const anyLifetime = 5 * time.Minute

// Output is what a command printed. Its headers can be sent: see CheckHeader.
type Output struct {
	Headers map[string]secret.Text // by canonical name
	// Token is the bearer token of the header Authorization, or the line that is the
	// value of another header; "" for headers in JSON without a bearer token.
	Token     secret.Text
	ExpiresAt time.Time // expires_at, else the exp of a JWT among the headers, else in 5 min

	run int // tells outputs apart
}

// outputJSON is an output in JSON.
type outputJSON struct {
	Headers   map[string]string `json:"headers"`
	ExpiresAt *string           `json:"expires_at"` // RFC 3339
}

// parseOutput reads what a command printed at a time: JSON, or one line that is the value
// of a header; a bearer token where the header is "", and where it is another kind of
// authorization and the line has no scheme. Its errors go on after "it", and
// quote nothing that was printed.
func parseOutput(printed []byte, header string, now time.Time) (Output, error) {
	if !utf8.Valid(printed) {
		return Output{}, errors.New("printed what is not UTF-8")
	}
	text := strings.TrimSpace(strings.TrimPrefix(string(printed), "\ufeff")) // some shells of Windows print a byte order mark
	switch {
	case text == "":
		return Output{}, errors.New("printed nothing")
	case strings.HasPrefix(text, "{"):
		return parseJSON(text, now)
	case strings.ContainsAny(text, "\r\n"):
		return Output{}, errors.New("printed more than one line, and no JSON")
	}
	o := Output{Token: secret.New(text)}
	value := text
	if header == "" {
		header = "Authorization"
		token, is := bearer(text)
		if !is {
			token = text
		}
		if strings.ContainsFunc(token, unicode.IsSpace) {
			return Output{}, errors.New("printed a line that is no token: it has a space")
		}
		o.Token, value = secret.New(token), "Bearer "+token
	} else if strings.HasSuffix(strings.ToLower(header), "authorization") && !strings.ContainsFunc(text, unicode.IsSpace) {
		value = "Bearer " + text // Proxy-Authorization and X-Serverless-Authorization want a scheme, too
	}
	if err := CheckHeader(header, value); err != nil {
		return Output{}, fmt.Errorf("printed a line that can't be sent: %w", err)
	}
	o.Headers = map[string]secret.Text{http.CanonicalHeaderKey(header): secret.New(value)}
	o.ExpiresAt = endOf(o.Headers, now)
	return o, nil
}

func parseJSON(text string, now time.Time) (Output, error) {
	var printed outputJSON
	if err := json.Unmarshal([]byte(text), &printed); err != nil {
		return Output{}, errors.New(`printed JSON that is not {"headers":{NAME:VALUE},"expires_at":TIME}`)
	}
	if len(printed.Headers) == 0 {
		return Output{}, errors.New("printed JSON without headers: have it print those, or the token alone")
	}
	o := Output{Headers: map[string]secret.Text{}}
	for name, value := range printed.Headers {
		if err := CheckHeader(name, value); err != nil {
			return Output{}, fmt.Errorf("printed a header that can't be sent: %w", err)
		}
		name = http.CanonicalHeaderKey(name)
		if _, twice := o.Headers[name]; twice {
			return Output{}, errors.New("printed a header twice, in other letters")
		}
		o.Headers[name] = secret.New(value)
		if token, is := bearer(value); is && name == "Authorization" {
			o.Token = secret.New(token)
		}
	}
	if printed.ExpiresAt == nil {
		o.ExpiresAt = endOf(o.Headers, now)
		return o, nil
	}
	at, err := time.Parse(time.RFC3339, *printed.ExpiresAt)
	if err != nil {
		return Output{}, errors.New("printed an expires_at that is no time like 2006-01-02T15:04:05Z")
	}
	o.ExpiresAt = believable(at, now)
	return o, nil
}

// believable is an end that a command printed, but at most ten years away, and not before
// 1970: JSON can't have all years.
func believable(at, now time.Time) time.Time {
	if latest := now.Add(langflow.MaxLifetime); at.After(latest) {
		at = latest
	}
	if at.Unix() < 0 {
		at = time.Unix(0, 0)
	}
	return at.UTC()
}

// bearer cuts a bearer token out of a value of the header Authorization.
func bearer(value string) (token string, is bool) {
	scheme, token, ok := strings.Cut(value, " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// endOf is the earliest end of the JWTs among headers, in 5 min if there are none.
func endOf(headers map[string]secret.Text, now time.Time) time.Time {
	var end time.Time
	for _, value := range headers {
		token, is := bearer(value.Reveal())
		if !is {
			token = value.Reveal()
		}
		if at, _ := langflow.Inspect(secret.New(token), now); !at.IsZero() && (end.IsZero() || at.Before(end)) {
			end = at
		}
	}
	if end.IsZero() {
		end = now.Add(anyLifetime)
	}
	return end
}
