//go:build real && linux

package localapi_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/assets/casebook"
	"langkeep/localapi/proof"
)

// forger listens where an agent was that has been killed, and answers as somebody would
// who has read this program. It keeps everything that it was sent.
type forger struct {
	*httptest.Server
	mu   sync.Mutex // protects sent
	sent []string
}

// forge takes the address once it is free, and answers with the handler.
func forge(t *testing.T, address string, answer http.HandlerFunc) *forger {
	t.Helper()
	f := &forger{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		f.mu.Lock()
		f.sent = append(f.sent, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header, " ", string(body)))
		f.mu.Unlock()
		answer(w, r)
	}))
	_ = f.Listener.Close()
	for limit := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		l, err := net.Listen("tcp", address)
		if err == nil {
			f.Listener = l
			break
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
	f.Start()
	t.Cleanup(func() {
		f.CloseClientConnections() // a page that was fooled keeps one
		f.Close()
	})
	return f
}

// took is all that it was sent.
func (f *forger) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sent)
}

// forgedCard is an event of a page that shows what a forger wants to be typed.
const forgedCard = `event: card` + "\n" + `data: {"name":"prod","server_url":"https://forged.example","state":"sign-in-required","method":"password","username":"ana",` +
	`"short":"Forged.","long":"Forged: sign in again.","token_left":"–","session_left":"–","last_refresh":"–","server_version":null,"proxy_url":null,"share":null,"needs_you":true}` +
	"\n\nevent: ready\ndata: {}\n\n"

// plainly answers as the agent would if nothing were sealed.
func plainly(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/events"):
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, forgedCard)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case r.URL.Path == "/v1/probe":
		_, _ = io.WriteString(w, `{"server_url":"https://forged.example","version":"1.13.0","methods":["password"],"name":"prod"}`)
	default:
		_, _ = io.WriteString(w, `{"token":"lk_forged","status":200}`+"\n")
	}
}

// soon is the time within which a page ends that gets an answer without proof: less
// than the 10 s after which a page without an answer clears itself.
const soon = 8 * time.Second

// forgeries are the answers of programs that have taken the port of an agent that was
// killed while its page was open.
var forgeries = []struct {
	tried  string
	late   bool // nothing is answered, so the page waits
	answer http.HandlerFunc
}{
	{"answers everything as the agent would, with a card that wants a password", false, plainly},
	{"answers in the form of sealed answers, with keys of its own", false, func(w http.ResponseWriter, _ *http.Request) {
		shared := proof.Of(secret.New("lk_forged"))
		a := shared.Answer(make([]byte, proof.SaltSize))
		_, _ = w.Write(a.Seal([]byte(`{"status":200}`), false))
		_, _ = w.Write(a.Seal([]byte(forgedCard), true))
	}},
	{"says that the token has ended, that there is an error, or redirects", false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/v1/status")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}},
	{"accepts the connections and never answers", true, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	{"closes each connection", true, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
}

// oneOf lists alternatives.
func oneOf(all []string) string {
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " or " + all[last]
}

// forged sees that a page tells nothing to whoever takes the port of an agent that
// was killed, and shows nothing of what they answer.
func (c *chromium) forged(t *testing.T) {
	var rows [][]string
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	const typed = "what-was-typed"
	for _, f := range forgeries {
		t.Run(f.tried, func(t *testing.T) {
			a, b := startAgentToKill(t, ""), c.tab(t)
			a.add("prod", s)
			a.command("logout", "prod")
			b.open(a.link())
			b.says("prod", "Signed out.")
			token := value[string](b, "sessionStorage[Object.keys(sessionStorage)[0]]")
			b.script(card("prod") + `.querySelector(".primary").click()`)
			b.fill("User name", "ana")
			b.fill("Password", typed)
			a.kill()
			killed := time.Now()
			forger := forge(t, strings.TrimPrefix(a.url, "http://"), f.answer)
			// As a hasty person does, before the page has closed.
			b.script(`[...document.querySelectorAll("button[type=submit]")].find((e) => e.textContent === "Sign in")?.click()`)
			says, when := "access has ended", fmt.Sprintf("within %d s", soon/time.Second)
			if f.late { // it waits for the agent, with nothing that could be typed into
				says, when = "doesn't answer", fmt.Sprintf("after %d to %d s", soon/time.Second, patience/time.Second)
				b.until("sessionStorage.length === 0")
			}
			b.reads(says)
			if took := time.Since(killed); took > soon != f.late {
				t.Errorf("the page has cleared itself after %v, want %s", took, when)
			}
			var gone []string
			for _, one := range []struct{ what, script string }{
				{"field", `[...document.querySelectorAll("input, select, textarea")].filter((e) => e.checkVisibility()).length`},
				{"typed text", `[...document.querySelectorAll("input")].filter((e) => e.value.includes("` + typed + `")).length`},
				{"button to press", `[...document.querySelectorAll("button, a")].filter((e) => e.checkVisibility() && !e.disabled && !e.closest("[inert]")).length`},
				{"token", `sessionStorage.length`},
				{"forged word", `document.body.innerText.includes("orged") ? 1 : 0`},
			} {
				if n := value[int](b, one.script); n != 0 {
					t.Errorf("the page still has a %s", one.what)
				}
				gone = append(gone, one.what)
			}
			took := forger.took()
			if len(took) == 0 {
				t.Error("nothing was asked of the forger")
			}
			var unsent []string
			for _, one := range []struct{ what, secret string }{
				{"the token", token}, {"the password", typed}, {"the user name", `ana"`}, {"`Authorization`", "uthorization:"}, {"`lk_`", "lk_"},
			} {
				for _, request := range took {
					if strings.Contains(request, one.secret) {
						t.Errorf("the forger has %s: %s", one.what, request)
					}
				}
				unsent = append(unsent, one.what)
			}
			rows = append(rows, []string{f.tried, fmt.Sprintf("%s the page says %q, and has no %s; no request has %s",
				when, says, oneOf(gone), oneOf(unsent))})
		})
	}
	t.Run("before the exchange", func(t *testing.T) {
		a, b := startAgentToKill(t, ""), c.tab(t)
		b.run(chromedp.Navigate(a.url + "/"))
		b.reads("Open this page from Langkeep")
		code := strings.TrimPrefix(a.link(), a.url+"/")
		a.kill()
		forger := forge(t, strings.TrimPrefix(a.url, "http://"), plainly)
		b.script(fmt.Sprintf("location.hash = %q", code))
		const refused = "works once, and for 30 seconds"
		b.reads(refused)
		all := strings.Join(forger.took(), "\n")
		if secret := strings.TrimPrefix(code, "#code="); !strings.Contains(all, "/v1/page/sealed") || strings.Contains(all, "lk_") || strings.Contains(all, secret) {
			t.Errorf("the forger was sent %s", all)
		}
		if n := value[int](b, "sessionStorage.length"); n != 0 {
			t.Error("the page keeps a token of the forger's")
		}
		rows = append(rows, []string{"listens before the page has exchanged its code", fmt.Sprintf("the page says of its link %q, and has no token; no request has the code", refused)})
	})
	if !t.Failed() {
		casebook.Table(t, "docs/attacks.md", "TestPage/forged in localapi", []string{"the program at the port", "what happens"}, rows)
	}
}
