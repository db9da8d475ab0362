package keys

import (
	"iter"
	"log/slog"
	"path/filepath"
	"testing"

	"langkeep/agent/clock"
)

// many are the sessions of an agent with many profiles.
type many struct {
	Sessions
	t     *testing.T
	asked []string
}

func (s *many) Accounts() iter.Seq[Account] {
	s.t.Error("every session is looked at")
	return func(func(Account) bool) {}
}

func (s *many) Account(profile string) (Account, bool) {
	s.asked = append(s.asked, profile)
	return Account{Profile: profile}, true
}

func (s *many) Changed(string) {}

// Each renewal of a session makes Sweep look again, so with a thousand of them it must
// look only at those that have keys left.
func TestSweepLooksAtFew(t *testing.T) {
	sessions := &many{t: t}
	m := New(Config{
		Sessions: sessions, Journal: OpenJournal(filepath.Join(t.TempDir(), "keys.json")), Clock: clock.System(),
		Log: slog.New(slog.DiscardHandler),
	})
	m.set("idle", func(*held) {})
	m.set("prod", func(h *held) { h.left = 1 })
	if wait := m.sweep(t.Context()); wait != 0 {
		t.Errorf("the next sweep is in %v", wait)
	}
	if len(sessions.asked) != 1 || sessions.asked[0] != "prod" || m.Status("prod").Left != 0 {
		t.Errorf("asked for %q, %+v", sessions.asked, m.Status("prod"))
	}
}
