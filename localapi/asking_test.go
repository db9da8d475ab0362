package localapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/asks"
	"langkeep/agent/config"
	"langkeep/localapi/client"
)

// askFirst has a rig's profile ask before it hands something out. The tests' own program
// is the asking one: who runs it is told on Linux alone.
func (r *rig) askFirst(mode string) {
	r.t.Helper()
	if _, err := r.agent.Change(r.t.Context(), "prod", func(p *config.Profile) { p.Ask = mode }); err != nil {
		r.t.Fatal(err)
	}
}

// answering answers each question in turn, as a person on a desktop does.
func (r *rig) answering(answers ...asks.Answer) (asked func() []asks.Question) {
	r.t.Helper()
	changes, leave := r.server.Asks.Attend()
	r.t.Cleanup(leave)
	var all []asks.Question
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, a := range answers {
			for len(r.server.Asks.Open()) == 0 {
				<-changes
			}
			q := r.server.Asks.Open()[0]
			all = append(all, q)
			if err := r.server.Asks.Answer(q.ID, a); err != nil {
				r.t.Error(err)
			}
		}
	}()
	return func() []asks.Question { <-done; return all }
}

func TestAskBeforeEachCredential(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`)
	held := r.newClient("tool", "token", "read")
	r.askFirst("always")
	gives := []struct {
		method, path, body string
		want               asks.Want
		status             int
	}{
		{"GET", "/v1/profiles/prod/token", "", asks.Token, 200},
		{"GET", "/v1/profiles/prod/api-key", "", asks.Key, 200},
		{"POST", "/v1/clients", `{"name":"later%d","profiles":["prod"],"scopes":["token"]}`, asks.Client, 201},
	}
	// Nobody can be asked.
	for _, c := range gives {
		p := r.refused(client.TypeNotAllowedYet, "owner", c.method, c.path, strings.ReplaceAll(c.body, "%d", ""))
		if p.Status != http.StatusForbidden || !strings.Contains(p.Detail, `profile "prod": nobody has allowed `) {
			t.Errorf("%s: %+v", c.path, p)
		}
	}
	r.refused(client.TypeNotAllowedYet, "owner", "POST", "/v1/leases", `{"profile":"prod","scopes":["run"],"for":"exec"}`)
	// A client that the owner has made is not asked about.
	if status, _, body := r.ask(held, "GET", "/v1/profiles/prod/token", ""); status != 200 {
		t.Error("a client:", status, body)
	}
	for i, c := range gives {
		asked := r.answering(asks.Once, asks.AlwaysDeny)
		r.must(c.status, c.method, c.path, strings.ReplaceAll(c.body, "%d", fmt.Sprint(i)))
		r.refused(client.TypeNotAllowedYet, "owner", c.method, c.path, strings.ReplaceAll(c.body, "%d", ""))
		for _, q := range asked() {
			if q.Want != c.want || q.Profile != "prod" {
				t.Errorf("%s asks for %s", c.path, q.Want)
			}
		}
		if _, err := r.server.Asks.Forget("", true); err != nil {
			t.Error(err)
		}
	}
	asked := r.answering(asks.Once)
	_, _, end := r.takeLease("owner", "/v1/leases", `{"profile":"prod","scopes":["run"],"for":"exec"}`)
	end()
	if q := asked(); q[0].Want != asks.Lease {
		t.Error(q)
	}
	// While Langkeep is locked the answer is no, without a question.
	if err := r.agent.SetLocked(agent.Screen, true); err != nil {
		t.Error(err)
	}
	for _, c := range gives {
		r.refused(client.TypeLocked, "owner", c.method, c.path, strings.ReplaceAll(c.body, "%d", "-locked"))
	}
	if err := r.agent.SetLocked(agent.Screen, false); err != nil {
		t.Error(err)
	}
	// Nobody is asked about a route that hands nothing out, or about another profile.
	r.must(200, "GET", "/v1/status", "")
	r.must(200, "POST", "/v1/profiles/prod/refresh", "")
	r.askFirst("never")
	r.must(200, "GET", "/v1/profiles/prod/token", "")
	r.refused(client.TypeNotFound, "owner", "GET", "/v1/profiles/absent/token", "")
	if err := os.WriteFile(r.config, []byte("schema = 1\nask = \"always\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.askFirst("")
	r.answering(asks.Deny)
	r.refused(client.TypeNotAllowedYet, "owner", "GET", "/v1/profiles/prod/token", "")
}

// The audit log has each answer, wherever the person gave it.
func TestAnswersAreNoted(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.askFirst("always")
	asked := r.answering(asks.Once, asks.Deny)
	r.must(200, "GET", "/v1/profiles/prod/token", "")
	r.refused(client.TypeNotAllowedYet, "owner", "GET", "/v1/profiles/prod/api-key", "")
	program := asked()[0].Program
	want := []string{"answer: once, token", "answer: deny, key"}
	var got []string
	for start := time.Now(); len(got) < len(want); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatalf("the log has %q", got)
		}
		got = nil
		for _, e := range r.server.Audit.Entries(0) {
			if !strings.HasPrefix(e.What, "answer: ") {
				continue
			}
			got = append(got, e.What)
			if e.Client != "owner" || e.Profile != "prod" || string(e.About) != strings.TrimSpace(program.Exe+" "+program.Script) || e.Process.PID != 0 {
				t.Errorf("%+v", e)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the log has %q", got)
	}
}

// A command's answer waits for the person's, and a no does not.
func TestAnswerByCommand(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.askFirst("always")
	changes, leave := r.server.Asks.Attend()
	defer leave()
	var asking sync.WaitGroup
	question := func() string {
		t.Helper()
		asking.Go(func() { _, _, _ = r.ask("owner", "GET", "/v1/profiles/prod/token", "") })
		for {
			var all client.Asks
			if err := json.Unmarshal([]byte(r.must(200, "GET", "/v1/asks", "")), &all); err != nil {
				t.Fatal(err)
			}
			if len(all.Asks) == 1 {
				if all.Asks[0].Words == "" || all.Asks[0].Profile != "prod" {
					t.Errorf("%+v", all.Asks[0])
				}
				return all.Asks[0].ID
			}
			<-changes
		}
	}
	id := question()
	answered := make(chan int, 1)
	go func() {
		status, _, _ := r.ask("owner", "POST", "/v1/asks/"+id, `{"answer":"always"}`)
		answered <- status
	}()
	for r.server.Asks.Open()[0].Proposed == "" {
		<-changes
	}
	select {
	case status := <-answered:
		t.Errorf("it is answered %d without the person", status)
	case <-time.After(20 * time.Millisecond):
	}
	if err := r.server.Asks.Answer(id, asks.Once); err != nil {
		t.Error(err)
	}
	if status := <-answered; status != 204 {
		t.Errorf("confirmed, it is %d", status)
	}
	r.must(204, "POST", "/v1/asks/"+question(), `{"answer":"deny"}`)
	r.refused(client.TypeNotFound, "owner", "POST", "/v1/asks/nonsense", `{"answer":"once"}`)
	r.refused(client.TypeBadRequest, "owner", "POST", "/v1/asks/1", `{"answer":"perhaps"}`)
	for _, token := range []string{"token", "manage", "proxy"} {
		r.refused(client.TypeForbidden, token, "POST", "/v1/asks/1", `{"answer":"once"}`)
		r.refused(client.TypeForbidden, token, "GET", "/v1/asks", "")
	}
	r.must(204, "DELETE", "/v1/asks", "")
	r.refused(client.TypeNotFound, "owner", "DELETE", "/v1/asks?program=/usr/bin/crul", "")
	asking.Wait()
}
