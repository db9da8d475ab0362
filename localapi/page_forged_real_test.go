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

// forger listens where an agent was that has been killed, and answers as whoever
// reads this program would. It has everything that it was sent.
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

// forgeries are what those do who have taken the port of an agent that was
// killed while its page was open.
var forgeries = []struct {
	tried, happens string
	answer         http.HandlerFunc
}{
	{"answers everything as the agent would, with a card that wants a password", "no request has the token or what is typed; nothing of it is shown, and the page closes", plainly},
	{"answers in the form of sealed answers, with keys of its own", "the same", func(w http.ResponseWriter, _ *http.Request) {
		shared := proof.Of(secret.New("lk_forged"))
		a := shared.Answer(make([]byte, proof.SaltSize))
		_, _ = w.Write(a.Seal([]byte(`{"status":200}`), false))
		_, _ = w.Write(a.Seal([]byte(forgedCard), true))
	}},
	{"says that the token has ended, that there is an error, or redirects", "the same", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/v1/status")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}},
	{"accepts the connections and never answers", "the same, after 10 s", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	{"closes each connection", "the same, after 10 s", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
}

// forged sees that a page tells nothing to whoever takes the port of an agent that
// was killed, and shows nothing of what they answer.
func (c *chromium) forged(t *testing.T) {
	rows := [][]string{}
	for _, f := range forgeries {
		rows = append(rows, []string{f.tried, f.happens})
	}
	rows = append(rows, []string{"listens before the page has exchanged its code", "no request has the code, and the page opens nothing"})
	casebook.Table(t, "docs/attacks.md", "TestPage/forged in localapi", []string{"who has taken the port", "what happens"}, rows)
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	const typed = "what-was-typed"
	for _, f := range forgeries {
		t.Run(f.tried, func(t *testing.T) {
			a, b := startAgentToKill(t), c.tab(t)
			a.add("prod", s)
			a.command("logout", "prod")
			b.open(a.link())
			b.says("prod", "Signed out.")
			token := value[string](b, "sessionStorage[Object.keys(sessionStorage)[0]]")
			b.script(card("prod") + `.querySelector(".primary").click()`)
			b.fill("User name", "ana")
			b.fill("Password", typed)
			a.kill()
			forger := forge(t, strings.TrimPrefix(a.url, "http://"), f.answer)
			// As a hasty person does, before the page has closed.
			b.script(`[...document.querySelectorAll("button[type=submit]")].find((e) => e.textContent === "Sign in")?.click()`)
			b.reads("access has ended")
			for what, script := range map[string]string{
				"a field":        `[...document.querySelectorAll("input, select, textarea")].filter((e) => e.checkVisibility()).length`,
				"what was typed": `[...document.querySelectorAll("input")].filter((e) => e.value.includes("` + typed + `")).length`,
				"a card":         `document.querySelectorAll("article").length`,
				"the token":      `sessionStorage.length`,
				"forged words":   `document.body.innerText.includes("orged") ? 1 : 0`,
			} {
				if n := value[int](b, script); n != 0 {
					t.Errorf("the page still has %s", what)
				}
			}
			took := forger.took()
			if len(took) == 0 {
				t.Error("nothing was asked of the forger")
			}
			for _, request := range took {
				for _, secret := range []string{token, typed, "uthorization:", "ana\"", "lk_"} {
					if strings.Contains(request, secret) {
						t.Errorf("the forger has %q: %s", secret, request)
					}
				}
			}
		})
	}
	t.Run("before the exchange", func(t *testing.T) {
		a, b := startAgentToKill(t), c.tab(t)
		b.run(chromedp.Navigate(a.url + "/"))
		b.reads("Open this page from Langkeep")
		code := strings.TrimPrefix(a.link(), a.url+"/")
		a.kill()
		forger := forge(t, strings.TrimPrefix(a.url, "http://"), plainly)
		b.script(fmt.Sprintf("location.hash = %q", code))
		b.reads("works once, and for 30 seconds")
		took := forger.took()
		if all := strings.Join(took, "\n"); !strings.Contains(all, "/v1/page/sealed") || strings.Contains(all, "lk_") {
			t.Errorf("the forger was sent %s", all)
		}
		if n := value[int](b, "sessionStorage.length"); n != 0 {
			t.Error("the page keeps a token of the forger's")
		}
	})
}
