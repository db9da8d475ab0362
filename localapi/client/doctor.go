package client

import (
	"context"
	"net/http"
)

// Verdict is how a check of the doctor went.
type Verdict string

// The verdicts.
const (
	CheckOK      Verdict = "ok"
	CheckWarning Verdict = "warning" // something is missing, or could not be looked at
	CheckFailed  Verdict = "failed"
)

// DoctorRequest is the body of POST /v1/doctor.
type DoctorRequest struct {
	Profile string `json:"profile,omitempty"` // the profile whose server is checked too
}

// Report is the answer to a DoctorRequest. No secret is in it.
type Report struct {
	Checks []Check `json:"checks"`
}

// Check is one line of a Report.
type Check struct {
	Check   string  `json:"check"`
	Profile *string `json:"profile"` // null: the check is about no profile
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`  // a sentence: what is so
	Advice  *string `json:"advice"` // a sentence: what to do; null if nothing
}

// Doctor makes the agent check itself and, if profile is not empty, that profile's
// server. Only the owner may.
func (c *Client) Doctor(ctx context.Context, profile string) (Report, error) {
	return decode[Report](c.call(ctx, http.MethodPost, "/v1/doctor", DoctorRequest{Profile: profile}))
}
