package localapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"langkeep/agent"
	"langkeep/localapi/guard"
)

const (
	keepAlive    = 15 * time.Second // between two comments on a quiet stream
	writeTimeout = 30 * time.Second // for a client that does not read
)

// stream answers with Server-Sent Events until the reader, its token or the
// server goes. write gets the changes of profiles, first a snapshot of each, and
// is called that often without any too: ticked tells.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, every time.Duration, write func(changes []agent.Event, ticked bool) error) error {
	stopping := stopped(r.Context())
	changes := s.Agent.Subscribe()
	defer s.Agent.Unsubscribe(changes)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	for ticked := false; ; {
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // a failure shows in Flush
		if err := write(changes.Take(), ticked); err != nil {
			return err
		}
		if control.Flush() != nil {
			return nil // the client has left
		}
		ticked = false
		select {
		case <-changes.Ready():
		case <-ticker.C:
			ticked = true
		case <-r.Context().Done():
			return nil
		case <-stopping:
			return nil
		}
		if s.over(r) {
			return nil
		}
	}
}

// events streams a state for every profile, then each change.
func (s *Server) events(w http.ResponseWriter, r *http.Request, caller *guard.Caller, _ string) error {
	return s.stream(w, r, keepAlive, func(changes []agent.Event, ticked bool) error {
		for _, e := range changes {
			if !caller.Sees(e.Name) {
				continue
			}
			kind, data := "state", any(presentTo(caller, e.Snapshot))
			if e.Removed {
				kind, data = "removed", map[string]string{"name": e.Name}
			}
			body, err := json.Marshal(data)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, body)
		}
		if ticked {
			fmt.Fprint(w, ": still here\n\n")
		}
		return nil
	})
}
