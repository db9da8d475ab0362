// Package client speaks Langkeep's local API: the types that travel over it,
// which the server shares, and a Client for Go programs.
package client

import (
	"fmt"
	"net/http"
	"time"

	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// State is what can be said of a profile's session.
type State = vocabulary.State

// The states.
const (
	Fresh          = vocabulary.Fresh
	Retrying       = vocabulary.Retrying
	Stale          = vocabulary.Stale
	SignInRequired = vocabulary.SignInRequired
	KeychainLocked = vocabulary.KeychainLocked
	SignedOut      = vocabulary.SignedOut
)

// Method is how a profile signs in.
type Method string

// The methods of sign-in.
const (
	Password     Method = vocabulary.Password
	AutoLogin    Method = vocabulary.AutoLogin
	RefreshToken Method = vocabulary.RefreshToken
	APIKey       Method = vocabulary.APIKey
	External     Method = vocabulary.External
)

// UnknownToken is the header of an answer to a message of MCP whose token the proxy does not
// know. Its status is 200, for clients that show nobody the words of a 401.
const UnknownToken = "X-Langkeep-Unknown-Token"

// Profile is a named server and account, and its session. Unknown values are
// null and never left out. Clients but the owner and the page see neither the arguments of
// commands nor the client certificate's files.
type Profile struct {
	Name               string     `json:"name"`
	ServerURL          string     `json:"server_url"`
	Username           *string    `json:"username"`
	Method             *Method    `json:"method"` // null before the first sign-in
	State              State      `json:"state"`
	Reason             *string    `json:"reason"`        // a code, see docs/contract-notes.md
	ReasonDetail       *string    `json:"reason_detail"` // what the server or the system said, cleaned
	Gateway            *string    `json:"gateway"`       // with reason gateway: the gateway in front of the server
	Saved              bool       `json:"saved"`         // the session is in the store, with what a gateway wants
	AccessExpiresAt    *time.Time `json:"access_expires_at"`
	RefreshExpiresAt   *time.Time `json:"refresh_expires_at"`
	LastRefreshAt      *time.Time `json:"last_refresh_at"`
	NextAttemptAt      *time.Time `json:"next_attempt_at"`
	FailingSince       *time.Time `json:"failing_since"`
	ServerVersion      *string    `json:"server_version"`
	ClockOffsetSeconds *int64     `json:"clock_offset_seconds"` // the server's clock minus this computer's
	ProxyURL           *string    `json:"proxy_url"`            // null: the proxy is not open
	ProxyReason        *string    `json:"proxy_reason"`         // why it is not, although it should be: port-taken or port-of-another-user
	ProxyAllowOrigins  []string   `json:"proxy_allow_origins"`
	ProxyAllowHosts    []string   `json:"proxy_allow_hosts"`
	ProxySocket        *string    `json:"proxy_socket"`    // the path of the proxy's Unix socket; null: it has none
	Ask                *string    `json:"ask"`             // never, new or always; null: as config.toml says
	ExecScopes         []string   `json:"exec_scopes"`     // what exec and env give a program
	KeyLifetime        *string    `json:"key_lifetime"`    // a Go duration; null: 24h
	KeyExpiresAt       *time.Time `json:"key_expires_at"`  // of the managed key handed out now
	KeyReason          *string    `json:"key_reason"`      // keys-forbidden or expiry-ignored
	KeysLeft           int        `json:"keys_left"`       // keys that are still to be deleted on the server, which can't be asked
	KeysLeftUntil      *time.Time `json:"keys_left_until"` // when the last of them ends

	SigningIn        bool     `json:"signing_in"`         // a browser is open for the person to sign in
	GatewayHeaders   []string `json:"gateway_headers"`    // the names of the headers that are kept for a gateway
	HeaderCommand    []string `json:"header_command"`     // prints further ones; empty is none
	HeaderCommandFor *string  `json:"header_command_for"` // null: Authorization
	ClientCert       *string  `json:"client_cert"`        // the path of a PEM file
	ClientKey        *string  `json:"client_key"`         // the same
	TokenCommand     []string `json:"token_command"`      // prints the access token, for the method external; empty is none
	TokenHeader      *string  `json:"token_header"`       // null: Authorization
}

// Status is the body of GET /v1/status.
type Status struct {
	Version     string    `json:"version"`
	StartedAt   time.Time `json:"started_at"`
	URL         string    `json:"url"`          // of the local API, over TCP
	Store       string    `json:"store"`        // keychain, file or memory
	ConfigError *string   `json:"config_error"` // what is wrong with a file edited by hand, whose running settings are kept
	AuditError  *string   `json:"audit_error"`  // why the audit log is in memory alone
	Locked      bool      `json:"locked"`       // no credential is handed out
	// NarrowedClients are the clients that got the scope run when run allowed tweaks
	// and uploads, until the owner has seen that.
	NarrowedClients []string  `json:"narrowed_clients"`
	Profiles        []Profile `json:"profiles"`
}

// Asks is the body of GET /v1/asks.
type Asks struct {
	Asks    []Question   `json:"asks"`    // the oldest first
	Answers []Remembered `json:"answers"` // by program
}

// Question is a program's, which waits for a person's answer.
type Question struct {
	ID       string    `json:"id"`
	Program  *string   `json:"program"` // the path of its file; null: it can't be told
	Script   *string   `json:"script"`  // of an interpreter's
	Terminal bool      `json:"terminal"`
	Profile  string    `json:"profile"`
	Want     string    `json:"want"` // token, key, lease or client
	Until    time.Time `json:"until"`
	Proposed *string   `json:"proposed"` // a command's answer, which the person is to confirm
	Words    string    `json:"words"`
	Choices  []Choice  `json:"choices"` // that a person has
}

// Choice is an answer to a Question.
type Choice struct {
	Answer string `json:"answer"` // as in AskAnswer
	Label  string `json:"label"`  // of a button
}

// Remembered is an answer that still counts.
type Remembered struct {
	Program string     `json:"program"`
	Script  *string    `json:"script"`
	Profile string     `json:"profile"`
	Want    string     `json:"want"`
	Answer  string     `json:"answer"` // session, always, deny or deny-always
	Until   *time.Time `json:"until"`  // null: until it is taken back
	Words   string     `json:"words"`
}

// PageAsks is Asks for the control page.
type PageAsks struct {
	Confirmed bool    `json:"confirmed"` // the page speaks for the person
	Advice    *string `json:"advice"`    // on how to answer programs where no desktop can show their questions; null where one can, or none is asked about
	Asks
}

// AskAnswer is the body of POST /v1/asks/{name}.
type AskAnswer struct {
	Answer string `json:"answer"` // once, session, always, deny or deny-always
}

// Profiles is the body of GET /v1/profiles.
type Profiles struct {
	Profiles []Profile `json:"profiles"`
}

// Token is the body of GET /v1/profiles/{name}/token, as read: marshalled, it
// redacts itself.
type Token struct {
	Profile     string      `json:"profile"`
	ServerURL   string      `json:"server_url"`
	AccessToken secret.Text `json:"access_token"`
	TokenType   string      `json:"token_type"` // Bearer
	ExpiresAt   *time.Time  `json:"expires_at"` // null when the token does not say
	ExpiresIn   *int64      `json:"expires_in"` // whole seconds, rounded down
}

// NewProfile is the body of POST /v1/profiles.
type NewProfile struct {
	Name      string `json:"name"`
	ServerURL string `json:"server_url"`
	CAFile    string `json:"ca_file,omitempty"`
	AllowHTTP bool   `json:"allow_http,omitempty"`
	Way
}

// Way is what a gateway in front of a server wants, and where the method external gets its
// token; nil leaves a setting as it is, an empty value takes it away.
type Way struct {
	HeaderCommand    *[]string `json:"header_command,omitempty"`
	HeaderCommandFor *string   `json:"header_command_for,omitempty"`
	ClientCert       *string   `json:"client_cert,omitempty"`
	ClientKey        *string   `json:"client_key,omitempty"`
	TokenCommand     *[]string `json:"token_command,omitempty"`
	TokenHeader      *string   `json:"token_header,omitempty"`
}

// ServerChange changes a profile's server and the way to it: nil leaves a setting as it
// is.
type ServerChange struct {
	ServerURL *string `json:"server_url,omitempty"`
	CAFile    *string `json:"ca_file,omitempty"`
	AllowHTTP *bool   `json:"allow_http,omitempty"`
	Way
	// GatewayHeaders sets some of the headers that are kept for a gateway, and takes away
	// those with an empty value; the others stay.
	GatewayHeaders *map[string]secret.Text `json:"gateway_headers,omitempty"`
}

// ProfileChange is the body of PATCH /v1/profiles/{name}: nil leaves a setting
// as it is.
type ProfileChange struct {
	ServerChange
	KeyLifetime *string `json:"key_lifetime,omitempty"` // a Go duration; "0s" is the default again
	Proxy       *bool   `json:"proxy,omitempty"`
	// ProxyAllowOrigins are those of the web pages that may use the proxy.
	ProxyAllowOrigins *[]string `json:"proxy_allow_origins,omitempty"`
	// ProxyAllowHosts are the names by which programs in containers may reach the proxy.
	ProxyAllowHosts *[]string `json:"proxy_allow_hosts,omitempty"`
	ProxySocket     *bool     `json:"proxy_socket,omitempty"`
}

// Login is the body of POST /v1/profiles/{name}/login. The secrets are read
// with UnmarshalJSON and redact themselves when marshalled, so Client writes
// them by hand.
type Login struct {
	Method           Method      `json:"method,omitempty"`  // none with Browser
	Browser          bool        `json:"browser,omitempty"` // a window is opened for the person
	Username         string      `json:"username,omitempty"`
	Password         secret.Text `json:"password,omitzero"`
	RefreshToken     secret.Text `json:"refresh_token,omitzero"`
	APIKey           secret.Text `json:"api_key,omitzero"`
	RememberPassword bool        `json:"remember_password,omitempty"`
	// Headers are those that a gateway in front of the server wants. Nil leaves those that
	// are kept, and none takes them away.
	Headers map[string]secret.Text `json:"headers,omitempty"`
	// Change comes into force with the session. Only the owner and the page may send it.
	Change *ServerChange `json:"change,omitempty"`
}

// Card is a profile in words, for the control page. Its words change as time goes.
type Card struct {
	Profile
	Short       string   `json:"short"`        // fresh, 52 min
	Label       string   `json:"label"`        // Signed in; Server away
	Long        string   `json:"long"`         // sentences
	TokenLeft   string   `json:"token_left"`   // 52 min, or a dash
	SessionLeft string   `json:"session_left"` // 6 d 23 h, or a dash
	LastRefresh string   `json:"last_refresh"` // 14:05, or a dash
	Next        string   `json:"next"`         // in 41 min, or the command for a person, or a dash
	Share       *float64 `json:"share"`        // what is left of the token's life, 0 to 1; null if that is not known
	NeedsYou    bool     `json:"needs_you"`    // nothing gets better by itself
	SignIn      string   `json:"sign_in"`      // the way in that helps now: none, form or browser
	// History is how the session was in the last 7 days, the oldest first.
	History []Segment `json:"history"`
}

// Segment is a time of a session that was of one kind, until the next segment or now.
type Segment struct {
	From time.Time `json:"from"`
	// Kind is in, away (the server could not be reached), needed (a person was), out
	// (nobody was signed in), off (Langkeep did not run) or none (no profile yet).
	Kind string `json:"kind"`
}

// RecentEvent is a past change of a profile.
type RecentEvent struct {
	At      time.Time `json:"at"`
	Profile string    `json:"profile"`
	State   State     `json:"state"` // after the change; "" for a removed profile
	Words   string    `json:"words"` // a sentence
	Times   int       `json:"times"` // how often the same change came in a row; At is the last
}

// RecentEvents is the body of GET /v1/events/recent, newest first.
type RecentEvents struct {
	Events []RecentEvent `json:"events"`
}

// Probe is the body of POST /v1/probe: a server by its URL, or that of a
// profile.
type Probe struct {
	Profile   string `json:"profile,omitempty"`
	ServerURL string `json:"server_url,omitempty"`
	CAFile    string `json:"ca_file,omitempty"`
	AllowHTTP bool   `json:"allow_http,omitempty"`
}

// Offer is the result of a Probe.
type Offer struct {
	ServerURL string   `json:"server_url"` // as a profile would keep it
	Version   string   `json:"version"`    // "" where a gateway answered
	Methods   []Method `json:"methods"`    // that it accepts, the easiest first
	Name      string   `json:"name"`       // free for a new profile
	Gateway   *string  `json:"gateway"`    // as in Profile; null: the server itself answered
	Words     string   `json:"words"`      // a sentence about the gateway, "" without one
}

// Settings are the settings of config.toml that the API can change, and facts about the
// running agent.
type Settings struct {
	DefaultProfile string `json:"default_profile"` // "" for none
	LogLevel       string `json:"log_level"`       // debug, info, warn or error
	Notify         Notify `json:"notify"`
	StartAtLogin   *bool  `json:"start_at_login"` // null: this agent can't be started so
	OfferStart     bool   `json:"offer_start"`    // it doesn't start at login, and nobody was asked yet
}

// Notify says which notifications a person wants.
type Notify struct {
	SignInRequired bool `json:"sign_in_required"`
	Offline        bool `json:"offline"`
	BackToNormal   bool `json:"back_to_normal"`
}

// SettingsChange is the body of PATCH /v1/settings: nil leaves a setting as it
// is.
type SettingsChange struct {
	DefaultProfile *string      `json:"default_profile,omitempty"`
	LogLevel       *string      `json:"log_level,omitempty"`
	Notify         NotifyChange `json:"notify,omitzero"`
	StartAtLogin   *bool        `json:"start_at_login,omitempty"`
	OfferStart     *bool        `json:"offer_start,omitempty"` // false: a person was asked
}

// NotifyChange is a part of SettingsChange.
type NotifyChange struct {
	SignInRequired *bool `json:"sign_in_required,omitempty"`
	Offline        *bool `json:"offline,omitempty"`
	BackToNormal   *bool `json:"back_to_normal,omitempty"`
}

// PageCode is the body of POST /v1/page/code, as read: marshalled, it redacts
// itself.
type PageCode struct {
	// URL opens the control page, once: the code is in its fragment, which
	// browsers send to nobody, or in the file that it names.
	URL       secret.Text `json:"url"`
	ExpiresIn int64       `json:"expires_in"` // seconds
}

// PageExchange is the body of POST /v1/page/token.
type PageExchange struct {
	Code secret.Text `json:"code"`
}

// ShownCode is the body of POST /v1/page/confirm/code's answer: a code is shown to the
// person, and to nobody else.
type ShownCode struct {
	ExpiresIn int64 `json:"expires_in"` // seconds
}

// PageConfirm is the body of POST /v1/page/confirm. The answer is a PageToken, whose page
// speaks for the person.
type PageConfirm struct {
	Code secret.Text `json:"code"` // digits; spaces do not matter
}

// Sealed is a request of the control page, sealed with the secret of its code or
// token (see package proof). The answer is lines in base64url: a salt, then
// pieces, each after a "+" and the last after a ".".
type Sealed struct {
	Key    string `json:"key"`    // the ID of the secret
	Salt   string `json:"salt"`   // 16 random bytes
	Sealed string `json:"sealed"` // {"method","path","body"}; with a code's secret nothing
}

// PageToken answers a PageExchange.
type PageToken struct {
	Token     secret.Text `json:"token"`
	ExpiresIn int64       `json:"expires_in"` // seconds
}

// Problem is an error answer, application/problem+json (RFC 9457).
type Problem struct {
	Type       string `json:"type"` // ProblemBase and one of the Type constants
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail,omitempty"`  // lower case, names the profile, says what to do
	Words      string `json:"words,omitempty"`   // the same as sentences, for a page
	Reason     string `json:"reason,omitempty"`  // as in Profile
	Gateway    string `json:"gateway,omitempty"` // as in Profile
	MovedTo    string `json:"moved_to,omitempty"`
	MaxValid   *int64 `json:"max_valid,omitempty"`
	HeldValid  *int64 `json:"held_valid,omitempty"`
	RetryAfter *int64 `json:"retry_after,omitempty"` // seconds, as the header Retry-After
}

// ProblemBase is what every problem's type begins with.
const ProblemBase = "urn:langkeep:problems/"

// The last part of a problem's type.
const (
	TypeBadRequest        = "bad-request"
	TypeUnauthorized      = "unauthorized"
	TypeForbidden         = "forbidden"
	TypeForbiddenOrigin   = "forbidden-origin"
	TypeSignInRequired    = "sign-in-required"
	TypeNotFound          = "not-found"
	TypeMethodNotAllowed  = "method-not-allowed"
	TypeTooLarge          = "too-large"
	TypeConflict          = "conflict"
	TypeNotSupported      = "not-supported"
	TypeLifetimeTooShort  = "lifetime-too-short"
	TypeForbiddenHost     = "forbidden-host"
	TypeTooManyRequests   = "too-many-requests"
	TypeInternal          = "internal"
	TypeServerUnreachable = "server-unreachable"
	TypeKeychainLocked    = "keychain-locked"
	TypeLocked            = "locked"
	TypeNotAllowedYet     = "not-allowed-yet"
)

// statusOf is the HTTP status of each problem type.
var statusOf = map[string]int{
	TypeBadRequest:        http.StatusBadRequest,
	TypeUnauthorized:      http.StatusUnauthorized,
	TypeForbidden:         http.StatusForbidden,
	TypeForbiddenOrigin:   http.StatusForbidden,
	TypeSignInRequired:    http.StatusForbidden,
	TypeNotFound:          http.StatusNotFound,
	TypeMethodNotAllowed:  http.StatusMethodNotAllowed,
	TypeTooLarge:          http.StatusRequestEntityTooLarge,
	TypeConflict:          http.StatusConflict,
	TypeNotSupported:      http.StatusConflict,
	TypeLifetimeTooShort:  http.StatusConflict,
	TypeForbiddenHost:     http.StatusMisdirectedRequest,
	TypeTooManyRequests:   http.StatusTooManyRequests,
	TypeInternal:          http.StatusInternalServerError,
	TypeServerUnreachable: http.StatusServiceUnavailable,
	TypeKeychainLocked:    http.StatusServiceUnavailable,
	TypeLocked:            http.StatusForbidden,
	TypeNotAllowedYet:     http.StatusForbidden,
}

// NewProblem makes a problem of one of the Type constants; detail is for
// people.
func NewProblem(kind, detail string) *Problem {
	status := statusOf[kind]
	return &Problem{Type: ProblemBase + kind, Title: http.StatusText(status), Status: status, Detail: detail}
}

// Kind is the type without ProblemBase.
func (p *Problem) Kind() string {
	if len(p.Type) < len(ProblemBase) {
		return p.Type
	}
	return p.Type[len(ProblemBase):]
}

// Error implements error.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%s (%d)", p.Kind(), p.Status)
	}
	return p.Detail
}

// ConnectTool is the body of POST /v1/tools/{name}.
type ConnectTool struct {
	Profile string `json:"profile"`
	Project string `json:"project,omitempty"`
	Builder bool   `json:"builder,omitempty"`
	Preview bool   `json:"preview,omitempty"` // change nothing
}

// ToolChange is what an entry changes in a tool's file, without the secrets around it.
type ToolChange struct {
	File    string   `json:"file"`
	Changes bool     `json:"changes"` // false: the entry is there as it should be
	Diff    []string `json:"diff"`
}

// Recipe is a way to use a profile from programs.
type Recipe struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Note  string `json:"note"` // a sentence or two
	Steps []Step `json:"steps"`
}

// Step is a text to copy.
type Step struct {
	Title string `json:"title"` // what it does, or the file to put it in
	Text  string `json:"text"`
}

// TakenBack names the backups that are the only copy of a tool's former file.
type TakenBack struct {
	Backups []string `json:"backups"`
}
