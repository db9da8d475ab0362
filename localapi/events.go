package localapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"langkeep/localapi/guard"
)

const (
	keepAlive    = 15 * time.Second // between two comments on a quiet stream
	writeTimeout = 30 * time.Second // for a reader that does not read
)

// events streams changes as Server-Sent Events: first a state for every
// profile, then each change.
func (s *Server) events(w http.ResponseWriter, r *http.Request, caller *guard.Caller, _ string) error {
	stopping := stopped(r.Context())
	changes := s.Agent.Subscribe()
	defer s.Agent.Unsubscribe(changes)
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()

	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // a failure shows in Flush
		for _, e := range changes.Take() {
			if !caller.Sees(e.Name) {
				continue
			}
			kind, data := "state", any(Present(e.Snapshot))
			if e.Removed {
				kind, data = "removed", map[string]string{"name": e.Name}
			}
			body, err := json.Marshal(data)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, body)
		}
		if control.Flush() != nil {
			return nil // the reader has gone
		}
		select {
		case <-changes.Ready():
		case <-ticker.C:
			fmt.Fprint(w, ": still here\n\n")
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
