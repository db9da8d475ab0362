package localapi

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"langkeep/agent"
	"langkeep/agent/asks"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

func (s *Server) token(w http.ResponseWriter, r *http.Request, caller *guard.Caller, name string) error {
	minValid, err := minValidOf(r)
	if err != nil {
		return err
	}
	if err := s.mayHave(r, caller, name, asks.Token); err != nil {
		return err
	}
	grant, err := s.Agent.Token(r.Context(), name, minValid)
	if err != nil {
		return err
	}
	if wantsText(r.Header.Get("Accept")) {
		w.Header()["Content-Type"] = plainText
		_, _ = w.Write([]byte(grant.Token.Reveal())) // fails only if the client has gone
		return nil
	}
	w.Header()["Content-Type"] = jsonType
	b := s.tokens.Get().(*[]byte)
	*b = appendToken((*b)[:0], grant)
	_, _ = w.Write(*b) // fails only if the client has gone
	clear(*b)
	s.tokens.Put(b)
	return nil
}

// Made once: http.Header.Set would allocate them for every answer. They never change.
var (
	jsonType  = []string{"application/json"}
	plainText = []string{"text/plain; charset=utf-8"}
)

// appendToken appends client.Token as JSON. It is the only place where a token leaves
// its redacting type. It exists for speed: programs read tokens all the time, and
// encoding/json costs a twentieth of the requests a second.
func appendToken(b []byte, g agent.Grant) []byte {
	const others = 192 // bytes: names, times and quotes
	b = slices.Grow(b, others+len(g.Profile)+len(g.ServerURL)+len(g.Token.Reveal()))
	b = appendString(append(b, `{"profile":`...), g.Profile)
	b = appendString(append(b, `,"server_url":`...), g.ServerURL)
	b = appendString(append(b, `,"access_token":`...), g.Token.Reveal())
	b = append(b, `,"token_type":"Bearer","expires_at":`...)
	if g.ExpiresAt.IsZero() {
		b = append(b, `null,"expires_in":null`...)
	} else {
		b = append(b, '"')
		b = g.ExpiresAt.UTC().AppendFormat(b, time.RFC3339)
		b = append(b, `","expires_in":`...)
		b = strconv.AppendInt(b, wholeSeconds(g.ExpiresIn), 10)
	}
	return append(b, "}\n"...)
}

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	if !plain(s) {
		encoded, err := json.Marshal(s)
		if err != nil {
			panic(err) // a string can always be encoded
		}
		return append(b, encoded...)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// plain tells whether encoding/json writes a string as it is. It looks at eight bytes at
// once, as a token has hundreds.
func plain(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		if special(binary.LittleEndian.Uint64([]byte(s[:8]))) != 0 {
			return false
		}
	}
	rest := [8]byte{'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a'}
	copy(rest[:], s)
	return special(binary.LittleEndian.Uint64(rest[:])) == 0
}

// special is not 0 if one of the eight bytes of x is not ASCII, a control character, or
// one of "&<>\. Its less finds an ASCII byte that is less than n: to subtract n sets that
// byte's highest bit. A byte equals a character if their exclusive or is less than 1. Of two
// characters that differ in one bit, both equal the second once that bit is set.
func special(x uint64) uint64 {
	const each = 0x0101010101010101
	less := func(y, n uint64) uint64 { return (y - each*n) &^ y }
	return (x | less(x, ' ') | less((x|each*('"'^'&'))^each*('"'|'&'), 1) | less((x|each*('<'^'>'))^each*('<'|'>'), 1) |
		less(x^each*'\\', 1)) & (each << 7)
}

// wantsText tells whether a client asks for the bare token. Some HTTP libraries
// name both, "application/json, text/plain, */*", and expect JSON.
func wantsText(accept string) bool {
	return strings.Contains(accept, "text/plain") && !strings.Contains(accept, "json")
}

// minValidOf reads ?min_valid, a Go duration that is not negative.
func minValidOf(r *http.Request) (time.Duration, error) {
	if r.URL.RawQuery == "" {
		return agent.AnyLifetime, nil
	}
	query := r.URL.Query()
	if !query.Has("min_valid") {
		return agent.AnyLifetime, nil
	}
	d, err := time.ParseDuration(query.Get("min_valid"))
	if err != nil || d < 0 {
		return 0, client.NewProblem(client.TypeBadRequest, "min_valid must be a duration such as 90s or 10m")
	}
	return d, nil
}
