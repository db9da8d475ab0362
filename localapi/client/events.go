package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	"langkeep/localapi/sse"
)

// Event is a change of a profile.
type Event struct {
	Profile Profile // as it is now; only its Name if it was removed
	Removed bool
}

// Events begins with an Event for every profile and goes on with each change.
// It ends with an error: ctx's, a Problem, one that wraps ErrNoAgent when the
// agent ends, or ErrStuck when it answers nothing any more.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		res, p, err := c.open(ctx, http.MethodGet, "/v1/events", nil)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer res.Body.Close()
		for e, err := range parseEvents(eventsBody{pulseBody{res.Body, p}}) {
			if err != nil {
				err = c.failure(p.ctx, brokenOff{err})
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// maxEvent bounds one event: a profile is under 2 KB.
const maxEvent = 1 << 20

// parseEvents reads server-sent events as the agent writes them. The names state
// and removed are Langkeep's; events of other names come from a newer agent and
// are skipped. The last value is an error.
func parseEvents(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for event, err := range sse.Read(r, maxEvent) {
			if err == io.EOF {
				err = errors.New("it ended the stream of events")
			}
			e := Event{Removed: event.Name == "removed"}
			if err == nil && event.Name != "state" && !e.Removed {
				continue
			}
			if err == nil && json.Unmarshal(event.Data, &e.Profile) != nil {
				err = fmt.Errorf("the event %s is not the JSON expected", event.Name)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
