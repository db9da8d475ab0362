package localapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/asks"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// sealedPage is a control page without a browser.
type sealedPage struct {
	*rig
	token string
}

// asks sends a sealed request, and returns the status and the body of its answer.
func (p sealedPage) asks(method, path, body string) (int, string) {
	p.t.Helper()
	text, err := json.Marshal(map[string]any{"method": method, "path": path, "body": json.RawMessage(orEmpty(body))})
	if err != nil {
		p.t.Fatal(err)
	}
	status, _, answer := p.ask("", "POST", "/v1/page/sealed", sealedBody(p.t, p.token, string(text)), "Origin", p.url)
	if status != http.StatusOK {
		p.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	pieces, _ := unsealedAnswer(p.t, p.token, []byte(answer))
	var head struct{ Status int }
	if err := json.Unmarshal([]byte(pieces[0]), &head); err != nil {
		p.t.Fatal(err)
	}
	return head.Status, strings.Join(pieces[1:], "")
}

func orEmpty(body string) string {
	if body == "" {
		return "{}"
	}
	return body
}

// wants is asks with the kind of problem that is wanted, or "" for none.
func (p sealedPage) wants(kind, method, path, body string) string {
	p.t.Helper()
	status, answer := p.asks(method, path, body)
	if got := strings.Contains(answer, client.ProblemBase); got != (kind != "") || got && !strings.Contains(answer, client.ProblemBase+kind+`"`) || !got && status >= 300 {
		p.t.Errorf("%s %s is answered %d %s, want %q", method, path, status, answer, kind)
	}
	return answer
}

// screen is the person's.
type screen struct {
	mu   sync.Mutex
	code secret.Text // empty: none
}

func (s *screen) ShowCode(c guard.ShownCode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.code = c.Code
	return nil
}

func (s *screen) HideCode() { _ = s.ShowCode(guard.ShownCode{}) }

func (s *screen) shows() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.code.Reveal()
}

// question has a program ask for a token, as long as the test runs.
func (r *rig) question() asks.Question {
	r.t.Helper()
	known := r.server.Asks.Open()
	ctx, cancel := context.WithCancel(r.t.Context())
	r.t.Cleanup(cancel)
	go func() {
		_ = r.server.Asks.Ask(ctx, asks.Request{Mode: asks.ModeAlways, Wish: asks.Wish{
			Program: asks.Program{Exe: fmt.Sprintf("/usr/bin/curl%d", len(known)), Session: "x"}, Profile: "prod", Want: asks.Token}})
	}()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if all := r.server.Asks.Open(); len(all) > len(known) {
			return all[len(all)-1]
		}
	}
	r.t.Fatal("there is no question")
	return asks.Question{}
}

// A page that anybody can open shows the questions, and answers them once the person has
// confirmed it.
func TestConfirmedPage(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.askFirst("new")
	person := &screen{}
	page := sealedPage{r, r.pageToken()}

	// Without a desktop.
	if advice := r.advice(); !strings.Contains(advice, "allowed.json") {
		t.Errorf("the page says %q", advice)
	}
	if answer := page.wants(client.TypeNotSupported, "POST", "/v1/page/confirm/code", ""); !strings.Contains(answer, "allowed.json") {
		t.Errorf("it does not say how to answer: %s", answer)
	}
	r.pages.SetScreen(person)
	if advice := r.advice(); advice != "" {
		t.Errorf("with a desktop the page says %q", advice)
	}
	_, leave := r.server.Asks.Attend()
	defer leave()
	q := r.question()
	said := page.wants("", "GET", "/v1/asks", "")
	for _, part := range []string{"curl0 wants an access token for prod.", `{"answer":"once","label":"Allow once"}`, `{"answer":"session","label":"Allow in this session"}`} {
		if !strings.Contains(said, part) {
			t.Errorf("the question is %s, without %s", said, part)
		}
	}
	answers := []string{"once", "session", "always"}
	for _, a := range answers {
		page.wants(client.TypeNotAllowedYet, "POST", "/v1/asks/"+q.ID, `{"answer":"`+a+`"}`)
	}
	page.wants(client.TypeNotAllowedYet, "POST", "/v1/clients", `{"name":"later","profiles":["prod"],"scopes":["manage"]}`)
	if left := r.server.Asks.Open(); len(left) != 1 || left[0].Proposed != "" {
		t.Errorf("a page has proposed something: %+v", left)
	}

	// Everybody but the page is sent away.
	for _, route := range []string{"/v1/page/confirm/code", "/v1/page/confirm"} {
		r.refused(client.TypeNotSupported, "owner", "POST", route, `{"code":"123456"}`)
		r.refused(client.TypeForbidden, "manage", "POST", route, `{"code":"123456"}`)
	}
	page.wants(client.TypeConflict, "POST", "/v1/page/confirm", `{"code":"123456"}`)
	made := page.wants("", "POST", "/v1/page/confirm/code", "")
	code := person.shows()
	if made != `{"expires_in":120}`+"\n" || len(code) != 6 {
		t.Fatalf("%s, and the person sees %q", made, code)
	}
	page.wants(client.TypeForbidden, "POST", "/v1/page/confirm", `{"code":""}`)
	page.wants(client.TypeBadRequest, "POST", "/v1/page/confirm", `{"kode":"1"}`)
	sealedPage{r, r.pageToken()}.wants(client.TypeConflict, "POST", "/v1/page/confirm", `{"code":"`+code+`"}`)
	var given struct{ Token string }
	if err := json.Unmarshal([]byte(page.wants("", "POST", "/v1/page/confirm", `{"code":"`+code+`"}`)), &given); err != nil {
		t.Fatal(err)
	}
	if person.shows() != "" {
		t.Error("the code stays on the screen")
	}
	confirmed := sealedPage{r, given.Token}
	page.wants(client.TypeNotAllowedYet, "POST", "/v1/asks/"+q.ID, `{"answer":"once"}`)
	confirmed.wants("", "POST", "/v1/asks/"+q.ID, `{"answer":"session"}`)
	// It grants what it has not got itself, but no more than there is, and gets no lease.
	page.wants(client.TypeForbidden, "POST", "/v1/clients", `{"name":"later","profiles":["prod"],"scopes":["token"]}`)
	made = confirmed.wants("", "POST", "/v1/clients", `{"name":"later","profiles":["prod"],"scopes":["manage","token"],"expires_in":60}`)
	var added struct{ Token string }
	if err := json.Unmarshal([]byte(made), &added); err != nil {
		t.Fatal(err)
	}
	if status, _, body := r.ask(added.Token, "GET", "/v1/profiles/prod/token", ""); status != http.StatusOK {
		t.Errorf("its client gets %d %s", status, body)
	}
	if told := <-r.server.Added(); told.Name != "later" {
		t.Errorf("the person is told of %+v", told)
	}
	confirmed.wants(client.TypeForbidden, "POST", "/v1/leases", `{"profile":"prod","scopes":["read"],"for":"exec"}`)
	confirmed.wants(client.TypeBadRequest, "POST", "/v1/clients", `{"name":"more","profiles":["prod"],"scopes":["owner"]}`)
	if left := r.server.Asks.Open(); len(left) != 0 {
		t.Errorf("left is %+v", left)
	}
	confirmed.wants(client.TypeForbidden, "GET", "/v1/profiles/prod/token", "")

	// No answer to a program has the code.
	_, _, status := r.ask("owner", "GET", "/v1/status", "")
	_, _, asked := r.ask("owner", "GET", "/v1/asks", "")
	_, _, audited := r.ask("owner", "GET", "/v1/audit", "")
	if all := status + asked + audited + made; strings.Contains(all, code) {
		t.Error("the code can be read")
	}
}

// advice is what the page says on how to answer.
func (r *rig) advice() string {
	recorder := httptest.NewRecorder()
	r.server.putAsks(&eventWriter{w: recorder, sent: map[string][]byte{}}, false)
	_, data, _ := strings.Cut(recorder.Body.String(), "data: ")
	var page client.PageAsks
	if err := json.Unmarshal([]byte(data), &page); err != nil {
		r.t.Fatal(err)
	}
	if page.Advice == nil {
		return ""
	}
	return *page.Advice
}

// A no is taken back by a confirmed page alone: else a program that was denied would have
// itself asked about again.
func TestOnlyThePersonTakesBackANo(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.pages.SetScreen(&screen{})
	_, leave := r.server.Asks.Attend()
	defer leave()
	for _, a := range []asks.Answer{asks.AlwaysAllow, asks.Deny} {
		if err := r.server.Asks.Answer(r.question().ID, a); err != nil {
			t.Fatal(err)
		}
	}
	remembered := func() (all []string) {
		t.Helper()
		answers, err := r.server.Asks.Remembered()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			all = append(all, string(a.Answer))
		}
		return all
	}
	// The second program has the first one's name, since there was no question left.
	if got := remembered(); !slices.Equal(got, []string{"always", "deny"}) {
		t.Fatalf("it is remembered %v", got)
	}
	page := sealedPage{r, r.pageToken()}
	r.must(204, "DELETE", "/v1/asks", "")
	page.wants("", "DELETE", "/v1/asks", "")
	if got := remembered(); !slices.Equal(got, []string{"deny"}) {
		t.Errorf("left is %v", got)
	}
	confirmed := r.confirmedPage()
	confirmed.wants("", "DELETE", "/v1/asks?program=/usr/bin/curl0", "")
	if got := remembered(); len(got) != 0 {
		t.Errorf("left is %v", got)
	}
}

// confirmedPage is one that the person has confirmed.
func (r *rig) confirmedPage() sealedPage {
	r.t.Helper()
	person := &screen{}
	r.pages.SetScreen(person)
	page := sealedPage{r, r.pageToken()}
	page.wants("", "POST", "/v1/page/confirm/code", "")
	var given struct{ Token string }
	if err := json.Unmarshal([]byte(page.wants("", "POST", "/v1/page/confirm", `{"code":"`+person.shows()+`"}`)), &given); err != nil {
		r.t.Fatal(err)
	}
	return sealedPage{r, given.Token}
}

// Questions wait for a confirmed page that is open, and for no other.
func TestPageAttends(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.askFirst("always")
	open := func(token string) (next func() string, end func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", r.url+"/v1/page/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		next = stream(res.Body)
		for e := ""; e != "ready {}"; {
			if e = next(); e == "" {
				t.Fatal("the stream ends")
			}
		}
		return next, func() { cancel(); _ = res.Body.Close() }
	}
	_, end := open(r.pageToken())
	defer end()
	r.refused(client.TypeNotAllowedYet, "owner", "GET", "/v1/profiles/prod/token", "")
	if r.server.PageAnswers() {
		t.Error("a page that nobody has confirmed answers")
	}
	page := r.confirmedPage()
	next, end := open(page.token)
	got := make(chan int, 1)
	go func() {
		status, _, _ := r.ask("owner", "GET", "/v1/profiles/prod/token", "")
		got <- status
	}()
	for asking := (client.PageAsks{}); ; {
		kind, data, _ := strings.Cut(next(), " ")
		if kind == "" {
			t.Fatal("the question is not on the page")
		}
		if kind != "asking" {
			continue
		}
		if err := json.Unmarshal([]byte(data), &asking); err != nil || !asking.Confirmed {
			t.Fatalf("%v: %s", err, data)
		}
		if len(asking.Asks.Asks) == 1 {
			page.wants("", "POST", "/v1/asks/"+asking.Asks.Asks[0].ID, `{"answer":"once"}`)
			break
		}
	}
	if status := <-got; status != 200 {
		t.Errorf("the program gets %d", status)
	}
	if !r.server.PageAnswers() {
		t.Error("the page does not count")
	}
	end()
	for began := time.Now(); r.server.PageAnswers(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatal("a page that is closed answers")
		}
	}
	r.refused(client.TypeNotAllowedYet, "owner", "GET", "/v1/profiles/prod/token", "")
}
