// Package vocabulary has the words that files, the agent and the local API share, as
// they are written in all of them.
package vocabulary

import "time"

// WindowTime is how long a person has for a sign-in in the browser. The agent ends the
// sign-in then; its servers and clients wait for longer.
const WindowTime = 10 * time.Minute

// State is what can be said of a profile's session.
type State string

// The states.
const (
	Fresh          State = "fresh"            // a valid access token, refreshed on time; with method api-key: the key was last accepted
	Retrying       State = "retrying"         // still valid; the last refresh failed for a passing reason
	Stale          State = "stale"            // no valid access token, still trying
	SignInRequired State = "sign-in-required" // refused for good, and no silent way back in
	KeychainLocked State = "keychain-locked"  // no session in memory, and the keychain is locked, missing, silent or failing
	SignedOut      State = "signed-out"
)

// The methods of sign-in.
const (
	Password     = "password"
	AutoLogin    = "auto-login"
	RefreshToken = "refresh-token"
	APIKey       = "api-key"
	External     = "external" // a command prints the access token
)

// When a person is asked before a program gets a credential.
const (
	AskNever  = "never"
	AskNew    = "new" // unless they have allowed it before
	AskAlways = "always"
)

// The reasons that come from the store.
const (
	Locked  = "locked"
	Missing = "missing"
	Silent  = "silent"
	Failing = "failing"
	TooBig  = "too-big"
)

// The reasons that have to do with managed keys.
const (
	KeysForbidden = "keys-forbidden" // the server makes none for the account
	ExpiryIgnored = "expiry-ignored" // the server knows no end of them
)

// The gateways that stand in front of Langflow, as far as they can be told.
const (
	CloudflareAccess  = "cloudflare-access"
	OAuth2Proxy       = "oauth2-proxy"
	IAP               = "iap"       // Google's Identity-Aware Proxy
	EasyAuth          = "easy-auth" // Azure App Service
	BasicGateway      = "basic"     // basic authentication, of any web server
	ClientCertificate = "client-certificate"
	OtherGateway      = "other"
)

// The reasons for which nobody can sign in in the browser.
const (
	NoBrowser        = "no-browser"        // no Chromium-family browser is installed
	BrowserConfined  = "browser-confined"  // it is a snap or a Flatpak, which can't be asked for its cookies
	BrowserForbidden = "browser-forbidden" // a policy of the computer forbids to ask it
	BrowserSilent    = "browser-silent"    // it does not answer
	BrowserFailed    = "browser-failed"    // it can't be started
	BrowserClosed    = "browser-closed"    // the person has closed it or cancelled
	NoDisplay        = "no-display"        // there is no desktop
)

// The reasons for which a proxy has no port.
const (
	PortTaken         = "port-taken"
	PortOfAnotherUser = "port-of-another-user" // who may have been sent tokens of it
)
