package localapi

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/history"
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
	l := recent{history: history.Open("", clock.System(), slog.New(slog.DiscardHandler))}
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

// A new profile whose first sign-ins fail is told as that, and not as added and removed.
func TestFailedFirstSignIns(t *testing.T) {
	r := newRig(t)
	for range 3 {
		r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
		r.must(403, "POST", "/v1/profiles/prod/login", `{"method":"password","username":"admin","password":"wrong"}`)
		r.must(200, "DELETE", "/v1/profiles/prod", "")
	}
	var all client.RecentEvents
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if err := json.Unmarshal([]byte(r.must(200, "GET", "/v1/events/recent", "")), &all); err != nil {
			t.Fatal(err)
		}
		if len(all.Events) == 1 && all.Events[0].Times == 3 {
			break
		}
	}
	if len(all.Events) != 1 || all.Events[0].Words != "The sign-in failed: That user name and password don't match." || all.Events[0].Times != 3 {
		t.Errorf("the events are %+v", all.Events)
	}
}

// Events outlive the agent, without refreshes, and are asked for by profile.
func TestEventsOutliveTheAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	open := func() *recent {
		l := &recent{history: history.Open(path, clock.System(), slog.New(slog.DiscardHandler))}
		l.load("")
		return l
	}
	l := open()
	l.note("prod", client.Fresh, "Signed in as ana.")
	l.note("prod", client.Fresh, refreshed)
	l.note("other", client.SignedOut, "Signed out.")
	l.note("prod", client.Stale, "")
	l.history.Close()
	l = open()
	defer l.history.Close()
	if got := l.seen(&guard.Caller{Owner: true}).Events; len(got) != 2 || got[0].Profile != "other" || got[1].Words != "Signed in as ana." {
		t.Errorf("after a restart there are %+v", got)
	}
	if got := l.of("prod").Events; len(got) != 1 || got[0].Words != "Signed in as ana." {
		t.Errorf("of prod there are %+v", got)
	}
	strip := l.strip("prod", time.Now().Add(time.Second))
	if n := len(strip); n == 0 || strip[n-1].Kind != "off" {
		t.Errorf("the strip is %+v", strip)
	}
	l.note("prod", client.SignInRequired, "")
	if strip := l.strip("prod", time.Now().Add(time.Second)); strip[len(strip)-1].Kind != "needed" {
		t.Errorf("after a change the strip is %+v", strip)
	}
}
