package agent

import (
	"errors"
	"testing"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/keys"
	"langkeep/agent/langflow"
)

// A snapshot gives the one reason that matters most: a final refusal, then a store that
// can't be read, then an outage, then a write that failed.
func TestSnapshotsReason(t *testing.T) {
	outage := &langflow.Error{Kind: langflow.Gateway, Gateway: "iap", Detail: "302"}
	for name, tt := range map[string]struct {
		change                  func(m *machine)
		reason, detail, gateway string
	}{
		"nothing wrong": {func(*machine) {}, "", "", ""},
		"refused for good, during an outage": {func(m *machine) {
			m.refused.reason, m.refused.detail, m.refused.gateway = "session-ended", "Signature has expired", ""
			m.outage.err = outage
		}, "session-ended", "Signature has expired", ""},
		"an outage": {func(m *machine) { m.outage.err = outage }, "gateway", "302", "iap"},
		"an outage, and a write that failed": {func(m *machine) {
			m.outage.err, m.saveErr = outage, keychain.ErrLocked
		}, "gateway", "302", "iap"},
		"a write that failed":        {func(m *machine) { m.saveErr = keychain.ErrTooBig }, "too-big", "", ""},
		"a store with another fault": {func(m *machine) { m.saveErr = errors.New("no space left") }, "failing", "no space left", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var m machine
			tt.change(&m)
			s := m.snapshot(keys.Status{}, moment{wall: time.Unix(0, 0)})
			if s.Reason != tt.reason || s.Detail != tt.detail || s.Gateway != tt.gateway {
				t.Errorf("the reason is %q, %q, %q", s.Reason, s.Detail, s.Gateway)
			}
		})
	}
}
