package localapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"langkeep/agent/asks"
	"langkeep/assets/casebook"
)

// A program that runs as the person opens a control page, which anybody can, and uses it
// without a browser. The person sees the desktop.
func TestAttackConfirm(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.askFirst("new")
	person := &screen{}
	r.pages.SetScreen(person)
	_, leave := r.server.Asks.Attend()
	defer leave()
	page, own := sealedPage{r, r.pageToken()}, sealedPage{r, r.pageToken()} // the person's, and the program's
	q := r.question()
	show := func(p sealedPage) string {
		t.Helper()
		if status, body := p.asks("POST", "/v1/page/confirm/code", ""); status != http.StatusCreated {
			t.Fatalf("no code: %d %s", status, body)
		}
		return person.shows()
	}
	// of wants each status, and says it.
	of := func(status int, body string) string {
		if strings.Contains(body, `"token"`) {
			t.Errorf("it gets %s", body)
		}
		return fmt.Sprint(status)
	}
	types := func(p sealedPage, code string) string {
		t.Helper()
		return of(p.asks("POST", "/v1/page/confirm", `{"code":"`+code+`"}`))
	}
	wrong := func(code string) string {
		if code == "000000" {
			return "000001"
		}
		return "000000"
	}
	var rows [][]string
	trial := func(tried, want string, happened ...string) {
		t.Helper()
		for _, h := range happened {
			if first, _, _ := strings.Cut(want, ":"); h != first {
				t.Errorf("%s: %s, want %s", tried, h, first)
			}
		}
		rows = append(rows, []string{tried, want})
	}
	var answers []string
	for _, a := range []string{"once", "session", "always"} {
		answers = append(answers, of(own.asks("POST", "/v1/asks/"+q.ID, `{"answer":"`+a+`"}`)))
	}
	trial("opens a control page as `langkeep open` does, and answers the question there", "403", answers...)
	var made []string
	for _, scope := range grantable {
		made = append(made, of(own.asks("POST", "/v1/clients", `{"name":"later","profiles":["prod"],"scopes":["`+string(scope)+`"]}`)))
	}
	trial("makes a client there, which would not be asked about, with any scope", "403", made...)
	ownerStatus, _, ownerBody := r.ask("owner", "POST", "/v1/page/confirm/code", "{}")
	trial("has a code shown with the owner's token", "409: only a control page can", of(ownerStatus, ownerBody))

	code := show(page)
	trial("reads the code that the person sees, over their shoulder, and types it into a page of its own", "409: it is good for their page alone", types(own, code))
	var seen []string
	for _, path := range []string{"/v1/status", "/v1/asks", "/v1/audit", "/v1/events/recent", "/v1/clients", "/v1/settings", "/metrics"} {
		_, _, body := r.ask("owner", "GET", path, "")
		_, sealed := own.asks("GET", path, "")
		seen = append(seen, body, sealed)
	}
	if strings.Contains(strings.Join(seen, " "), code) {
		t.Error("an answer has the code")
	}
	trial("looks for the code in the answers of the API", "it is in none")
	other := show(own)
	trial("has a code shown for its own page meanwhile", "409: the person's code is over, and the message on the screen names the program", types(page, code))
	code = show(page)
	trial("types its own code, which another one has followed", "409", types(own, other))
	status, body := page.asks("POST", "/v1/page/confirm", `{"code":"`+code+`"}`)
	var given struct{ Token string }
	if err := json.Unmarshal([]byte(body), &given); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	trial("takes the token that the browser keeps on the disk, of a page that the person has confirmed", "403: the token that speaks for them is in the page's memory alone",
		of(page.asks("POST", "/v1/asks/"+q.ID, `{"answer":"once"}`)))
	trial("makes a client with that token, with a scope that a page has not got", "403",
		of(page.asks("POST", "/v1/clients", `{"name":"later","profiles":["prod"],"scopes":["run"]}`)))
	confirmed := sealedPage{r, given.Token}
	trial("takes a lease with the token that speaks for the person, whose answer would not be sealed", "403",
		of(confirmed.asks("POST", "/v1/leases", `{"profile":"prod","scopes":["run"],"for":"exec"}`)))
	trial("gives a client more than any program can have, from a page that the person has confirmed", "400: there is no such scope",
		of(confirmed.asks("POST", "/v1/clients", `{"name":"later","profiles":["prod"],"scopes":["owner"]}`)))
	trial("gives a client no end, from there", "400: 366 days at most",
		of(confirmed.asks("POST", "/v1/clients", `{"name":"later","profiles":["prod"],"scopes":["run"],"expires_in":31708800}`)))
	status, body = confirmed.asks("POST", "/v1/clients", `{"name":"later","profiles":["prod"],"scopes":["run"]}`)
	if status != http.StatusCreated || !strings.Contains(body, `"token":"lk_`) {
		t.Errorf("the person's client: %d %s", status, body)
	}
	select {
	case told := <-r.server.Added():
		trial("has a person's own page add a client unseen, as a program that reaches into their browser could", "201: the desktop tells of it, and how to revoke it", fmt.Sprint(status))
		if told.Name != "later" {
			t.Errorf("it tells of %s", told.Name)
		}
	default:
		t.Error("nobody is told")
	}
	if status, body := confirmed.asks("POST", "/v1/asks/"+q.ID, `{"answer":"deny"}`); status != http.StatusNoContent {
		t.Errorf("the person's answer: %d %s", status, body)
	}

	status, _, _ = r.ask("owner", "DELETE", "/v1/asks", "")
	pageStatus, _ := own.asks("DELETE", "/v1/asks", "")
	if left, err := r.server.Asks.Remembered(); err != nil || len(left) != 1 || left[0].Answer != asks.Deny {
		t.Errorf("left is %+v, %v", left, err)
	}
	trial("takes back that it was denied, to ask again and again, with the owner's token and with a page", "204: what was allowed is taken back, and the no holds", fmt.Sprint(status), fmt.Sprint(pageStatus))

	code = show(own)
	guesses := []string{types(own, wrong(code)), types(own, wrong(code))}
	code = show(own) // which gives no further guess
	last := types(own, wrong(code))
	trial("has codes shown for its own page, and guesses", "403: 429 after three guesses, and for ten minutes for every page, with the right code too", guesses...)
	for _, got := range []string{last, types(own, code), of(own.asks("POST", "/v1/page/confirm/code", "")), of(page.asks("POST", "/v1/page/confirm/code", ""))} {
		if got != "429" {
			t.Errorf("after three guesses it is %s", got)
		}
	}
	casebook.Table(t, "docs/attacks.md", "TestAttackConfirm in localapi", []string{"what is tried", "what happens"}, rows)
}
