package langflowtest

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Fault is something that goes wrong. Its parts combine; the zero Fault does
// nothing.
type Fault struct {
	Times int // how many requests it spoils; 0: all, until ClearFaults

	Delay time.Duration // before anything else
	Hang  bool          // no answer until the caller gives up or the server stops
	Reset bool          // the connection breaks without an answer

	// Status, unless 0, is answered with Header and Body in place of
	// Langflow's own answer, as something before the server would.
	Status int
	Body   string
	// Header is set on whichever answer there is; a nil value removes one.
	Header http.Header

	Truncate bool // half of the body, then the connection breaks
	Giant    bool // a body of 100 MB
	Endless  bool // a body that goes on, a space a second
}

// HTML is an answer of a gateway or a captive portal.
func HTML(status int) Fault {
	return Fault{
		Status: status, Header: http.Header{"Content-Type": {"text/html"}},
		Body: "<!doctype html><title>" + http.StatusText(status) + "</title><h1>" + http.StatusText(status) + "</h1>",
	}
}

// JSON is a success, or an error, with a body of the test's choice.
func JSON(status int, body string) Fault {
	return Fault{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}

// Busy asks to come back: 429 or 503 with a Retry-After.
func Busy(status int, retryAfter string) Fault {
	f := JSON(status, `{"detail":"Too many requests. Please try again later."}`)
	f.Header.Set("Retry-After", retryAfter)
	return f
}

// Redirect leads to another address.
func Redirect(status int, location string) Fault {
	return Fault{Status: status, Header: http.Header{"Location": {location}}}
}

// Date replaces the Date of an answer that is otherwise right; "" removes it.
func Date(value string) Fault {
	if value == "" {
		return Fault{Header: http.Header{"Date": nil}}
	}
	return Fault{Header: http.Header{"Date": {value}}}
}

// fault is a Fault in place.
type fault struct {
	Fault
	path string
	left int
}

// Fault spoils requests of a path, such as /refresh ("" for every path). The
// first in place that has requests left is the one that acts.
func (s *Server) Fault(path string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &fault{Fault: f, path: path, left: f.Times})
}

// ClearFaults ends all of them.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

func (s *Server) takeFault(path string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.path != "" && f.path != path {
			continue
		}
		if f.left--; f.left == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return f.Fault
	}
	return Fault{}
}

// before acts ahead of the answer. It breaks the connection by panicking with
// http.ErrAbortHandler, as net/http wants it.
func (f Fault) before(ctx context.Context, stopped <-chan struct{}) {
	var wait <-chan time.Time
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		wait = t.C
	}
	if f.Hang || f.Delay > 0 {
		select {
		case <-wait:
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		case <-stopped:
			panic(http.ErrAbortHandler)
		}
	}
	if f.Reset {
		panic(http.ErrAbortHandler)
	}
}

// change turns the right answer into the faulty one.
func (f Fault) change(re *reply) {
	if f.Status != 0 {
		*re = reply{status: f.Status, body: []byte(f.Body)}
	}
	if re.header == nil {
		re.header = http.Header{}
	}
	for key, values := range f.Header {
		re.header[http.CanonicalHeaderKey(key)] = values
	}
}

// giant is the length of a Giant body, bytes.
const giant = 100_000_000

func (f Fault) write(w http.ResponseWriter, re reply) {
	for key, values := range re.header {
		w.Header()[key] = values
	}
	if f.Giant {
		w.WriteHeader(re.status)
		chunk := make([]byte, 64<<10)
		for i := range chunk {
			chunk[i] = ' ' // valid before JSON
		}
		for n := 0; n < giant; n += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	} else if f.Endless {
		w.WriteHeader(re.status)
		for {
			if _, err := w.Write([]byte(" ")); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
		}
	} else {
		w.Header().Set("Content-Length", strconv.Itoa(len(re.body)))
		w.WriteHeader(re.status)
	}
	if f.Truncate {
		_, _ = w.Write(re.body[:len(re.body)/2])
		if w, ok := w.(http.Flusher); ok {
			w.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(re.body)
}
