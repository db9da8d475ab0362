package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestEvents(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/events" {
			t.Errorf("asked for %s", r.URL)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, ": hello\n\nevent: state\ndata: {\"name\":\"prod\",\ndata: \"state\":\"fresh\"}\n\n"+
			"event: later\ndata: what a newer agent says\n\nevent:removed\r\ndata:{\"name\":\"prod\"}\r\n\r\nid: 1\nevent: state\ndata: {\"name\":\"lost\"}\n")
	})
	var got []string
	for e, err := range c.Events(t.Context()) {
		if err != nil {
			if !errors.Is(err, ErrNoAgent) {
				t.Errorf("ended with %v", err)
			}
			got = append(got, "end")
			continue
		}
		got = append(got, fmt.Sprint(e.Profile.Name, " ", e.Profile.State, " ", e.Removed))
	}
	if want := "prod fresh false,prod  true,end"; strings.Join(got, ",") != want {
		t.Errorf("got %q, want %q", strings.Join(got, ","), want)
	}
}

func TestEventsEndWithTheContext(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "event: state\ndata: {\"name\":\"prod\"}\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range c.Events(ctx) {
		last = err
		cancel()
	}
	if last != context.Canceled {
		t.Errorf("ended with %v", last)
	}
	for range c.Events(t.Context()) {
		break // leaves the connection without a leak: the server's Close waits for it
	}
}

func TestEventsRefused(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(NewProblem(TypeUnauthorized, "no"))
	})
	for _, err := range c.Events(t.Context()) {
		var p *Problem
		if !errors.As(err, &p) || p.Kind() != TypeUnauthorized {
			t.Errorf("got %v", err)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("event: state\ndata: {\"name\":\"prod\"}\n\n")
	f.Add("data\n\n:\n\r\n")
	f.Fuzz(func(t *testing.T, stream string) {
		ends := 0
		for _, err := range parseEvents(strings.NewReader(stream)) {
			if err != nil {
				ends++
			}
		}
		if ends != 1 {
			t.Errorf("%d ends", ends)
		}
	})
}
