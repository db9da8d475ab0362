package guard

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The limits of a request.
const (
	headerTimeout = 5 * time.Second
	headerBytes   = 32 << 10 // browsers send a host's cookies of every port
	bodyTimeout   = 10 * time.Second
	refusedTime   = 2 * time.Second // for the rest of a refused request
	drainBytes    = 1 << 20         // of that rest, read before the answer
	bodyBytes     = 1 << 20
	idleTimeout   = 2 * time.Minute
	// writeTimeout, from the end of the headers to the end of the answer, is
	// longer than a sign-in with a keychain's prompt in it.
	writeTimeout = 5 * time.Minute
)

// ServerConfig is what a server is made from.
type ServerConfig struct {
	Handler http.Handler
	Log     *slog.Logger
	// Streams is for a proxy: it limits only the headers of requests, and leaves the
	// headers of answers alone.
	Streams bool
}

// NewServer makes a server for the listeners of this package. It speaks
// HTTP/1.1 alone. A handler whose answer goes on for long moves its own write
// deadline with http.ResponseController.
func NewServer(c ServerConfig) *http.Server {
	s := &http.Server{
		Handler:           c.Handler,
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    headerBytes,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
		Protocols:         new(http.Protocols),
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			if c, ok := nc.(*conn); ok {
				ctx, c.leave = context.WithCancel(ctx)
			}
			return context.WithValue(ctx, connKey{}, nc)
		},
		ConnState: func(nc net.Conn, s http.ConnState) {
			if c, ok := nc.(*conn); ok && s == http.StateIdle {
				c.rest()
			}
		},
		// Without this, OPTIONS * is answered before the guard sees it.
		DisableGeneralOptionsHandler: true,
	}
	s.Protocols.SetHTTP1(true)
	if !c.Streams {
		// For what net/http answers itself; limited has its own for all else. It is the
		// headers' time-out: for any other, net/http would set the deadline once more.
		s.ReadTimeout = headerTimeout
		s.WriteTimeout = writeTimeout
		s.Handler = Limited(c.Handler)
	}
	s.Handler = attended(s.Handler)
	return s
}

// Limited bounds the bodies of requests and hardens the answers, as NewServer does for
// all requests of a server that does not stream.
func Limited(h http.Handler) http.Handler { return limited(h, bodyTimeout) }

func limited(h http.Handler, within time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		harden(w.Header())
		if r.ContentLength == 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // no limit, as at the end of a body
		} else {
			control := http.NewResponseController(w)
			_ = control.SetReadDeadline(time.Now().Add(within)) // fails only on a closed connection
			bounded := *r
			bounded.Body = &body{http.MaxBytesReader(w, r.Body, bodyBytes), control}
			r = &bounded
		}
		h.ServeHTTP(w, r)
	})
}

// body removes the read deadline at its end: net/http reads on to notice a client that
// leaves, and would take the deadline for that.
type body struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{}) // fails only on a closed connection
	}
	return n, err
}

// harden sets the headers of every answer.
func harden(h http.Header) {
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
}

// Made once, as every answer carries them. They are never changed: Header.Add
// copies them, since they have no room to grow.
var (
	noStore = []string{"no-store"}
	noSniff = []string{"nosniff"}
)
