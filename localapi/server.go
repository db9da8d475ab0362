// Package localapi serves Langkeep's local API: every request goes through the
// guard, then by the table of routes to a handler.
package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"langkeep/agent"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// Config is what a Server is made of.
type Config struct {
	Agent   *agent.Agent
	Guard   *guard.Guard
	Log     *slog.Logger
	Version string
	Started time.Time
	Store   string // the kind of store in use
	// ConfigError is what is wrong with the files edited by hand, nil if
	// nothing is.
	ConfigError func() error
	// Stop is called when the owner asks the agent to stop. It must not wait
	// for the server.
	Stop func()
}

// Server answers the local API.
type Server struct {
	Config
	routes []route
}

// New makes a server; give it listeners with Serve.
func New(c Config) *Server {
	s := &Server{Config: c}
	s.routes = s.table()
	return s
}

// Serve answers on the guarded listeners until ctx ends, then lets what is
// under way finish for a few seconds. Streams end at once.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	server := guard.NewServer(guard.ServerConfig{Handler: s, Log: s.Log})
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	server.BaseContext = func(net.Listener) context.Context {
		return context.WithValue(context.Background(), streamsKey{}, streams)
	}
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
		_ = server.Close() // whoever still waits is cut off
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// streamsKey finds the context that ends all streams when the server stops.
type streamsKey struct{}

// ServeHTTP implements http.Handler: guard, route, scope, handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	caller, problem := s.Guard.Check(r, guard.WayIn(r))
	if problem != nil {
		guard.WriteProblem(w, problem)
		return
	}
	route, name, problem := s.find(w, r)
	if problem == nil {
		problem = s.Guard.Require(caller, route.scope, name)
	}
	if problem != nil {
		guard.WriteProblem(w, problem)
		return
	}
	if err := route.handle(w, r, caller, name); err != nil {
		s.fail(w, r, err)
	}
}

// fail answers with the problem that an error is. Whoever has only ended their
// own half of the connection still hears it, and must not take silence for a
// success.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	problem := problemOf(err)
	if problem.Status == http.StatusInternalServerError && r.Context().Err() == nil {
		s.Log.Error("a request failed", "path", r.URL.Path, "error", err)
	}
	guard.WriteProblem(w, problem)
}

// problemOf maps the agent's errors to the API's.
func problemOf(err error) *client.Problem {
	var problem *client.Problem
	if errors.As(err, &problem) {
		return problem
	}
	var e *agent.Error
	if !errors.As(err, &e) {
		return client.NewProblem(client.TypeInternal, err.Error())
	}
	problem = client.NewProblem(string(e.Kind), e.Error())
	problem.Reason = e.Reason
	retryAfter := e.RetryAfter // of an error that others are told as well
	switch e.Kind {
	case agent.LifetimeTooShort:
		problem.MaxValid = new(wholeSeconds(e.MaxValid))
	case agent.ServerUnreachable:
		problem.HeldValid = new(wholeSeconds(e.HeldValid))
		retryAfter = max(retryAfter, time.Second)
		fallthrough
	case agent.TooManyRequests:
		if retryAfter > 0 {
			// Rounded up: who comes back then must not be too early.
			problem.RetryAfter = new(wholeSeconds(retryAfter + time.Second - 1))
		}
	}
	return problem
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

// read takes the JSON object of a request's body. Fields that the API does not
// know are refused: they are most likely misspelt.
func read(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
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
		return client.NewProblem(client.TypeBadRequest, "the field "+field.Field+" must be a "+field.Type.Kind().String())
	case errors.As(err, &field), errors.As(err, &syntax), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return client.NewProblem(client.TypeBadRequest, "send a JSON object as the body")
	default:
		return client.NewProblem(client.TypeBadRequest, "the body is not what this route takes: "+err.Error())
	}
}
