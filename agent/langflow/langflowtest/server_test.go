package langflowtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/langflow/langflowtest"
)

func get(ctx context.Context, transport http.RoundTripper, url string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// refused tells whether nobody listens there, which Windows has a number of its
// own for.
func refused(err error) bool {
	const windows = syscall.Errno(10061) // WSAECONNREFUSED
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, windows)
}

func TestStopAndStart(t *testing.T) {
	for name, start := range map[string]func() (*langflowtest.Server, http.RoundTripper){
		"on a socket": func() (*langflowtest.Server, http.RoundTripper) {
			return langflowtest.New(langflowtest.Options{RootPath: "/a"}), &http.Transport{}
		},
		"in process": func() (*langflowtest.Server, http.RoundTripper) {
			s := langflowtest.NewInProcess(langflowtest.Options{RootPath: "/a"})
			return s, s.RoundTripper()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, transport := start()
			defer s.Close()
			url := s.URL + "/api/v1/version"
			for range 3 {
				if status, _, err := get(t.Context(), transport, url); status != 200 || err != nil {
					t.Fatalf("running: %d, %v", status, err)
				}
				s.Stop()
				s.Stop()
				if _, _, err := get(t.Context(), transport, url); !refused(err) {
					t.Errorf("stopped: %v", err)
				}
				s.Start()
				s.Start()
			}
			var paths []string
			for _, r := range s.Requests() {
				paths = append(paths, r.Method+" "+r.Path)
			}
			if want := []string{"GET /version", "GET /version", "GET /version"}; !reflect.DeepEqual(paths, want) {
				t.Errorf("log %v, want %v", paths, want)
			}
		})
	}
}

func TestFaultsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := langflowtest.NewInProcess(langflowtest.Options{})
		defer s.Close()
		version := func(ctx context.Context) (int, string, error) {
			return get(ctx, s.RoundTripper(), s.URL+"/api/v1/version")
		}
		s.Fault("/login", langflowtest.Fault{Reset: true}) // of another path
		s.Fault("/version", langflowtest.Fault{Times: 2, Reset: true})
		s.Fault("", langflowtest.Fault{Times: 1, Delay: time.Hour})
		s.Fault("/version", langflowtest.Fault{Times: 1, Truncate: true})
		s.Fault("/version", langflowtest.HTML(502))

		for range 2 {
			if status, _, err := version(t.Context()); err == nil {
				t.Errorf("reset: %d", status)
			}
		}
		start := time.Now()
		if status, _, err := version(t.Context()); status != 200 || err != nil || time.Since(start) != time.Hour {
			t.Errorf("delayed: %d, %v after %v", status, err, time.Since(start))
		}
		if status, body, err := version(t.Context()); status != 200 || body == "" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("truncated: %d, %q, %v", status, body, err)
		}
		for range 3 {
			if status, _, err := version(t.Context()); status != 502 || err != nil {
				t.Errorf("for ever: %d, %v", status, err)
			}
		}
		s.ClearFaults()
		if status, _, err := version(t.Context()); status != 200 || err != nil {
			t.Errorf("cleared: %d, %v", status, err)
		}

		s.Fault("", langflowtest.Fault{Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := version(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hanging: %v", err)
		}
		time.AfterFunc(time.Minute, s.Stop)
		if _, _, err := version(t.Context()); err == nil {
			t.Error("hanging on a server that stops gives no error")
		}
		if n := s.Count("/version"); n != 10 {
			t.Errorf("counted %d requests, want 10", n)
		}
	})
}
