package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
)

// serve answers on a free loopback port with the time-outs that the agent has.
func serve(h http.Handler, writeTimeout time.Duration) (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, WriteTimeout: writeTimeout,
		MaxHeaderBytes: 32 << 10, ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { _ = s.Serve(l) }() // until the process ends
	return l.Addr().String(), nil
}

// bareHandler answers every request with the same bytes: those of the answer
// that it is given.
func bareHandler(config []byte) (address string, err error) {
	var answer []byte
	if err := json.Unmarshal(config, &answer); err != nil {
		return "", err
	}
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(answer)))
	if _, err := r.ReadLine(); err != nil {
		return "", err
	}
	header, err := r.ReadMIMEHeader()
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(r.R)
	if err != nil {
		return "", err
	}
	delete(header, "Date") // which every server adds
	delete(header, "Content-Length")
	return serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for name, values := range header {
			h[name] = values
		}
		_, _ = w.Write(body) // fails only if the client has gone
	}), 5*time.Minute)
}

// bareProxy passes everything on to the server that it is given.
func bareProxy(config []byte) (address string, err error) {
	var to string
	if err := json.Unmarshal(config, &to); err != nil {
		return "", err
	}
	u, err := url.Parse(to)
	if err != nil {
		return "", err
	}
	transport, err := langflow.NewTransport(nil)
	if err != nil {
		return "", err
	}
	return serve(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
		Transport:     langflow.Streaming(transport),
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	}, 0)
}

// The paths of the stand-in that are the benchmark's own.
const (
	runPath    = "/api/v1/run/bench"
	eventsPath = "/api/v1/build/bench/events" // ?every=DURATION
)

// standIn is a stand-in for Langflow with tokens of a lifetime. A run costs it little,
// and its events say when it sent them.
func standIn(config []byte) (address string, err error) {
	var lifetime time.Duration
	if err := json.Unmarshal(config, &lifetime); err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/", langflowtest.NewInProcess(langflowtest.Options{AccessLifetime: lifetime}))
	result := []byte(`{"session_id":"bench","outputs":[{"inputs":{"input_value":"hello"},"outputs":[{"results":` +
		`{"message":{"text":"hello, said the flow, and that was all that it had to say for itself this time"}}}]}]}`)
	mux.HandleFunc("POST "+runPath, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a proxy that fails shows elsewhere
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = w.Write(result)
	})
	mux.Handle(mcpPath, mcpServer())
	mux.HandleFunc("GET "+eventsPath, func(w http.ResponseWriter, r *http.Request) {
		every, err := time.ParseDuration(r.FormValue("every"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		control := http.NewResponseController(w)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for control.Flush() == nil {
			select {
			case <-ticker.C:
				fmt.Fprintf(w, "event: token\ndata: %d\n\n", time.Now().UnixNano())
			case <-r.Context().Done():
				return
			}
		}
	})
	address, err = serve(mux, 0)
	return "http://" + address, err
}
