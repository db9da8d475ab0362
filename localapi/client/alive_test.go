package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wire stands in for the way to an agent.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

func over(w wire) *Client {
	return &Client{base: "http://langkeep", http: &http.Client{Transport: w}, close: func() {}, process: func() string { return " (process 7)" }}
}

// frozen is an agent that was stopped (SIGSTOP).
func frozen(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func said(body string) *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

func TestStuckAgentIsToldInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, err := over(frozen).Status(t.Context())
		if took := time.Since(begin); !errors.Is(err, ErrStuck) || took >= 9*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if want := "the agent does not answer (process 7): langkeep restart replaces it"; err == nil || err.Error() != want {
			t.Errorf("it says %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		_, _, err := over(frozen).Lease(t.Context(), NewLease{Profile: "prod"})
		if !errors.Is(err, ErrStuck) {
			t.Errorf("a lease: %v", err)
		}
	})
}

// An agent that answers other questions may take its time with this one.
func TestSlowAnswerIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32 // the last look may come as the answer does
		c := over(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == anybodysRoute {
				asked.Add(1)
				return said("<svg/>"), nil
			}
			select {
			case <-time.After(2 * time.Minute): // such as a person at a keychain's question
				return said(`{"version":"1"}`), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		status, err := c.Status(t.Context())
		if err != nil || status.Version != "1" || asked.Load() < 20 {
			t.Errorf("%+v, %v, asked %d times", status, err, asked.Load())
		}
	})
}

// A request that is given up is no agent's fault, and one that ends is not looked
// after any more.
func TestPulseEndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := over(frozen).Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := over(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == anybodysRoute {
				asked++
			}
			return said(`{"version":"1"}`), nil
		})
		if _, err := c.Status(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // of the bubble's
		if asked > 0 {
			t.Errorf("asked %d times after the answer", asked)
		}
	})
}
