package langflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

const (
	callTimeout  = 30 * time.Second // redirects and body included
	maxBody      = 1 << 20          // bytes, decompressed; Langflow's answers here are under 10 KB
	maxPage      = 64 << 10
	maxRedirects = 5
)

// call is one request of the API.
type call struct {
	op, method, path string
	header           http.Header
	form             url.Values
	json             []byte        // instead of a form
	secrets          []secret.Text // never to be seen in an error
	// repeatable lets the transport send a POST again when a kept connection
	// turns out to be dead.
	repeatable bool
	// givesTokens leaves the Date of a success to issuedAt.
	givesTokens bool
	// refused returns the kind for this call's own words in a 401 or 403, "" for other
	// words. May be nil.
	refused func(detail string) Kind
}

// answer is a server's, read to its end.
type answer struct {
	op       string
	status   int
	header   http.Header
	body     []byte // a JSON object
	page     []byte // the beginning of a body that is none, in lower case
	secrets  []secret.Text
	request  *http.Request // as it was sent
	sent     time.Time     // our wall clock
	received time.Time     // the same
	took     time.Duration // monotonic
}

func (a *answer) error(k Kind, detail string) *Error {
	return &Error{Op: a.op, Kind: k, Status: a.status, Detail: clean(detail, a.secrets...)}
}

// ofGateway returns the error for an answer of a gateway.
func (a *answer) ofGateway(g gateway) *Error {
	e := a.error(Gateway, g.detail)
	e.Gateway, e.sent = g.name, a.request
	return e
}

func (a *answer) notLangflow(detail string) *Error { return a.error(NotLangflow, detail) }

func (a *answer) cookies() []*http.Cookie { return (&http.Response{Header: a.header}).Cookies() }

// call sends a request, follows its redirects and returns a successful answer
// whose body is a JSON object, or the error that says what went wrong.
func (c *Client) call(ctx context.Context, req call) (*answer, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	a, err := c.follow(ctx, limited, req)
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == Gateway && c.tryAgain != nil && c.tryAgain(e.sent) {
		return c.follow(ctx, limited, req)
	}
	return a, err
}

// follow is call without a second try. limited ends before ctx, the caller's.
func (c *Client) follow(ctx, limited context.Context, req call) (*answer, error) {
	target := c.url.JoinPath("/api/v1", req.path)
	for redirects := 0; ; redirects++ {
		a, err := c.exchange(limited, req, target)
		if err != nil {
			return nil, transportError(ctx, req.op, target, err, req.secrets)
		}
		if !req.givesTokens || a.status/100 != 2 {
			c.observe(a)
		}
		if a.status/100 != 3 {
			return a, c.judge(req, a)
		}
		if redirects == maxRedirects {
			return nil, a.notLangflow("it redirects in a circle")
		}
		to, follow, err := a.redirect(req, target)
		if err != nil {
			return nil, err
		}
		if g := gatewayOf(a, to); g.name != vocabulary.OtherGateway {
			return nil, a.ofGateway(g)
		}
		if !follow {
			return nil, c.elsewhere(limited, req, a, target, to)
		}
		target = to
	}
}

// exchange is one request and its answer. A body that is too long or not JSON
// is nil.
func (c *Client) exchange(ctx context.Context, req call, target *url.URL) (*answer, error) {
	var body io.Reader
	contentType := ""
	switch {
	case req.form != nil:
		body, contentType = strings.NewReader(req.form.Encode()), "application/x-www-form-urlencoded"
	case req.json != nil:
		body, contentType = bytes.NewReader(req.json), "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, req.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	if req.header != nil {
		r.Header = req.header.Clone()
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", c.userAgent)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if req.repeatable {
		r.Header["X-Idempotency-Key"] = nil // known to net/http, never sent
	}
	a := &answer{op: req.op, secrets: req.secrets, sent: c.clock.Now()}
	start := c.clock.Elapsed()
	resp, err := c.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a.received, a.took = c.clock.Now(), c.clock.Elapsed()-start
	a.status, a.header, a.request = resp.StatusCode, resp.Header, resp.Request
	a.secrets = append(slices.Clone(a.secrets), added(r, resp.Request)...)
	if a.status/100 == 3 || a.status >= 500 || a.status == http.StatusTooManyRequests {
		return a, nil // the status says it all
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody)) // cut short, it is no JSON
	if err != nil {
		return nil, err
	}
	a.hold(data)
	return a, nil
}

// added are the secrets that a way has added to a request for a gateway: its answer may
// repeat them. sent is the request as it was sent, nil if that is not known.
func added(r, sent *http.Request) []secret.Text {
	if sent == nil {
		return nil
	}
	var all []secret.Text
	for name, values := range sent.Header {
		if slices.Equal(values, r.Header[name]) {
			continue
		}
		for _, value := range values {
			_, rest, _ := strings.Cut(value, " ") // behind Basic or Bearer
			all = append(all, secret.New(value), secret.New(rest))
		}
	}
	for _, c := range sent.Cookies() {
		all = append(all, secret.New(c.Value))
	}
	return slices.DeleteFunc(all, func(t secret.Text) bool { return len(t.Reveal()) < leastSecret })
}

// leastSecret is the length in bytes from which on a text is taken out of what a server
// says. A shorter one stands in many words.
const leastSecret = 4

// hold keeps a body: a JSON object, or the beginning of anything else.
func (a *answer) hold(data []byte) {
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) && json.Valid(data) {
		a.body = data
	} else {
		a.page = bytes.ToLower(data[:min(len(data), maxPage)])
	}
}

// redirect returns the target of an answer, and whether the request may go there: a
// credential never leaves its origin, and a redirect must not change the method.
func (a *answer) redirect(req call, from *url.URL) (to *url.URL, follow bool, err error) {
	location := a.header.Get("Location")
	to, err = from.Parse(location)
	if location == "" || err != nil {
		return nil, false, a.notLangflow("a redirect to nowhere")
	}
	follow = origin(to) == origin(from)
	switch a.status {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		follow = follow && req.method == http.MethodGet
	default:
		return nil, false, a.notLangflow("")
	}
	return to, follow, nil
}

// probeTimeout bounds the question whether Langflow answers at a new address.
const probeTimeout = 10 * time.Second

// elsewhere returns the error for a redirect that is not followed. The server has moved
// only if Langflow answers at the target: a login page is no Langflow, and people must
// not learn to type a password there. The question carries no credential, and goes to
// no address that New would refuse.
func (c *Client) elsewhere(ctx context.Context, req call, a *answer, from, to *url.URL) error {
	shown := to.Scheme + "://" + to.Host + to.EscapedPath()
	gateway := func() error { return a.ofGateway(gatewayOf(a, to)) }
	if to.Scheme != "http" && to.Scheme != "https" {
		return a.notLangflow("it redirects to " + shown)
	}
	if origin(to) == origin(from) {
		return a.notLangflow("it redirects to " + shown)
	}
	base := *to
	base.User, base.RawQuery, base.Fragment = nil, "", ""
	if !strings.HasSuffix(strings.TrimRight(base.Path, "/"), "/api/v1"+strings.TrimRight(req.path, "/")) {
		base.Path, base.RawPath = "", "" // a page, not the route that was asked for
	}
	there, err := parseURL(base.String())
	if err != nil || from.Scheme == "https" && there.Scheme == "http" || c.forbids(there) {
		return gateway()
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	answer, err := c.exchange(ctx, call{op: req.op, method: http.MethodGet}, there.JoinPath("/api/v1/version"))
	if err != nil || answer.status != http.StatusOK || answer.version() == "" {
		return gateway()
	}
	return a.error(Moved, there.String())
}

// version returns the server's version; "" if the answer is not Langflow's.
// langflow-base calls itself "Langflow Base" and counts too.
func (a *answer) version() string {
	var v struct{ Version, Package string }
	if json.Unmarshal(a.body, &v) != nil || v.Package == "" {
		return ""
	}
	return clean(v.Version)
}

// judge returns the error of an answer, nil for a success. It ignores the Content-Type:
// gateways get it wrong.
func (c *Client) judge(req call, a *answer) error {
	switch {
	case a.status == http.StatusProxyAuthRequired:
		return &Error{Op: a.op, Kind: ForwardProxy, Detail: clean(ProxyRefusal(c.url).Error(), a.secrets...)}
	case a.status >= 500:
		e := a.error(ServerError, "")
		if a.status == http.StatusServiceUnavailable {
			e.RetryAfter = retryAfter(a.header, c.clock.Now())
		}
		return e
	case a.status == http.StatusTooManyRequests:
		e := a.error(RateLimited, "")
		e.RetryAfter = retryAfter(a.header, c.clock.Now())
		return e
	}
	if g := gatewayOf(a, nil); g.name != "" && !a.isLangflows(req) {
		return a.ofGateway(g)
	}
	switch {
	case a.body == nil:
		return a.notLangflow("the answer is not json")
	case a.status < 300:
		return nil
	}
	detail, autoLogin := a.detail()
	detail = strings.TrimSuffix(detail, ".") // some versions end with one
	kind, known := BadRequest, Kind("")
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		kind = Refused
		if req.refused != nil {
			known = req.refused(detail)
		}
		fallthrough
	case http.StatusBadRequest:
		if k := kindByDetail(detail); k != "" {
			known = k
		}
	}
	if known != "" {
		// Don't clean it: clean would redact "password" for a user with that password.
		return &Error{Op: a.op, Kind: known, Status: a.status, Detail: detail}
	}
	if autoLogin != nil && !*autoLogin {
		kind = AutoLoginOff // 400 up to 1.7, then 403
	}
	return a.error(kind, detail)
}

// isLangflows tells whether an answer has Langflow's own words.
func (a *answer) isLangflows(req call) bool {
	detail, autoLogin := a.detail()
	detail = strings.TrimSuffix(detail, ".")
	return autoLogin != nil || kindByDetail(detail) != "" || req.refused != nil && req.refused(detail) != ""
}

// detail returns what a JSON error says: the string detail, or the message in
// it. FastAPI's 422 is left unread, for it can echo the input.
func (a *answer) detail() (text string, autoLogin *bool) {
	var body struct{ Detail json.RawMessage }
	if json.Unmarshal(a.body, &body) != nil {
		return "", nil
	}
	if json.Unmarshal(body.Detail, &text) == nil {
		return text, nil
	}
	var object struct {
		Message   string
		AutoLogin *bool `json:"auto_login"`
	}
	if json.Unmarshal(body.Detail, &object) != nil {
		return "", nil
	}
	return object.Message, object.AutoLogin
}

// errOdd means that a Date is not believed.
var errOdd = errors.New("no usable Date")

// maxLead bounds the offset of a server's clock. The clock of a computer without a
// battery begins in 1970; a larger offset would lead to times that JSON can't hold.
const maxLead = 100 * 365 * 24 * time.Hour

// date reads an answer's Date. One that went through a cache (Age, RFC 9111)
// tells when the answer was made, not when it was sent.
func (a *answer) date() (time.Time, error) {
	if age := a.header.Get("Age"); age != "" && age != "0" {
		return time.Time{}, errOdd
	}
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil || date.Sub(a.received).Abs() > maxLead {
		return time.Time{}, errOdd
	}
	return date, nil
}
