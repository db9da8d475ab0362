// Package audit has the types of a line of the audit log. The writer is a package of
// its own, so that a program that reads entries over the local API need not contain it.
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

// Process is the program behind a request; null in JSON if unknown.
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

// Use has the fields that repeats of a request share. The process is not among them: a
// program may be another process each time.
type Use struct {
	Client  Text    `json:"client"` // its name, "owner" or "page"; null: unknown
	Profile Text    `json:"profile"`
	What    string  `json:"what"`    // a method and a route
	Refused Text    `json:"refused"` // the kind of problem; null: the request was admitted
	Process Process `json:"process"`
	Failed  Text    `json:"failed,omitempty"` // the kind of problem of a request that was admitted in vain
	About   Text    `json:"about,omitempty"`  // the name of the app or tool that was added, revoked, connected or disconnected
}

// Entry is a line of the log.
type Entry struct {
	Schema int       `json:"schema"`
	N      int64     `json:"n"` // one more than in the line before
	At     time.Time `json:"at"`
	Use
	Count int `json:"count"` // requests since the line before of the same use
}
