package langflow

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// Class is the routes of a server that one kind of credential opens (1.13.0). A fourth
// one, webhook events and voice, takes a cookie or a key; every trial of it would open
// a stream.
type Class string

// The classes.
const (
	AnyCredential Class = "any"   // flows, projects, users, variables, builds, the global MCP
	TokenOnly     Class = "token" // /session and what belongs to the account itself
	KeyOnly       Class = "key"   // /run, /responses, webhooks, a project's MCP
)

// ErrNoRoute means that the server has no route that tries a class: its version is
// older or newer than the known ones.
var ErrNoRoute = errors.New("this server has no route to try that by")

// Opens tells whether the credential opens the routes of a class. It tries a route that
// changes nothing, and needs no flow: /process only checks the key and answers that it
// is deprecated (1.13.0).
func (c *Client) Opens(ctx context.Context, cred Credential, class Class) (bool, error) {
	req := cred.on(call{op: "try a route", method: http.MethodGet, path: "/users/whoami"})
	switch class {
	case TokenOnly:
		req.path = "/session"
	case KeyOnly:
		req.method, req.path = http.MethodPost, "/process/none"
	}
	a, err := c.call(ctx, req)
	var e *Error
	switch {
	case err == nil && class == TokenOnly:
		var s struct{ Authenticated bool }
		return json.Unmarshal(a.body, &s) == nil && s.Authenticated, nil
	case err == nil:
		return true, nil
	case !errors.As(err, &e):
		return false, err
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return false, nil
	case e.Status == http.StatusBadRequest && class == KeyOnly:
		return true, nil
	case e.Status == http.StatusNotFound, e.Status == http.StatusMethodNotAllowed:
		return false, ErrNoRoute
	case e.Status == http.StatusInternalServerError && class == KeyOnly:
		// Langflow 1.0.19 answers so on /process, whatever the key.
		if version, versionErr := c.Version(ctx); versionErr == nil && strings.HasPrefix(version, "1.0.") {
			return false, ErrNoRoute
		}
	}
	return false, err
}
