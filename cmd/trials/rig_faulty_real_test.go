//go:build real && linux

package trials

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"langkeep/assets/casebook"
	"langkeep/localapi/client"
)

// faultyPerson is one to whom faults happen, and what came of them.
type faultyPerson struct {
	*person
	rows   [][]string
	byHand int // sign-ins since the last fault
}

// faultsOf has faults happen to a new person, and compares the document with what
// came of them.
func faultsOf(t *testing.T, happen func(*faultyPerson)) {
	f := &faultyPerson{person: newComputer(t).person(t, "f")}
	f.runAgent()
	happen(f)
	f.must(exitDone, "remove", "--all", "--no-start")
	f.must(exitDone, "stop")
	if !t.Failed() {
		casebook.Table(t, "docs/faults.md", t.Name()+" in cmd/trials",
			[]string{"what goes wrong", "state, reason", "`langkeep token` ends with", "what is lost", "when it heals"}, f.rows)
	}
}

// comesTo waits until a profile is in a state, for a reason, and has a row say
// so. Then `langkeep token` must end with what goes with that.
func (f *faultyPerson) comesTo(what, profile string, state client.State, reason string, code int) {
	f.t.Helper()
	f.eventually(time.Minute, profile+" is "+string(state)+" "+reason, func() bool {
		f.do("token", profile, "--no-start") // which has it look
		s := f.profile(profile)
		return s.State == state && (s.Reason == nil && reason == "" || s.Reason != nil && *s.Reason == reason)
	})
	f.must(code, "token", profile, "--no-start")
	f.rows = append(f.rows, []string{what, strings.TrimSpace("`" + string(state) + "` " + reason), strconv.Itoa(code), "nothing", "nothing to heal"})
	f.byHand = 0
}

// heals waits until a profile has its token again, and completes the row.
func (f *faultyPerson) heals(profile, server, how string, limit time.Duration) {
	f.t.Helper()
	took := f.eventually(limit, profile+" is well again", func() bool { return f.do("token", profile, "--no-start").code == exitDone })
	f.say(f.t, "%s: well again after %v", profile, took.Round(10*time.Millisecond))
	if state := f.profile(profile).State; state != client.Fresh {
		f.t.Errorf("%s is %s", profile, state)
	}
	if server != "" {
		f.accepted(profile, server)
	}
	row := f.rows[len(f.rows)-1]
	row[4] = how
	if f.byHand > 0 {
		row[3] = "the session"
	}
}

// whereAsked is when something asks for a token; a slow computer is forgiven.
const whereAsked, forgiven = "in 5 s where something asks", 20 * time.Second
