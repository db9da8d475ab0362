package localapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/proof"
)

// pageSealed answers the only kind of request that the control page makes: a request of
// this API, sealed with the secret that page and agent share. The answer is sealed too.
// So a program that takes the agent's port, at whatever moment, can neither read the
// request nor answer it. With a code's secret the request is the exchange of the code.
func (s *Server) pageSealed(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	var body client.Sealed
	if err := read(r, &body); err != nil {
		return err
	}
	salt, saltErr := base64.RawURLEncoding.DecodeString(body.Salt)
	sealed, sealedErr := base64.RawURLEncoding.DecodeString(body.Sealed)
	if saltErr != nil || sealedErr != nil || len(salt) != proof.SaltSize {
		return client.NewProblem(client.TypeBadRequest, "salt must be 16 bytes in base64url, and sealed base64url")
	}
	strange := client.NewProblem(client.TypeUnauthorized, "no page has this key: its time is over, or it belongs to an earlier start of the agent: run langkeep open")
	if code, ok := s.Pages.Code(body.Key); ok {
		if _, ok := code.Open(salt, sealed); !ok {
			return strange
		}
		out := newSealedAnswer(w, code.Answer(salt))
		defer out.end()
		if err := s.givePage(out, code, guard.PeerKnown(r)); err != nil {
			s.fail(out, r, "", err)
		}
		return nil
	}
	token, ok := s.Pages.Secret(body.Key)
	if !ok {
		return strange
	}
	caller, alive := s.Pages.Holder(token)
	text, opened := token.Open(salt, sealed)
	if !alive || !opened {
		return strange
	}
	if problem := s.Guard.Admit(r, caller); problem != nil {
		return problem
	}
	out := newSealedAnswer(w, token.Answer(salt))
	defer out.end()
	inner, problem := unsealed(r, text)
	if problem != nil {
		guard.WriteProblem(out, problem)
		return nil
	}
	s.route(out, inner.WithContext(context.WithValue(inner.Context(), sealedKey{}, token)), caller, nil)
	return nil
}

// sealedKey is the context's key for the secret that a request was sealed with.
type sealedKey struct{}

// sealedRequest is the request inside.
type sealedRequest struct {
	Method string          `json:"method"`
	Path   string          `json:"path"` // and query
	Body   json.RawMessage `json:"body"`
}

// unsealed returns the request inside r. It shares r's connection and headers.
func unsealed(r *http.Request, text []byte) (*http.Request, *client.Problem) {
	var in sealedRequest
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, client.NewProblem(client.TypeBadRequest, "the sealed text is not a request: seal a JSON object with its method and path")
	}
	target, err := url.ParseRequestURI(in.Path)
	if err != nil || !strings.HasPrefix(in.Path, "/v1/") || target.Path == sealedPath {
		return nil, client.NewProblem(client.TypeBadRequest, "the sealed request is for no route of this API: see /v1/openapi.yaml")
	}
	inner := r.Clone(r.Context())
	inner.Method, inner.URL, inner.RequestURI = in.Method, target, in.Path
	inner.Body, inner.ContentLength = io.NopCloser(bytes.NewReader(in.Body)), int64(len(in.Body))
	inner.Header.Del("Content-Length")
	return inner, nil
}

// sealedAnswer seals a handler's answer: first its status, then its body, a piece at
// each flush. It drops the headers, since they can't be sealed and the page could not
// trust them.
type sealedAnswer struct {
	http.ResponseWriter
	header http.Header
	answer *proof.Answer
	body   bytes.Buffer
	begun  bool
}

func newSealedAnswer(w http.ResponseWriter, a *proof.Answer) *sealedAnswer {
	return &sealedAnswer{ResponseWriter: w, header: http.Header{}, answer: a}
}

// Header implements http.ResponseWriter.
func (a *sealedAnswer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *sealedAnswer) WriteHeader(status int) {
	if a.begun {
		return
	}
	a.begun = true
	a.ResponseWriter.Header().Set("Content-Type", "text/plain; charset=utf-8")
	head, err := json.Marshal(map[string]int{"status": status})
	if err != nil {
		panic(err) // a number
	}
	a.put(head, false)
}

// Write implements http.ResponseWriter.
func (a *sealedAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// FlushError is for http.ResponseController.
func (a *sealedAnswer) FlushError() error {
	a.WriteHeader(http.StatusOK)
	if a.body.Len() > 0 {
		a.put(a.body.Bytes(), false)
		a.body.Reset()
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (a *sealedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// end writes the rest, as the last piece.
func (a *sealedAnswer) end() {
	a.WriteHeader(http.StatusOK)
	a.put(a.body.Bytes(), true)
}

func (a *sealedAnswer) put(piece []byte, last bool) {
	_, _ = a.ResponseWriter.Write(a.answer.Seal(piece, last)) // fails only if the client has gone
}
