package localapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

func TestRecentEvents(t *testing.T) {
	r := newRig(t)
	// said waits for the newest event of a profile.
	said := func(profile, want string) client.RecentEvent {
		t.Helper()
		var last string
		for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
			var all client.RecentEvents
			last = r.must(200, "GET", "/v1/events/recent", "")
			if err := json.Unmarshal([]byte(last), &all); err != nil {
				t.Fatal(err)
			}
			if len(all.Events) > 0 && all.Events[0].Profile == profile && all.Events[0].Words == want {
				return all.Events[0]
			}
		}
		t.Fatalf("nobody said %q of %s: %s", want, profile, last)
		return client.RecentEvent{}
	}
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
	said("prod", "Added.")
	r.must(200, "POST", "/v1/profiles/prod/login", fmt.Sprintf(`{"method":"password","username":"admin","password":%q}`, langflowtest.Admin().Password))
	said("prod", "Signed in as admin.")
	if _, _, body := r.ask("read", "GET", "/v1/events/recent", ""); !strings.Contains(body, "prod") {
		t.Errorf("a client does not see its own: %s", body)
	}
	r.must(200, "POST", "/v1/profiles/prod/logout", "")
	if e := said("prod", "Signed out."); e.State != client.SignedOut || e.Times != 1 {
		t.Errorf("the event is %+v", e)
	}
	r.must(200, "DELETE", "/v1/profiles/prod", "")
	said("prod", "Removed.")
	r.must(201, "POST", "/v1/profiles", `{"name":"other","server_url":"https://x.test"}`)
	said("other", "Added.")
	if _, _, body := r.ask("read", "GET", "/v1/events/recent", ""); strings.Contains(body, "other") {
		t.Errorf("a client sees what is not its own: %s", body)
	}
}

func TestRecentIsBounded(t *testing.T) {
	var l recent
	for range 3 {
		l.note("a", client.Fresh, "Refreshed.")
		l.note("b", client.Fresh, "Refreshed.")
	}
	owner := &guard.Caller{Owner: true}
	if got := l.seen(owner).Events; len(got) != 2 || got[0].Profile != "b" || got[0].Times != 3 {
		t.Errorf("the same in a row: %+v", got)
	}
	l.note("a", client.SignedOut, "Signed out.")
	l.note("a", client.Fresh, "Refreshed.")
	if got := l.seen(owner).Events; len(got) != 4 || got[0].Times != 1 {
		t.Errorf("the same after another: %+v", got)
	}
	for i := range 2 * recentKept {
		l.note(fmt.Sprint(i), client.Fresh, "Added.")
	}
	if got := l.seen(owner).Events; len(got) != recentKept || got[0].Profile != fmt.Sprint(2*recentKept-1) {
		t.Errorf("%d events, the first of %s", len(got), got[0].Profile)
	}
}
