// Package quick is langkeep token for the plain case: the agent runs, has a socket, and has
// the token. In every other case it leaves what it has begun to the command, which reads on
// where this package stopped: a request that is sent again would be a second question to the
// person, and a second line of the audit log.
//
// It exists for speed: scripts start this command all the time, and most of its time goes to
// the initialization of packages, before main begins. Go initializes packages in the order
// of their paths, each after those that it imports (the specification, "Program
// initialization"). So this package's init runs before those for HTTP, YAML, D-Bus and X11,
// as long as it imports nothing that needs them, not even net. TestTokenBeforeTheRest in
// cmd/trials holds it to that.
package quick

import (
	"io"
	"strings"

	"langkeep/agent/secret"
)

// Begun is the request that this package has sent and whose answer it could not print; nil
// for none. It is set before main begins, and never changed.
var Begun *Request

// Request is a GET whose answer is still to be read.
type Request struct {
	Route  string
	Answer io.ReadCloser // an HTTP response, from its first byte on
}

// Header is the part of the Authorization header before the access token.
const Header = "Authorization: Bearer "

// Printable tells whether a credential can go into a command line or a header, which is
// where the output of langkeep token goes next.
func Printable(credential secret.Text) bool {
	text := credential.Reveal()
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}
