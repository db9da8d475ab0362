package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTakeOver reads the answer to a request that was sent before, once. Only if that
// breaks off is the request sent.
func TestTakeOver(t *testing.T) {
	response := func(status int, kind, body string) string {
		return fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", status, kind, len(body), body)
	}
	for name, c := range map[string]struct {
		answer string
		want   string // the token, or the problem's type
		asked  int
	}{
		"a token":    {response(200, "application/json", `{"access_token":"before"}`), "before", 0},
		"a refusal":  {response(403, "application/problem+json", `{"type":"`+ProblemBase+`locked"}`), "locked", 0},
		"broken off": {"HTTP/1.1 200", "anew", 1},
		"nothing":    {"", "anew", 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			agent := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				asked++
				_, _ = io.WriteString(w, `{"access_token":"anew"}`)
			})
			agent.TakeOver("/v1/profiles/prod/token", io.NopCloser(strings.NewReader(c.answer)))
			got := func() string {
				token, err := agent.Token(t.Context(), "prod", AnyLifetime)
				if problem, ok := errors.AsType[*Problem](err); ok {
					return problem.Kind()
				} else if err != nil {
					t.Fatal(err)
				}
				return token.AccessToken.Reveal()
			}
			if first := got(); first != c.want || asked != c.asked {
				t.Errorf("%q after %d requests, want %q after %d", first, asked, c.want, c.asked)
			}
			if second := got(); second != "anew" {
				t.Errorf("then %q, want another answer", second)
			}
		})
	}
}

// TestTakeOverEndsWithTheCaller does not hold a caller who gives up.
func TestTakeOverEndsWithTheCaller(t *testing.T) {
	agent := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the agent was asked anew") })
	near, far := net.Pipe()
	defer far.Close()
	agent.TakeOver("/v1/profiles/prod/token", near)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := agent.Token(ctx, "prod", AnyLifetime); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the caller's end", err)
	}
}
