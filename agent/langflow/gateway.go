package langflow

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"langkeep/agent/vocabulary"
)

// gateway is what a gateway in front of Langflow shows of itself in an answer; the zero
// value is none.
type gateway struct {
	name   string // vocabulary.CloudflareAccess and so on
	detail string // what it answered
}

// gatewayOf recognises the answer of a gateway that wants a sign-in of its own, or
// refused what it was sent. to is where the answer redirects, nil if it doesn't. Where
// each gateway shows itself is in its documentation; oauth2-proxy (7.15.6), nginx and
// its client certificates were tried.
func gatewayOf(a *answer, to *url.URL) gateway {
	switch {
	case to != nil:
		shown := to.Scheme + "://" + to.Host + to.EscapedPath()
		return gateway{byRedirect(a, to), "it redirects to " + shown}
	case a.status == http.StatusBadRequest && a.body == nil && contains(a.page, "ssl certificate"):
		// nginx: "No required SSL certificate was sent", "The SSL certificate error".
		return gateway{vocabulary.ClientCertificate, "it refused with 400"}
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return ofRefusal(a)
	case a.status == http.StatusNotFound && a.body == nil && a.request != nil && strings.HasSuffix(strings.ToLower(a.request.URL.Hostname()), ".hf.space"):
		return gateway{vocabulary.OtherGateway, "it answers 404, as Hugging Face does for a private Space"}
	case a.status == http.StatusOK && a.body == nil && isSignInPage(a.page):
		return gateway{byHeader(a.header, false), "it answers with a sign-in page"}
	}
	return gateway{}
}

// byRedirect names the gateway that redirects to an address.
func byRedirect(a *answer, to *url.URL) string {
	host := strings.ToLower(to.Hostname())
	switch {
	case host == "cloudflareaccess.com", strings.HasSuffix(host, ".cloudflareaccess.com"), strings.HasPrefix(to.Path, "/cdn-cgi/access/"):
		return vocabulary.CloudflareAccess
	case strings.HasPrefix(to.Path, "/.auth/login"):
		return vocabulary.EasyAuth
	case strings.HasPrefix(to.Path, "/oauth2/start"), strings.HasPrefix(to.Path, "/oauth2/sign_in"):
		return vocabulary.OAuth2Proxy
	}
	name := byHeader(a.header, a.request == nil || a.request.URL == nil || origin(a.request.URL) != origin(to))
	if name == vocabulary.OtherGateway && host == "accounts.google.com" {
		return vocabulary.IAP
	}
	return name
}

// ofHandshake recognises a TLS handshake that failed because the server wants a client
// certificate, or another one: by the alert that it sent (RFC 8446, section 6.2). An
// alert of the server's about a certificate is about the client's.
func ofHandshake(err error) gateway {
	var sent *net.OpError
	if errors.As(err, &sent) && sent.Op == "remote error" && sent.Err != nil {
		if alert := sent.Err.Error(); strings.Contains(alert, "certificate") {
			return gateway{vocabulary.ClientCertificate, alert}
		}
	}
	return gateway{}
}

// byHeader names the gateway that makes such headers. A cookie counts where it belongs to
// the beginning or the end of a sign-in; one with a value may only renew the session, on an
// answer of Langflow's. leaves means that the answer leads to another origin, where each
// cookie counts.
func byHeader(h http.Header, leaves bool) string {
	if h.Get("X-Goog-Iap-Generated-Response") != "" {
		return vocabulary.IAP
	}
	for _, c := range (&http.Response{Header: h}).Cookies() {
		if lower := strings.ToLower(c.Name); !leaves && c.Value != "" && c.MaxAge >= 0 && !strings.Contains(lower, "csrf") && !strings.Contains(lower, "nonce") {
			continue
		}
		switch {
		case strings.HasPrefix(c.Name, "_oauth2_proxy"):
			return vocabulary.OAuth2Proxy
		case strings.HasPrefix(c.Name, "AppServiceAuthSession"):
			return vocabulary.EasyAuth
		case strings.HasPrefix(c.Name, "CF_"):
			return vocabulary.CloudflareAccess
		}
	}
	return vocabulary.OtherGateway
}

// ofRefusal recognises a 401 or 403 that is a gateway's: one that names a way to sign in
// which Langflow doesn't have, that is no JSON, or that is JSON without the detail which
// FastAPI, and so each Langflow, puts into its refusals. Other JSON may be Langflow's own,
// of a version that we don't know.
func ofRefusal(a *answer) gateway {
	for _, challenge := range a.header.Values("Www-Authenticate") {
		scheme, _, _ := strings.Cut(strings.ToLower(challenge), " ")
		switch {
		case scheme == "basic":
			return gateway{vocabulary.BasicGateway, "it wants basic authentication"}
		case scheme == "bearer" && strings.Contains(challenge, "authorization_uri"):
			return gateway{vocabulary.EasyAuth, "it wants a token of its own"}
		case scheme != "bearer": // which Langflow names too
			return gateway{byHeader(a.header, false), "it wants " + clean(scheme, a.secrets...)}
		}
	}
	name := byHeader(a.header, false)
	switch {
	case string(a.body) == "{}" && a.status == http.StatusUnauthorized:
		return gateway{vocabulary.OAuth2Proxy, "it wants a sign-in"} // for who accepts JSON
	case a.header.Get("Gap-Auth") != "" || contains(a.page, "oauth2 proxy"):
		return gateway{vocabulary.OAuth2Proxy, "it wants a sign-in"}
	case name != vocabulary.OtherGateway, a.body == nil && !bytes.ContainsAny(a.page[:min(len(a.page), 1)], `{["`), a.body != nil && !a.has("detail"):
		return gateway{name, "it refused"} // and not in JSON that was cut short
	}
	return gateway{}
}

// has tells whether an answer is a JSON object with a member.
func (a *answer) has(member string) bool {
	var body map[string]json.RawMessage
	return json.Unmarshal(a.body, &body) == nil && body[member] != nil
}

// isSignInPage tells whether a page is one to sign in on: it asks for a password, or
// sends its reader to somewhere that does.
func isSignInPage(page []byte) bool {
	return contains(page, "<html") && (contains(page, `type="password"`) || contains(page, `http-equiv="refresh"`) ||
		contains(page, "<form") && (contains(page, "sign in") || contains(page, "log in") || contains(page, "login")))
}

// contains tells whether a page, which is in lower case, has a text.
func contains(page []byte, text string) bool { return bytes.Contains(page, []byte(text)) }

// GatewayRefusal returns what a gateway said in a whole answer to a request that was
// passed on, nil if the answer may be the server's. The answer can still be read from its
// beginning. stands means that there is a gateway, so that each redirect to another origin
// is its own, and so is a refusal with the message that API gateways write.
func GatewayRefusal(res *http.Response, server *url.URL, stands bool) *Error {
	a := &answer{op: "pass it on", status: res.StatusCode, header: res.Header, request: res.Request}
	switch {
	case a.status/100 == 3:
		to, err := server.Parse(a.header.Get("Location"))
		if err != nil || origin(to) == origin(server) {
			return nil
		}
		if g := gatewayOf(a, to); stands || g.name != vocabulary.OtherGateway {
			return a.ofGateway(g)
		}
		return nil // the server's own, as far as can be told
	case a.status == http.StatusBadRequest, a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		start, plain := peek(res, maxPage)
		if !plain {
			return nil
		}
		a.hold(start)
	default:
		return nil
	}
	known := func(detail string) Kind {
		if tokenRefused(detail) || keyRefused(detail) {
			return Refused
		}
		return ""
	}
	g := gatewayOf(a, nil)
	if g.name == "" || g.name == vocabulary.OtherGateway && !contains(a.page, "<html") && !(stands && a.has("message")) || a.isLangflows(call{refused: known}) {
		return nil
	}
	return a.ofGateway(g)
}

// RefusesCredential tells whether a whole answer to a request that was passed on refuses
// its credential, in the words of Langflow 1.0 to 1.13. The answer can still be read from
// its beginning.
func RefusesCredential(res *http.Response) bool {
	const most = 4 << 10 // bytes; a refusal has less than a hundred
	switch res.StatusCode {
	case http.StatusUnauthorized:
		return true
	case http.StatusForbidden:
	default:
		return false
	}
	start, _ := peek(res, most) // an unknown encoding is no refusal
	var body struct{ Detail string }
	return json.Unmarshal(start, &body) == nil && keyRefused(body.Detail)
}

// peek reads at most so many bytes of an answer's body, decompressed, and puts them back.
// plain is false where the body has an encoding that we don't know.
func peek(res *http.Response, most int64) (start []byte, plain bool) {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, most)) // an error comes again to who reads on
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(raw), res.Body), res.Body}
	switch encoding := res.Header.Get("Content-Encoding"); {
	case encoding == "", strings.EqualFold(encoding, "identity"):
		return raw, true
	case strings.EqualFold(encoding, "gzip"):
		r, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, false
		}
		start, _ = io.ReadAll(io.LimitReader(r, most)) // a longer answer is no refusal
		return start, true
	default:
		return nil, false
	}
}
