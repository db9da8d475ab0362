// Package localapi serves Langkeep's local API: every request goes through the guard,
// then through the table of routes to a handler.
package localapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"langkeep/agent"
	"langkeep/agent/asks"
	"langkeep/agent/audit/auditlog"
	"langkeep/agent/clients"
	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/connect"
	"langkeep/agent/history"
	"langkeep/agent/langflow"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
)

// Config is what a Server is made of.
type Config struct {
	Agent   *agent.Agent
	Guard   *guard.Guard
	Log     *slog.Logger
	Version string
	Started time.Time
	Store   string // the kind of store in use
	// ConfigError returns the errors of the files edited by hand, nil if there are
	// none.
	ConfigError func() error
	// Settings are the settings of config.toml that the API can change.
	Settings Settings
	// Autostart starts the agent at login; nil where that can't be.
	Autostart Autostart
	// Clients are the programs that may ask; the Guard must know their tokens.
	Clients *clients.List
	// Audit is the audit log.
	Audit *auditlog.Log
	// History keeps the profiles' events; nil keeps them in memory.
	History *history.Log
	// Pages gives the control page its tokens; the Guard must know it too.
	Pages *guard.Pages
	// URL is the local API's address, for browsers.
	URL string
	// PageFile is the path of the file that leads a browser to the page where a code
	// must not be among the browser's arguments.
	PageFile string
	// FirstProxyPort is where the search for a proxy's port begins; 0 is 17861.
	FirstProxyPort int
	// ListenProxy listens on the Unix socket of a profile's proxy. Its error is
	// guard.ErrNoSocket where there can be none.
	ListenProxy func(profile string) (net.Listener, error)
	// Asks is where programs wait for a person's answer.
	Asks *asks.Desk
	// Modes remembers when programs were asked about; nil forgets it with the Server.
	Modes *asks.Memory
	// Doctor makes the checks of POST /v1/doctor.
	Doctor Doctor
	// Tools has the programs of this user that can be connected.
	Tools connect.Desk
	// Stop is called when the owner asks the agent to stop. It must not wait
	// for the server.
	Stop func()
}

// Settings reads and changes config.toml.
type Settings interface {
	Get() config.Config
	Change(config.Change) (config.Config, error)
}

// Server answers the local API.
type Server struct {
	Config
	routes  []entry
	recent  recent
	file    pageFile
	metrics metrics
	tokens  sync.Pool // of *[]byte, in which answers with a token are put together
	proxies *proxies
	// attending are the open pages that speak for the person.
	attending atomic.Int32
	shown     atomic.Int32 // all pages that are open

	looking  sync.Mutex // held by LookAtAsk
	weakened chan []asks.Weakened
	added    chan clients.Client
}

// New makes a server; give it listeners with Serve.
func New(c Config) *Server {
	s := &Server{
		Config: c, file: pageFile{path: c.PageFile}, metrics: metrics{refusals: map[outcome]int64{}, proxied: map[string]int64{}},
		tokens: sync.Pool{New: func() any { return new([]byte) }},
	}
	s.routes, s.weakened, s.added = s.prepared(), make(chan []asks.Weakened, 16), make(chan clients.Client, 16)
	if s.Asks != nil {
		s.Asks.Answered = s.noteAnswer
	}
	if s.Modes == nil {
		s.Modes = asks.NewMemory("")
	}
	if s.History == nil {
		s.History = history.Open("", clock.System(), s.Log)
	}
	s.recent.history = s.History
	s.recent.load("")
	s.FirstProxyPort = cmp.Or(s.FirstProxyPort, firstProxyPort)
	s.proxies = newProxies(s)
	return s
}

// Serve answers on the guarded listeners until ctx ends. Then it gives the requests
// under way a few seconds to finish, and ends streams at once.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	server := guard.NewServer(guard.ServerConfig{Handler: s, Log: s.Log})
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	server.BaseContext = func(net.Listener) context.Context {
		return context.WithValue(context.Background(), streamsKey{}, streams)
	}
	var watching sync.WaitGroup
	watching.Go(func() { s.recent.watch(streams, s.Agent) })
	watching.Go(func() { s.proxies.watch(streams) })
	watching.Go(func() { s.watchAsk(streams) })
	watching.Go(func() { s.Clients.Run(streams) })
	// The audit log runs longer than the rest, so that the last requests are noted too.
	auditing, endAuditing := context.WithCancel(context.WithoutCancel(ctx))
	watching.Go(func() { s.Audit.Run(auditing) })
	defer watching.Wait()
	defer endAuditing()
	defer endStreams()
	defer s.file.remove()
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- server.Serve(l) }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	endStreams()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if server.Shutdown(last) != nil {
		_ = server.Close() // cuts off the requests that are left
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// streamsKey is the context's key for the context that ends all streams when the server
// stops.
type streamsKey struct{}

// ServeHTTP implements http.Handler: guard, route, scope, handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	caller, problem := s.Guard.Check(r, wayIn(r))
	s.route(w, r, caller, problem)
}

// route answers a request of an admitted caller, or with the guard's problem.
func (s *Server) route(w http.ResponseWriter, r *http.Request, caller *guard.Caller, problem *client.Problem) {
	route, name := s.lookUp(r)
	switch {
	case problem != nil:
	case route == nil:
		problem = s.unknown(w, r)
	// The page may refresh without the scope token: the answer has no token.
	case !(caller.Page && route.path == refreshPath):
		problem = s.Guard.Require(caller, route.scope, route.profile(name))
	}
	if problem == nil {
		problem = checkQuery(r)
	}
	if problem != nil {
		s.refuse(w, s.apiUse(r, caller, route, name), problem)
		return
	}
	var u use
	if route.noted != notNoted {
		u = s.apiUse(r, caller, route, name)
	}
	if route.noted == notedBefore {
		s.note(u, nil)
	}
	err := route.handle(w, r, caller, name)
	if err != nil {
		problem = s.fail(w, r, name, err)
	}
	if route.noted == notedAfter || route.noted == notedByHandler && problem != nil {
		s.note(u, problem)
	}
	if problem == nil {
		route.answered.Add(1)
		return
	}
	s.metrics.refused(route.what, problem)
}

// checkQuery refuses a query that can't be read, or that has a parameter twice: one of
// the two would be ignored in silence.
func checkQuery(r *http.Request) *client.Problem {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return client.NewProblem(client.TypeBadRequest, "the query can't be read: write name=value pairs with & between them, percent-encoded")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 {
			return client.NewProblem(client.TypeBadRequest, fmt.Sprintf("the query has %.60q more than once: give it once", name))
		}
	}
	return nil
}

// refuse answers a refused request, and notes it.
func (s *Server) refuse(w http.ResponseWriter, u use, problem *client.Problem) {
	guard.WriteProblem(w, problem)
	s.note(u, problem)
	s.metrics.refused(u.What, problem)
}

// fail answers with an error's problem. It also answers a client that has ended its own
// half of the connection: silence could pass for a success.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, name string, err error) *client.Problem {
	snapshot, _ := s.Agent.Profile(name) // an empty one will do
	problem := problemOf(err, snapshot.ServerURL)
	if problem.Status == http.StatusInternalServerError && r.Context().Err() == nil {
		s.Log.Error("a request failed", "path", r.URL.Path, "error", err)
	}
	guard.WriteProblem(w, problem)
	return problem
}

// problemOf maps the agent's errors to the API's. serverURL is the server of the
// error's profile, "" if there is none.
func problemOf(err error, serverURL string) *client.Problem {
	var problem *client.Problem
	if errors.As(err, &problem) {
		return problem
	}
	var e *agent.Error
	if !errors.As(err, &e) {
		return client.NewProblem(client.TypeInternal, err.Error())
	}
	problem = client.NewProblem(string(e.Kind), words.Error(e))
	problem.Reason, problem.Gateway = e.Reason, e.Gateway
	retryAfter := e.RetryAfter // a copy: other callers share the error
	defer func() { problem.Words = sentence(problem, e, serverURL) }()
	switch e.Kind {
	case agent.LifetimeTooShort:
		problem.MaxValid = new(wholeSeconds(e.MaxValid))
	case agent.ServerUnreachable:
		problem.HeldValid = new(wholeSeconds(e.HeldValid))
		retryAfter = max(retryAfter, time.Second)
		fallthrough
	case agent.TooManyRequests:
		if retryAfter > 0 {
			// Round up, so that a retry then is not too early.
			problem.RetryAfter = new(wholeSeconds(retryAfter + time.Second - 1))
		}
	}
	return problem
}

// proxyProblem is problemOf for what keeps a profile's proxy from its server.
func proxyProblem(profile string, err error) *client.Problem {
	lf, ofServer := errors.AsType[*langflow.Error](err)
	if _, told := errors.AsType[*agent.Error](err); ofServer && !told {
		err = &agent.Error{Kind: agent.ServerUnreachable, Profile: profile, Reason: string(lf.Kind), Detail: lf.Detail, Gateway: lf.Gateway, Err: err}
	}
	return problemOf(err, "")
}

// sentence is a problem in the page's words. For a moved server it also notes the new
// address in the problem.
func sentence(p *client.Problem, e *agent.Error, serverURL string) string {
	detail := ""
	if lf, ok := errors.AsType[*langflow.Error](e); ok {
		detail = lf.Detail
		if lf.Kind == langflow.Moved {
			if to, err := langflow.ParseURL(detail); err == nil {
				p.MovedTo, detail = to, to
			}
		}
	}
	if said := words.Failure(p, detail, words.Host(client.Profile{ServerURL: serverURL})); said != "" {
		return said
	}
	return words.ErrorSentence(e)
}

func wholeSeconds(d time.Duration) int64 { return int64(d / time.Second) }

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // fails only if the client has gone
	return nil
}

// read parses the JSON object of a request's body. It refuses unknown fields, which are
// most likely misspelt. It refuses null, which would count as an absent field although
// a person may have meant the default. It refuses a field that comes twice, of which
// one would be ignored in silence.
func read(r *http.Request, v any) error {
	var body bytes.Buffer
	d := json.NewDecoder(io.TeeReader(r.Body, &body))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			if fault := ambiguous(body.Bytes()); fault != "" {
				return client.NewProblem(client.TypeBadRequest, fault)
			}
			return nil
		}
		err = errors.New("there is more than one JSON value")
	}
	var tooLarge *http.MaxBytesError
	var syntax *json.SyntaxError
	var field *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLarge):
		return client.NewProblem(client.TypeTooLarge, "the body is larger than 1 MiB")
	case errors.As(err, &field) && field.Field != "":
		return client.NewProblem(client.TypeBadRequest, "the field "+field.Field+" must be "+describeKind(field.Type.Kind()))
	case errors.As(err, &field), errors.As(err, &syntax), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return client.NewProblem(client.TypeBadRequest, "send a JSON object as the body")
	default:
		return client.NewProblem(client.TypeBadRequest, "the body does not fit this route: "+strings.TrimPrefix(err.Error(), "json: "))
	}
}

// describeKind says which JSON a field of a kind of Go's takes.
func describeKind(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	default:
		return "an object"
	}
}

// ambiguous returns the fault of a JSON object with two readings: null, or a field that
// comes twice, whatever its case, since encoding/json ignores case. "" means none.
func ambiguous(text []byte) string {
	d := json.NewDecoder(bytes.NewReader(text))
	var open []map[string]bool // the names in each object that is open; nil for an array
	isName := false            // the next token is a name
	for {
		token, err := d.Token()
		if err != nil {
			return "" // the end: the text was decoded before
		}
		switch token {
		case json.Delim('{'):
			open = append(open, map[string]bool{})
			isName = true
			continue
		case json.Delim('['):
			open = append(open, nil)
			isName = false
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		case nil:
			return "nothing in the body may be null: leave it out"
		default:
			if isName {
				name := strings.ToLower(token.(string))
				if open[len(open)-1][name] {
					return fmt.Sprintf("the body has %.60q more than once: give it once", name)
				}
				open[len(open)-1][name] = true
				isName = false
				continue
			}
		}
		isName = len(open) > 0 && open[len(open)-1] != nil
	}
}
