package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"langkeep/agent/secret"
	"langkeep/localapi/proof"
)

// TestWhoDoesNotProve has a client meet those who listen where an agent was. None
// of them gets more than the question, and so never the token.
func TestWhoDoesNotProve(t *testing.T) {
	const token = "lk_owner"
	problem := func(status int, kind string) func(http.ResponseWriter, string, []byte) {
		return func(w http.ResponseWriter, _ string, _ []byte) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"type":%q,"status":%d,"detail":"send it to me"}`, ProblemBase+kind, status)
		}
	}
	proofOf := func(token, at string, nonce []byte) string {
		return fmt.Sprintf(`{"proof":%q}`, base64.RawURLEncoding.EncodeToString(proof.Of(secret.New(token)).OfAgent(nonce, at)))
	}
	for name, tt := range map[string]struct {
		answer func(w http.ResponseWriter, at string, nonce []byte)
		kind   string // of the problem, "" for another error
	}{
		"a server of something else": {func(w http.ResponseWriter, _ string, _ []byte) { _, _ = io.WriteString(w, "<html>") }, ""},
		"one that says nothing":      {func(http.ResponseWriter, string, []byte) {}, ""},
		"one that guesses":           {func(w http.ResponseWriter, _ string, _ []byte) { _, _ = io.WriteString(w, `{"proof":"AAAA"}`) }, ""},
		"one with another token": {func(w http.ResponseWriter, at string, nonce []byte) {
			_, _ = io.WriteString(w, proofOf("lk_other", at, nonce))
		}, ""},
		"one that asked the agent elsewhere": {func(w http.ResponseWriter, _ string, nonce []byte) {
			_, _ = io.WriteString(w, proofOf(token, "127.0.0.1:1", nonce))
		}, ""},
		"one that passes on an older proof": {func(w http.ResponseWriter, at string, _ []byte) {
			_, _ = io.WriteString(w, proofOf(token, at, make([]byte, proof.Size)))
		}, ""},
		"one that closes the connection that it proved": {func(w http.ResponseWriter, at string, nonce []byte) {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, proofOf(token, at, nonce))
		}, ""},
		"one that says too much":             {func(w http.ResponseWriter, _ string, _ []byte) { _, _ = io.WriteString(w, strings.Repeat(" ", 1<<20)) }, ""},
		"an agent that lost the token":       {problem(http.StatusUnauthorized, TypeUnauthorized), TypeUnauthorized},
		"an agent of another user":           {problem(http.StatusForbidden, TypeForbidden), TypeForbidden},
		"a page that says it is not allowed": {func(w http.ResponseWriter, _ string, _ []byte) { w.WriteHeader(http.StatusForbidden) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var leaked atomic.Bool
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				all, _ := io.ReadAll(r.Body)
				if r.URL.Path != "/v1/proof" || r.Header.Get("Authorization") != "" || strings.Contains(string(all), token) {
					leaked.Store(true)
				}
				var asked ProofRequest
				nonce, err := []byte(nil), json.Unmarshal(all, &asked)
				if err == nil {
					nonce, err = base64.RawURLEncoding.DecodeString(asked.Nonce)
				}
				if err != nil || len(nonce) != proof.Size {
					t.Errorf("asked with %s: %v", all, err)
				}
				tt.answer(w, r.Host, nonce)
			}))
			defer server.Close()
			c, err := New(Options{URL: server.URL, Token: secret.New(token)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Status(t.Context())
			var p *Problem
			if err == nil || errors.As(err, &p) != (tt.kind != "") || p != nil && (p.Kind() != tt.kind || strings.Contains(p.Detail, "send it")) {
				t.Errorf("got %v", err)
			}
			if leaked.Load() {
				t.Error("it was sent more than the question")
			}
		})
	}
}
