package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"langkeep/agent/langflow"
)

// headerNames is a list of headers by their canonical names and by how names
// begin.
type headerNames struct {
	names    []string
	prefixes []string
}

func (l headerNames) has(name string) bool {
	return slices.Contains(l.names, name) ||
		slices.ContainsFunc(l.prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// keep deletes all headers but those of the list.
func (l headerNames) keep(h http.Header) {
	maps.DeleteFunc(h, func(name string, _ []string) bool { return !l.has(name) })
}

// sentOn are the headers of a request that the server gets. All others are
// dropped, since gateways and frameworks before Langflow can be set up to take
// any name as a route, a method, a client's address or a signed-in user; so can
// Langflow itself since 1.13 (its identity header). A gateway that needs a header
// gets it from the profile, not from a client.
//
// A name with an underscore is read as if it had a hyphen by servers with CGI or
// WSGI behind them. Only Langflow's own variables have one: those are named
// as in X-LANGFLOW-GLOBAL-VAR-OPENAI_API_KEY.
var sentOn = headerNames{
	names: []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Content-Digest", "Content-Disposition",
		"Content-Encoding", "Content-Language", "Content-Range", "Content-Type", "Digest", "Idempotency-Key",
		"If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Last-Event-Id",
		"Pragma", "Prefer", "Range", "Te", "User-Agent", "X-Idempotency-Key", "X-Requested-With",
		// WebSockets. ReverseProxy has taken out what is meant for the next hop only.
		"Connection", "Upgrade",
		// Langflow 1.0 to 1.13, but for X-Langflow-Mcp-Composer-Token, a credential.
		"X-Langflow-Client", "X-Langflow-Operation-Id", "X-Langflow-Session",
		// Tracing: W3C, Zipkin, Jaeger, Sentry, Datadog.
		"B3", "Baggage", "Request-Id", "Sentry-Trace", "Traceparent", "Tracestate", "Uber-Trace-Id",
		"X-Correlation-Id", "X-Request-Id", "X-Trace-Id",
	},
	prefixes: []string{"A2a-", "Mcp-", "Openai-", "Sec-Websocket-", "X-B3-", "X-Datadog-", "X-Langflow-Global-Var-", "X-Stainless-"},
}

// passedBack are the headers of an answer that the client gets. All others are
// dropped: a browser takes many of them as orders for the whole origin, or for
// every port of this computer (Set-Cookie, Clear-Site-Data, Alt-Svc, NEL,
// Strict-Transport-Security), some lead away from the proxy (Refresh, Link), and
// the challenges of WWW-Authenticate are for whoever holds the credential, which
// is not the client. Location and Content-Location are rewritten.
var passedBack = headerNames{
	names: []string{
		"Accept-Ranges", "Age", "Allow", "Cache-Control", "Content-Digest", "Content-Disposition", "Content-Encoding",
		"Content-Language", "Content-Length", "Content-Location", "Content-Range", "Content-Security-Policy", "Content-Type",
		"Cross-Origin-Embedder-Policy", "Cross-Origin-Opener-Policy", "Date", "Deprecation", "Digest", "Etag", "Expires",
		"Last-Modified", "Location", "Pragma", "Preference-Applied", "Referrer-Policy", "Retry-After", "Retry-After-Ms",
		"Server", "Server-Timing", "Sunset", "Vary", "Via", "Warning", "X-Content-Type-Options", "X-Frame-Options",
		"X-Process-Time", "X-Should-Retry", "X-Total-Count",
		"Connection", "Upgrade",
		"Request-Id", "Traceparent", "Tracestate", "X-Correlation-Id", "X-Request-Id", "X-Trace-Id",
		"Ratelimit", "Ratelimit-Policy",
	},
	prefixes: []string{"A2a-", "Mcp-", "Openai-", "Ratelimit-", "Sec-Websocket-", "X-Langflow-", "X-Ratelimit-"},
}

// outgoing makes the headers of a request what the server may get of them, but
// for the credential.
func outgoing(h http.Header) {
	// Over a connection that has become another protocol's, such as h2c, requests
	// would come that nobody judges.
	if !strings.EqualFold(h.Get("Upgrade"), "websocket") {
		h.Del("Upgrade")
		h.Del("Connection")
	}
	sentOn.keep(h)
	if accepted, ok := h["Accept-Encoding"]; ok {
		h.Set("Accept-Encoding", readable(accepted))
	}
}

// readable is an Accept-Encoding (RFC 9110, 12.5.3) without the codings that the
// proxy can't read: it looks into an answer that refuses a credential.
func readable(accepted []string) string {
	weights := map[string]string{} // by coding, in lower case; "" is 1
	for element := range strings.SplitSeq(strings.ToLower(strings.Join(accepted, ",")), ",") {
		coding, parameters, _ := strings.Cut(element, ";")
		weight := ""
		if name, value, ok := strings.Cut(parameters, "="); ok && strings.TrimSpace(name) == "q" {
			weight = strings.TrimSpace(value)
			// Take an invalid weight for 0: an answer without a coding can always be read.
			if q, err := strconv.ParseFloat(weight, 64); err != nil || !(q > 0 && q <= 1) {
				weight = "0"
			}
		}
		if coding = strings.TrimSpace(coding); coding == "x-gzip" {
			coding = "gzip"
		}
		weights[coding] = weight
	}
	others, all := weights["*"]
	var kept []string
	for _, coding := range []string{"gzip", "identity"} {
		weight, named := weights[coding]
		if !named && all && (coding == "gzip" || others == "0") {
			weight, named = others, true
		}
		switch {
		case !named, coding == "gzip" && weight == "0":
		case weight == "":
			kept = append(kept, coding)
		default:
			kept = append(kept, coding+";q="+weight)
		}
	}
	if len(kept) == 0 {
		return "identity"
	}
	return strings.Join(kept, ", ")
}

// incoming takes out of an answer's headers what is not for the client, and leads
// it to the proxy wherever the server names itself.
func (p *proxiedRequest) incoming(h http.Header) {
	passedBack.keep(h)
	for _, name := range []string{"Location", "Content-Location"} {
		for i, value := range h[name] {
			if rest, ok := p.onServer(value); ok {
				h[name][i] = "http://" + p.host + rest
			}
		}
	}
}

// onServer tells whether an address leads to the server, and returns the part after its
// host. It reads the address as leniently as curl and browsers do, since a client
// follows an address that onServer does not recognise without the proxy: in clear text,
// perhaps, and with a client token.
//
// The server's name with another scheme or port is the server as well, as far as
// these are defaults: behind a TLS terminator Langflow takes itself for
// http://HOST, and a gateway may leave out its port.
func (p *proxiedRequest) onServer(address string) (rest string, ok bool) {
	address = strings.ReplaceAll(address, "\t", "")
	scheme, after, absolute := strings.Cut(address, ":")
	if !absolute || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		scheme, after = "", address
	}
	authority := strings.TrimLeft(after, `/\`)
	if scheme == "" && len(after)-len(authority) < 2 {
		return "", false // a path, or another scheme
	}
	end := len(authority)
	if i := strings.IndexAny(authority, `/\?#`); i >= 0 {
		end = i
	}
	authority, rest = authority[:end], authority[end:]
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = authority[at+1:] // no credential is for the proxy
	}
	host, port := authority, ""
	if colon := strings.LastIndexByte(authority, ':'); colon > strings.LastIndexByte(authority, ']') {
		host, port = authority[:colon], authority[colon+1:]
	}
	switch strings.TrimLeft(port, "0") {
	case "", "80", "443", p.upstream.Port():
	default:
		return "", false
	}
	if strings.HasPrefix(rest, `\`) {
		rest = "/" + rest[1:]
	}
	return rest, langflow.NormalHost(host) == langflow.NormalHost(p.upstream.Hostname())
}
