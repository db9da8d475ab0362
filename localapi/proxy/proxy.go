// Package proxy passes a tool's requests on to a profile's server with the
// credential that they need, which no tool ever sees. It decides what a client
// token is good for; whether a request is heard at all is the guard's.
package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"

	"langkeep/agent/langflow"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

const (
	repeatable = 64 << 10 // bytes of a body that is kept for a second try
)

// Source is where servers and credentials come from.
type Source interface {
	// Upstream is a profile's server and the way to it.
	Upstream(profile string) (*url.URL, http.RoundTripper, error)
	Key(ctx context.Context, profile string) (secret.Text, error)
	// Token is an access token, empty where the gateway tells the server who asks.
	Token(ctx context.Context, profile string) (secret.Text, error)
	// KeyRefused and TokenRefused tell that the server did not take one.
	KeyRefused(profile string, key secret.Text)
	TokenRefused(profile string, token secret.Text)
	// GatewayRefused tells that a gateway in front of the server refused a request, as it
	// was sent, and asks whether to send it again.
	GatewayRefused(profile string, sent *http.Request) (again bool)
}

// Config is what a Handler is made from.
type Config struct {
	Profile string
	Source  Source
	// Lookup finds the client that a request's token belongs to.
	Lookup func(r *http.Request, token string) (*guard.Caller, *client.Problem)
	// Note is told of every request: who asks if that is known, for what, and why
	// it is refused.
	Note func(r *http.Request, caller *guard.Caller, what string, problem *client.Problem)
	Log  *slog.Logger
	// Needs are asked for with every request.
	Needs func() Needs
	// Problem says what an error of Source is to a client.
	Problem func(error) *client.Problem
}

// Needs is what is known of a profile and its server.
type Needs struct {
	// Origins are those whose pages may use the proxy.
	Origins []string
	// Version is what the server last called itself, "" if that is not known.
	Version string
	// UnknownRoutes lets the scope proxy use routes that no known version of
	// Langflow has.
	UnknownRoutes bool
	// Gateway means that the profile sends something to a gateway in front of the server.
	Gateway bool
	// NoKeys means that the access token stands in for API keys, which the account can't
	// have.
	NoKeys bool
	// Locked is closed while the agent hands nothing out: requests are refused, and those
	// under way end. Nil is never.
	Locked <-chan struct{}
}

// Handler is the proxy of one profile.
type Handler struct {
	Config
	forward *httputil.ReverseProxy
	large   slots // for the large bodies that are looked at
	known   componentCache
	jobs    jobs
}

// New makes a handler. Requests must have passed guard.CheckProxy.
func New(c Config) *Handler {
	h := &Handler{Config: c}
	h.forward = &httputil.ReverseProxy{
		Rewrite:        h.rewrite,
		Transport:      h,
		FlushInterval:  -1,
		ModifyResponse: h.back,
		ErrorHandler:   h.fail,
		ErrorLog:       slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
		BufferPool:     &buffers{},
	}
	return h
}

// buffers are what answers are copied through. Without a pool each request makes
// one of 32 KiB: more than all else that it needs together, and 6 MiB of what 200
// streams hold.
type buffers struct{ sync.Pool }

const bufferSize = 8 << 10 // bytes

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if got, ok := b.Pool.Get().(*[bufferSize]byte); ok {
		return got[:]
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(used []byte) { b.Pool.Put((*[bufferSize]byte)(used)) }

// proxiedRequest is what is known of a request on its way.
type proxiedRequest struct {
	target
	upstream  *url.URL
	transport http.RoundTripper
	caller    *guard.Caller
	gateway   bool          // one stands in front of the server
	host      string        // the proxy's, as the client wrote it
	body      []byte        // for a second try; nil if it can't be repeated
	sent      io.ReadCloser // the client's body
}

type proxiedRequestKey struct{}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	needs := h.Needs()
	origin := r.Header.Get("Origin")
	if !slices.Contains(needs.Origins, origin) {
		origin = ""
	}
	if origin != "" {
		cors(w.Header(), origin)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			preflight(w, r)
			return
		}
	}
	caller, problem := h.Lookup(r, clientToken(r))
	if problem != nil {
		if against := h.unknown(w, r, problem); against.rpc != nil {
			h.Note(r, caller, what(r), problem)
			w.Header().Set(client.UnknownToken, "1")
			against.write(w)
			return
		}
		h.refuse(w, r, caller, problem)
		return
	}
	upstream, transport, err := h.Source.Upstream(h.Profile)
	if err != nil {
		h.refuse(w, r, caller, h.Problem(err))
		return
	}
	escaped, _, _ := strings.Cut(r.RequestURI, "?")
	t, problem := judge(methodOf(r), escaped, strings.TrimSuffix(upstream.Path, "/"), needs.Version)
	select {
	case <-needs.Locked:
		var body []byte
		if t.asksRPC(r) {
			body, _ = io.ReadAll(io.LimitReader(r.Body, repeatable)) // a part of a message has no id
		}
		locked := client.NewProblem(client.TypeLocked, "the agent is locked and passes nothing on: run langkeep unlock")
		if against := forNow(t, r, body, locked); against.rpc != nil {
			h.Note(r, caller, what(r), locked)
			against.write(w)
			return
		}
		h.refuse(w, r, caller, locked)
		return
	default:
	}
	if problem == nil {
		problem = permits(caller, h.Profile, t, needs.UnknownRoutes)
	}
	if problem != nil {
		h.refuse(w, r, caller, problem)
		return
	}
	p := &proxiedRequest{target: t, upstream: upstream, transport: transport, caller: caller, gateway: needs.Gateway, host: r.Host, sent: r.Body}
	examined := t.check != "" && !caller.Has(guard.Proxy)
	if examined {
		body, against := h.examine(w, r, caller, t)
		if against != nil {
			h.Note(r, caller, what(r), against.problem)
			against.write(w)
			return
		}
		p.body = body
		if t.check == "workflow" {
			r.Header.Set("Accept-Encoding", "identity") // the job's id is read out of the answer
		}
	}
	h.Note(r, caller, what(r), nil)
	if !examined && r.ContentLength >= 0 && r.ContentLength <= repeatable && r.Header.Get("Upgrade") == "" {
		p.body = make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, p.body); err != nil {
			return // the client has gone
		}
	}
	// A stream ends with the client's token, and with the agent's lock.
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), proxiedRequestKey{}, p))
	defer cancel()
	go func() {
		select {
		case <-caller.Ended:
			cancel()
		case <-needs.Locked:
			cancel()
		case <-ctx.Done():
		}
	}()
	h.forward.ServeHTTP(w, r.WithContext(ctx))
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, caller *guard.Caller, problem *client.Problem) {
	h.Note(r, caller, what(r), problem)
	if caller != nil {
		guard.Drain(w, r)
	}
	if strings.Contains(routeOf(methodOf(r), r.URL.Path), "/mcp") {
		guard.WriteUnchallenged(w, problem)
		return
	}
	guard.WriteProblem(w, problem)
}

// rpcFailed is the code of an error that is neither the request's nor the server's.
const rpcFailed = -32000

// asksRPC tells whether a request is a message of JSON-RPC whose answer its client reads
// here: that of MCP's older transport comes over another connection.
func (t target) asksRPC(r *http.Request) bool {
	return checks[t.check].rpc && r.Method == http.MethodPost && !r.URL.Query().Has("session_id")
}

// unknown is the refusal of a request whose token the agent does not know, or no more.
func (h *Handler) unknown(w http.ResponseWriter, r *http.Request, problem *client.Problem) *objection {
	t := target{check: "mcp"}
	if problem.Kind() != client.TypeUnauthorized || !strings.HasSuffix(routeOf(methodOf(r), r.URL.Path), "/streamable") || !t.asksRPC(r) {
		return &objection{problem: problem}
	}
	body, _ := h.readBody(w, r, "", repeatable) // a part of a message has no id
	return forNow(t, r, body, client.NewProblem(client.TypeUnauthorized, problem.Detail+": run langkeep connect for the tool again, or give it a token of langkeep client add"))
}

// forNow is the refusal of a request that is right in itself, until a person has done
// something. For JSON-RPC it is an error with the request's id, as 200: MCP clients take a
// 401 or 403 for the wish that they sign in by OAuth, and show nobody its words.
func forNow(t target, r *http.Request, body []byte, problem *client.Problem) *objection {
	o := &objection{problem: problem}
	var message struct {
		ID json.RawMessage `json:"id"`
	}
	if t.asksRPC(r) && json.Unmarshal(body, &message) == nil && len(message.ID) > 0 && strings.IndexByte("nft[{", message.ID[0]) < 0 {
		o.rpc, o.code = message.ID, rpcFailed
	}
	return o
}

// what is a request in the audit log: its route as routes.txt has it, so that
// nobody can fill the log with what they make up.
func what(r *http.Request) string {
	method := r.Method
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	if route := routeOf(methodOf(r), r.URL.Path); route != "" {
		return "proxy " + method + " " + route
	}
	return "proxy " + method
}

// clientToken is what a tool sends as its key, wherever it puts it. Where there
// are several, one of ours counts: the others are left over from elsewhere.
func clientToken(r *http.Request) string {
	candidates := slices.Clone(r.Header.Values("X-Api-Key"))
	for _, a := range r.Header.Values("Authorization") {
		if scheme, token, ok := strings.Cut(a, " "); ok && strings.EqualFold(scheme, "Bearer") {
			candidates = append(candidates, strings.TrimLeft(token, " "))
		}
	}
	for _, pair := range strings.Split(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(name); err == nil && strings.EqualFold(key, "x-api-key") {
			if value, err = url.QueryUnescape(value); err == nil {
				candidates = append(candidates, value)
			}
		}
	}
	for _, c := range candidates {
		if strings.HasPrefix(c, "lk_") {
			return c
		}
	}
	if len(candidates) > 0 {
		return candidates[0]
	}
	return ""
}

// rewrite makes the request that goes out, but for the credential.
func (h *Handler) rewrite(r *httputil.ProxyRequest) {
	p := r.In.Context().Value(proxiedRequestKey{}).(*proxiedRequest)
	u := *p.upstream
	u.Path, u.RawPath = p.path, ""
	u.RawQuery = withoutCredentials(r.In.URL.RawQuery, r.In.Header.Get("Upgrade") != "")
	r.Out.URL, r.Out.Host = &u, ""
	r.Out.Trailer = nil // they would come after what is looked at
	outgoing(r.Out.Header)
}

// withoutCredentials takes credentials out of a query and leaves the rest as it
// is written.
func withoutCredentials(query string, webSocket bool) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(name)
		if err != nil {
			key = name
		}
		switch strings.ToLower(key) {
		case "x-api-key", "api_key":
			continue
		case "token":
			if webSocket {
				continue
			}
		}
		kept = append(kept, pair)
	}
	return strings.Join(kept, "&")
}

// RoundTrip implements http.RoundTripper. Its error is for a server's refusal too, where
// the client would take that for its own.
func (h *Handler) RoundTrip(out *http.Request) (*http.Response, error) {
	p := out.Context().Value(proxiedRequestKey{}).(*proxiedRequest)
	res, err := h.send(out, p)
	if err != nil || res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden {
		return res, err
	}
	refused := client.NewProblem(client.TypeForbidden, fmt.Sprintf(
		"profile %q: the server answers %d: its MCP is not for this account, or wants another key than Langkeep's", h.Profile, res.StatusCode))
	if forNow(p.target, out, p.body, refused).rpc == nil {
		return res, nil
	}
	_ = res.Body.Close() // nobody reads it
	return nil, sourceError{refused}
}

// send sends a request with the credential, and once more if the server refuses the first.
func (h *Handler) send(out *http.Request, p *proxiedRequest) (*http.Response, error) {
	res, used, err := h.try(out, p)
	if h.gatewayRefused(err) && (p.body != nil || out.Body == nil || out.Body == http.NoBody) {
		res, used, err = h.try(out, p)
		h.gatewayRefused(err)
	}
	if err != nil || !langflow.RefusesCredential(res) {
		return res, err
	}
	h.tell(used)
	if p.body == nil {
		return res, nil // it can't be repeated; later requests get another credential
	}
	again, err := h.credential(out.Context(), p.bearer)
	if err != nil || again.text.Reveal() == used.text.Reveal() {
		return res, nil
	}
	_ = res.Body.Close() // of an answer that nobody reads
	res, _, err = h.try(out, p)
	return res, err
}

// gatewayRefused tells Source of a gateway's refusal, if that is what err says, and
// whether the request is worth sending again.
func (h *Handler) gatewayRefused(err error) (again bool) {
	refusal, ok := errors.AsType[*langflow.Error](err)
	return ok && refusal.Kind == langflow.Gateway && h.Source.GatewayRefused(h.Profile, refusal.Request())
}

// credential is what a request identifies itself with: an API key, or an access token,
// which is empty where the gateway tells the server who asks.
type credential struct {
	text   secret.Text
	bearer bool
}

// put injects the credential into a request.
func (c credential) put(header http.Header) {
	switch {
	case !c.bearer:
		header.Set("X-Api-Key", c.text.Reveal())
	case !c.text.Empty():
		header.Set("Authorization", "Bearer "+c.text.Reveal())
	}
}

// credential returns an access token for a route that takes no other, else a key. Errors
// are Source's.
func (h *Handler) credential(ctx context.Context, bearer bool) (credential, error) {
	if !bearer {
		key, err := h.Source.Key(ctx, h.Profile)
		if err == nil || !h.Needs().NoKeys {
			return credential{text: key}, err
		}
	}
	token, err := h.Source.Token(ctx, h.Profile)
	return credential{token, true}, err
}

// tell tells Source that the server did not take a credential.
func (h *Handler) tell(c credential) {
	if c.bearer {
		h.Source.TokenRefused(h.Profile, c.text)
	} else {
		h.Source.KeyRefused(h.Profile, c.text)
	}
}

// sourceError is an error of Source, or the server's refusal, and not of the way there.
type sourceError struct{ error }

// untraced is a context without the hooks of ReverseProxy, which pass on what a
// server says before its answer, such as early hints with cookies.
type untraced struct{ context.Context }

func (c untraced) Value(key any) any {
	value := c.Context.Value(key)
	if _, ok := value.(*httptrace.ClientTrace); ok {
		return nil
	}
	return value
}

// try sends a request once.
func (h *Handler) try(out *http.Request, p *proxiedRequest) (*http.Response, credential, error) {
	used, err := h.credential(out.Context(), p.bearer)
	if err != nil {
		return nil, used, sourceError{err}
	}
	attempt := out.WithContext(untraced{out.Context()}) // which copies it
	attempt.Header = out.Header.Clone()
	if p.body != nil {
		body := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.body)), nil }
		attempt.Body, _ = body()
		// For a server that had closed the connection before it took anything. With an
		// idempotency key, for which Langflow does not look, net/http would send a request
		// again that the server may have taken.
		if attempt.Header["Idempotency-Key"] == nil && attempt.Header["X-Idempotency-Key"] == nil {
			attempt.GetBody = body
		}
		if len(p.body) == 0 {
			attempt.Body = http.NoBody
		}
	}
	used.put(attempt.Header)
	res, err := p.transport.RoundTrip(attempt)
	if err == nil && res.StatusCode == http.StatusProxyAuthRequired {
		_ = res.Body.Close() // it is not of the server, and no client can do anything about it
		err = langflow.ProxyRefusal(p.upstream)
	}
	if err == nil {
		// A tool that followed a gateway's redirect would take the sign-in page for an
		// answer of Langflow's, and send its client token along.
		if refusal := langflow.GatewayRefusal(res, p.upstream, p.gateway); refusal != nil {
			_ = res.Body.Close() // nobody reads it
			err = refusal
		}
	}
	if err != nil {
		return nil, used, err
	}
	// The transport puts an answer's trailers into its own one.
	answer := *res
	answer.Trailer = nil
	return &answer, used, nil
}

// back takes out of an answer what is not for the client, and notes the job that it
// has begun.
func (h *Handler) back(res *http.Response) error {
	p := res.Request.Context().Value(proxiedRequestKey{}).(*proxiedRequest)
	if p.check == "workflow" && p.route == "workflows" && res.Request.Method == http.MethodPost && res.StatusCode < 300 {
		h.noteJob(p.caller, res)
	}
	p.incoming(res.Header)
	return nil
}

// fail answers for a server that did not.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var refused uploadRefused
	if errors.As(err, &refused) {
		p := r.Context().Value(proxiedRequestKey{}).(*proxiedRequest)
		in := *r
		in.Body = p.sent // a refused body gives no more
		h.refuse(w, &in, p.caller, refused.problem)
		return
	}
	var source sourceError
	if errors.As(err, &source) {
		problem := h.Problem(source.error)
		if problem.Kind() == client.TypeServerUnreachable {
			guard.WriteProblem(w, badGateway(problem)) // as when the request itself does not get there
			return
		}
		p := r.Context().Value(proxiedRequestKey{}).(*proxiedRequest)
		forNow(p.target, r, p.body, problem).write(w)
		return
	}
	if r.Context().Err() == nil {
		h.Log.Info("the server did not answer a proxied request", "profile", h.Profile, "error", err)
	}
	why := "the server did not answer: try again when it is back"
	if p, ok := r.Context().Value(proxiedRequestKey{}).(*proxiedRequest); ok {
		switch e := langflow.TransportError("pass it on", p.upstream, err); e.Kind {
		case langflow.Certificate, langflow.ForwardProxy, langflow.CommandFailed, langflow.Gateway:
			guard.WriteProblem(w, badGateway(h.Problem(e)))
			return
		}
	}
	guard.WriteProblem(w, badGateway(client.NewProblem(client.TypeServerUnreachable, "profile \""+h.Profile+"\": "+why)))
}

// badGateway is a problem as a proxy tells of its server's.
func badGateway(p *client.Problem) *client.Problem {
	changed := *p
	changed.Status, changed.Title = http.StatusBadGateway, http.StatusText(http.StatusBadGateway)
	return &changed
}

// cors lets an allowed page read the answer.
func cors(h http.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Mcp-Session-Id")
	h.Add("Vary", "Origin")
}

// preflight answers a browser that asks for an allowed page. It has no token and
// says nothing of the server.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
	if wanted := r.Header.Get("Access-Control-Request-Headers"); wanted != "" {
		h.Set("Access-Control-Allow-Headers", wanted)
	}
	h.Set("Access-Control-Max-Age", "600") // seconds
	w.WriteHeader(http.StatusNoContent)
}
