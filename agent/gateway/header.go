package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reserved are the headers that HTTP or Langkeep sets itself, in each request or where it
// needs to. So a gateway can't have them set.
var reserved = []string{
	// HTTP: the connection, and how the body is sent.
	"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Http2-Settings",
	"Keep-Alive", "Proxy-Connection", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	// Langkeep: the session's cookies and keys, and what describes its requests.
	"Accept", "Cookie", "Set-Cookie", "User-Agent", "X-Api-Key", "X-Idempotency-Key",
}

// reservedPrefixes are how further reserved names begin: of WebSockets, of Langflow, and of MCP through it.
var reservedPrefixes = []string{"Sec-", "X-Langflow-", "Mcp-"}

// CheckHeader tells why a header can't be sent to a gateway; nil if it can. The error
// quotes nothing but the name of a reserved header.
func CheckHeader(name, value string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isTokenChar(r) }) {
		return errors.New("the header's name has a character that HTTP does not allow, or none at all")
	}
	// Many servers read an underscore as a hyphen.
	canonical := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	if slices.Contains(reserved, canonical) {
		return fmt.Errorf("the header %s can't be set: HTTP or Langkeep sets it", canonical)
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(canonical, prefix) {
			return fmt.Errorf("a header %s… can't be set: HTTP or Langflow uses it", prefix)
		}
	}
	switch {
	case strings.TrimSpace(value) == "":
		return errors.New("the header's value is empty")
	case strings.ContainsFunc(value, unicode.IsControl):
		return errors.New("the header's value has a line break or another control character")
	case !utf8.ValidString(value):
		return errors.New("the header's value is not UTF-8")
	}
	return nil
}

// isTokenChar tells whether a header's name may have a character (RFC 9110, section
// 5.6.2).
func isTokenChar(r rune) bool {
	return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}
