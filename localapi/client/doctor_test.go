package client

import "testing"

func TestDoctor(t *testing.T) {
	const reply = `{"checks":[{"check":"keychain","profile":null,"verdict":"warning","found":"It is full.","advice":"Empty it."}]}`
	for profile, want := range map[string]string{"": `POST /v1/doctor {}`, "prod": `POST /v1/doctor {"profile":"prod"}`} {
		sends(t, func(c *Client) error {
			report, err := c.Doctor(t.Context(), profile)
			if len(report.Checks) != 1 || report.Checks[0].Verdict != CheckWarning || report.Checks[0].Profile != nil || *report.Checks[0].Advice != "Empty it." {
				t.Errorf("got %+v", report)
			}
			return err
		}, want, reply)
	}
}
