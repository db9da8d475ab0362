package proxy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// A check holds what a client puts into the query, the headers and the body of a
// request to what its scopes are good for. It applies to every client that lacks
// the scope proxy, and to routes whose rule names it; a name that no check has
// lets nothing pass. A client with tweak or edit is judged by the same check,
// which asks for that.
type check struct {
	// rpc has objections be JSON-RPC's: MCP clients take HTTP's 401 and 403 for the
	// wish that they sign in, and show its words of no other.
	rpc bool
	// most bounds the body, in bytes.
	most int64
	// judge says what is wrong, nil if nothing is.
	judge func(*asked) *objection
	// refuses says why nothing passes, where judge is nil.
	refuses string
	// stream looks at a body while it passes, in place of judge.
	stream func(*asked, io.ReadCloser) (io.ReadCloser, *objection)
}

// checks are all there are, by the name that a rule has.
var checks = map[string]check{
	"empty":        {judge: judgeEmpty}, // no body
	"run":          {most: inputBytes, judge: judgeRun},
	"advanced":     {most: inputBytes, judge: judgeAdvanced},
	"responses":    {most: inputBytes, judge: judgeResponses},
	"webhook":      {most: inputBytes, judge: judgeWebhook},
	"workflow":     {most: inputBytes, judge: judgeWorkflow},
	"build":        {most: flowBytes, judge: judgeBuild},
	"flow":         {most: flowBytes, judge: judgeFlow},
	"flows":        {most: flowBytes, judge: judgeFlows},
	"flow-file":    {refuses: noFiles},
	"version":      {judge: judgeVersion},
	"project":      {most: flowBytes, judge: judgeProject},
	"project-file": {refuses: noFiles},
	"a2a":          {rpc: true, most: inputBytes, judge: judgeA2A},
	"mcp":          {rpc: true, most: inputBytes, judge: judgeMCP},
	"upload":       {stream: streamUpload},
	"names":        {most: inputBytes, judge: judgeNames},
}

// noFiles is why forms with files that have flows in them don't pass: servers and Go
// read forms, and archives, differently in too many ways to tell what is in one.
const noFiles = "this client may not send flows as files: send them as JSON to /flows/, or add a client with the scope proxy"

const (
	// inputBytes is for inputs of flows: a long text, or a document's. Files are
	// uploaded.
	inputBytes = 4 << 20
	// bodyTime is for the whole of a body that is looked at.
	bodyTime = time.Minute
)

// asked is a request as a check sees it: all of it, and nothing more comes.
type asked struct {
	ctx    context.Context
	method string
	route  string     // the path below /api/vN, without a slash at its ends
	query  url.Values // each name once
	header http.Header
	body   []byte // empty: there is none
	value  any    // the body, once json has read it
	// tweak and edit tell which scopes the client has; run it has always.
	tweak, edit bool
	// began tells whether the client has begun a job here.
	began  func(job string) bool
	server upstreamAsk
}

// objection is what a check has to say against a request.
type objection struct {
	problem *client.Problem
	// rpc is a JSON-RPC request's id, as JSON, where the answer is to be one of
	// JSON-RPC, with a code of it.
	rpc  []byte
	code int
	// status is HTTP's, with rpc; 0 is 200.
	status int
}

// reject makes an objection of words.
func reject(format string, args ...any) *objection {
	return &objection{problem: client.NewProblem(client.TypeForbidden, fmt.Sprintf(format, args...))}
}

// errManyBodies says that more large bodies come in than are held at once.
var errManyBodies = errors.New("many large bodies come in at once")

// examine has a client's request looked at before anything of it is sent. From
// then on the request is what was looked at, and nothing else.
func (h *Handler) examine(w http.ResponseWriter, r *http.Request, caller *guard.Caller, t target) ([]byte, *objection) {
	c, ok := checks[t.check]
	if !ok {
		return nil, reject("this request's body can't be checked: add a client with the scope proxy")
	}
	body, against := h.look(w, r, caller, t, c)
	if against != nil && against.rpc == nil && c.rpc && r.Method == http.MethodPost {
		against.rpc, against.code, against.status = []byte("null"), rpcNoRequest, http.StatusBadRequest
	}
	return body, against
}

func (h *Handler) look(w http.ResponseWriter, r *http.Request, caller *guard.Caller, t target, c check) ([]byte, *objection) {
	a := &asked{
		ctx: r.Context(), method: r.Method, route: t.route, header: r.Header,
		tweak: caller.Has(guard.Tweak), edit: caller.Has(guard.Edit), server: h.asker(h.Needs().Version),
		began: func(job string) bool { return h.jobs.has(caller, job) },
	}
	query, ok := strictQuery(withoutCredentials(r.URL.RawQuery, false))
	if !ok {
		return nil, reject("the query has a name twice, or an escape that servers read in more than one way: write it plainly")
	}
	a.query = query
	if r.Header.Get("Upgrade") != "" {
		return nil, reject("this client may open no WebSocket: add a client with the scope proxy")
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, reject("the body is compressed, and so can't be checked: send it as it is")
	}
	if !caller.Has(guard.Tweak) {
		for name := range r.Header {
			// Langflow 1.5 to 1.13 put these in place of the account's variables,
			// wherever a component has one: a URL among them, and the key of another
			// goes there.
			if strings.HasPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), "x-langflow-global-var") {
				return nil, reject("the header %s replaces the account's variables: add a client with the scope tweak", name)
			}
		}
	}
	if c.stream != nil {
		body, wrong := c.stream(a, r.Body)
		if wrong != nil {
			return nil, wrong
		}
		r.URL.RawQuery, r.Body = a.query.Encode(), body
		if r.ContentLength < 0 || r.ContentLength > repeatable {
			return nil, nil
		}
		all, err := io.ReadAll(body)
		var refused uploadRefused
		switch {
		case errors.As(err, &refused):
			return nil, &objection{problem: refused.problem}
		case err != nil:
			return nil, &objection{problem: client.NewProblem(client.TypeBadRequest, "the body did not come whole")}
		}
		return all, nil
	}
	if c.judge == nil {
		return nil, reject("%s", c.refuses)
	}
	body, err := h.readBody(w, r, cmp.Or(caller.Root, caller.Name), c.most)
	switch {
	case errors.Is(err, errManyBodies):
		return nil, &objection{problem: client.NewProblem(client.TypeServerUnreachable, err.Error()+": try again")}
	case err != nil:
		var large *http.MaxBytesError
		if errors.As(err, &large) && c.most == 0 {
			return nil, reject("this request may have no body")
		}
		if errors.As(err, &large) {
			return nil, &objection{problem: client.NewProblem(client.TypeTooLarge, fmt.Sprintf("the body is larger than %d bytes", c.most))}
		}
		return nil, &objection{problem: client.NewProblem(client.TypeBadRequest, "the body did not come whole")}
	}
	a.body = body
	if refused := c.judge(a); refused != nil {
		return nil, refused
	}
	r.URL.RawQuery = a.query.Encode()
	r.Body, r.ContentLength, r.TransferEncoding, r.Trailer = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil, nil
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	return body, nil
}

// readBody reads a client's body whole, of most bytes and within bodyTime. A body
// takes one of the slots once it has come to more than repeatable bytes: an
// announced one, or one that stops before, keeps no other out.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, root string, most int64) ([]byte, error) {
	if r.ContentLength == 0 {
		return []byte{}, nil
	}
	if r.ContentLength > most {
		return nil, &http.MaxBytesError{Limit: most}
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // not on a recorder
	in := http.MaxBytesReader(w, r.Body, most)
	body, err := io.ReadAll(io.LimitReader(in, repeatable+1))
	if err == nil && len(body) > repeatable {
		if !h.large.take(r.Context(), root) {
			return nil, errManyBodies
		}
		defer h.large.release(root)
		var rest []byte
		rest, err = io.ReadAll(in)
		body = append(body, rest...)
	}
	if err == nil {
		_ = control.SetReadDeadline(time.Time{})
	}
	return body, err
}

// strictQuery reads a query that all servers read alike: no name twice, nothing
// that only some decode, and no semicolon, which older Pythons take for &.
func strictQuery(query string) (url.Values, bool) {
	if strings.Contains(query, ";") {
		return nil, false
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, false
	}
	for name, all := range values {
		if len(all) > 1 || !plain(name) || !plain(all[0]) {
			return nil, false
		}
	}
	return values, true
}

// plain tells whether a text is UTF-8 without control characters.
func plain(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// A field is what may stand under a name of an object.
type field func(v any) bool

// object holds an object to the fields it may have. It says which one is wrong,
// "" if none is.
func object(v any, fields map[string]field) string {
	o, ok := v.(map[string]any)
	if !ok {
		return "it is no object"
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		may, ok := fields[name]
		if !ok {
			return fmt.Sprintf("it may not have %.60q", name)
		}
		if !may(o[name]) {
			return fmt.Sprintf("%q may not be that", name)
		}
	}
	return ""
}

// text is a string or nothing.
func text(v any) bool {
	_, ok := v.(string)
	return ok || v == nil
}

// numeric is a number or nothing.
func numeric(v any) bool {
	_, ok := v.(number)
	return ok || v == nil
}

// falsehood is false or nothing.
func falsehood(v any) bool { return v == false || v == nil }

func isNull(v any) bool { return v == nil }

func anything(any) bool { return true }

// optionalObject is any object, or nothing.
func optionalObject(v any) bool {
	_, ok := v.(map[string]any)
	return ok || v == nil
}

// objectOf is an object with some of the fields.
func objectOf(fields map[string]field) field {
	return func(v any) bool { return object(v, fields) == "" }
}

// listOf is an array of such, or nothing.
func listOf(item field) field {
	return func(v any) bool {
		list, ok := v.([]any)
		for _, one := range list {
			ok = ok && item(one)
		}
		return ok || v == nil
	}
}

// boolean is a truth or nothing.
func boolean(v any) bool {
	_, ok := v.(bool)
	return ok || v == nil
}

// oneOf is one of some strings, or nothing.
func oneOf(words ...string) field {
	return func(v any) bool {
		s, ok := v.(string)
		return v == nil || ok && slices.Contains(words, s)
	}
}

// nothing is null, or an object, array or string with nothing in it, as some
// clients send where they have nothing to say.
func nothing(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// json reads the body, which must say that it is JSON: Langflow 1.13 reads a body
// on /run as JSON with any Content-Type, and forms as well.
func (a *asked) json() (any, *objection) {
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	charset, given := params["charset"]
	delete(params, "charset")
	if err != nil || len(a.header.Values("Content-Type")) != 1 || kind != "application/json" || len(params) > 0 || given && !strings.EqualFold(charset, "utf-8") {
		return nil, reject("the body must be application/json, in UTF-8: add a client with the scope proxy to send others")
	}
	if a.value, err = parseJSON(a.body); err != nil {
		return nil, &objection{problem: client.NewProblem(client.TypeBadRequest, "the body can't be checked: "+err.Error())}
	}
	return a.value, nil
}

// bodyOf holds the body to the fields that run may send, or to those of tweak where
// the client has that scope.
func (a *asked) bodyOf(run, tweak map[string]field) *objection {
	v, wrong := a.json()
	if wrong != nil {
		return wrong
	}
	fields, scope := run, "tweak"
	if a.tweak {
		fields, scope = tweak, "proxy"
	}
	if said := object(v, fields); said != "" {
		return reject("the body may only choose inputs, and %s: add a client with the scope %s", said, scope)
	}
	return nil
}

// queryOf holds the query to the names it may have.
func (a *asked) queryOf(may map[string]field) *objection {
	for _, name := range slices.Sorted(maps.Keys(a.query)) {
		if f, ok := may[name]; !ok || !f(a.query.Get(name)) {
			return reject("the query may not have %.60q as it is: add a client with the scope proxy", name)
		}
	}
	return nil
}

// judgeEmpty lets nothing pass but the path.
func judgeEmpty(a *asked) *objection { return a.queryOf(nil) }

// write answers a client with the objection.
func (o *objection) write(w http.ResponseWriter) {
	if o.rpc == nil {
		guard.WriteProblem(w, o.problem)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	answer, _ := json.Marshal(map[string]any{ // of nothing that can't be
		"jsonrpc": "2.0", "id": json.RawMessage(o.rpc), "error": map[string]any{"code": o.code, "message": o.problem.Detail},
	})
	w.WriteHeader(cmp.Or(o.status, http.StatusOK))
	_, _ = w.Write(answer) // fails where the client has gone
}

// pattern is a regular expression that is compiled when it is first needed: every command
// would else wait a millisecond for these.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}
