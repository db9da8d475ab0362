// Package audit is what a line of the audit log says. It is apart from the
// writer, so that a program that reads entries through the local API does not
// have the writer in it.
package audit

import (
	"encoding/json"
	"time"
)

// Text is null in JSON if it is empty.
type Text string

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// Process is a program that asked; null in JSON if it is not known.
type Process struct {
	PID int
	Exe Text // the path of its file
}

type processJSON struct {
	PID int  `json:"pid"`
	Exe Text `json:"exe"`
}

// MarshalJSON implements json.Marshaler.
func (p Process) MarshalJSON() ([]byte, error) {
	if p.PID == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(processJSON(p))
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Process) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, (*processJSON)(p)) }

// Use is what is one and the same if it is repeated: by the same program, which
// may be another process each time.
type Use struct {
	Client  Text    `json:"client"` // its name, "owner" or "page"; null: not known
	Profile Text    `json:"profile"`
	What    string  `json:"what"`    // a method and a route
	Refused Text    `json:"refused"` // the kind of problem; null: it was let through
	Process Process `json:"process"`
}

// Entry is a line of the log.
type Entry struct {
	Schema int       `json:"schema"`
	N      int64     `json:"n"` // one more than the line before has
	At     time.Time `json:"at"`
	Use
	Count int `json:"count"` // how often, since the line before of the same use
}
