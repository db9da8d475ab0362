package trials

import "langkeep/localapi/client"

// The exit codes that docs/api.md promises.
const (
	exitDone           = 0
	exitFailed         = 1
	exitUsage          = 2
	exitSignIn         = 3
	exitUnreachable    = 4
	exitNoAgent        = 5
	exitKeychainLocked = 6
	exitNotAllowed     = 7
)

// codeOf is the exit code that a command must end with for a problem of the local
// API; others end with exitFailed.
var codeOf = map[string]int{
	client.TypeUnauthorized: exitNotAllowed, client.TypeForbidden: exitNotAllowed, client.TypeForbiddenOrigin: exitNotAllowed, client.TypeLocked: exitNotAllowed, client.TypeNotAllowedYet: exitNotAllowed,
	client.TypeForbiddenHost: exitNotAllowed, client.TypeBadRequest: exitUsage, client.TypeSignInRequired: exitSignIn,
	client.TypeServerUnreachable: exitUnreachable, client.TypeKeychainLocked: exitKeychainLocked,
}
