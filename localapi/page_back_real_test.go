//go:build real && linux

package localapi_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"langkeep/agent/langflow/langflowtest"
)

// way leads a browser to an agent, and can be cut.
type way struct {
	*httptest.Server
	isCut atomic.Bool
}

func newWay(t *testing.T, a *running) *way {
	t.Helper()
	to, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	through := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }}
	through.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	w := &way{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if w.isCut.Load() || r.Method == http.MethodConnect { // which is for hosts of Chromium's own
			panic(http.ErrAbortHandler)
		}
		through.ServeHTTP(out, r)
	}))
	t.Cleanup(func() {
		w.CloseClientConnections()
		w.Close()
	})
	return w
}

func (w *way) cut() {
	w.isCut.Store(true)
	w.CloseClientConnections()
}

func (w *way) mend() { w.isCut.Store(false) }

// back loses the agent for longer than the page keeps its token on the disk: the page comes
// back by itself where the same agent proves itself, and ends where another one answers.
func (c *chromium) back(t *testing.T) {
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	a := startAgentToKill(t, "")
	a.add("prod", s)
	w := newWay(t, a)
	b := c.tab(t, func(p *target.CreateBrowserContextParams) { p.ProxyServer, p.ProxyBypassList = w.URL, "<-loopback>" })
	b.open(a.link())
	b.says("prod", "Signed in as")
	const (
		away    = `document.body.classList.contains("away")`
		active  = `[...document.querySelectorAll("button, a.button, input, select")].filter((e) => e.checkVisibility() && !e.disabled && !e.closest("[inert], aside")).length`
		kept    = "sessionStorage.length"
		unnamed = `document.getElementById("add-url").value === ""`
	)
	lose := func() {
		t.Helper()
		b.press("Add a profile")
		b.fill("Address of your Langflow", "flows.example")
		w.cut()
		b.until(away)
		b.reads("comes back by itself as soon as the same Langkeep does")
		if n := value[int](b, kept); n != 1 {
			t.Errorf("at once the browser keeps %d things", n)
		}
		b.until(kept + " === 0 && " + unnamed)
		if n := value[int](b, active); n != 0 {
			t.Errorf("%d things can be pressed while the agent is away", n)
		}
		if opacity := value[string](b, `getComputedStyle(document.getElementById("cards")).opacity`); opacity != "0.5" {
			t.Errorf("the cards have the opacity %s", opacity)
		}
		b.check("away")
	}
	token := value[string](b, "Object.values(sessionStorage)[0]")
	lose()
	a.command("logout", "prod") // which the page learns when it is back
	w.mend()
	b.until("!" + away + " && " + kept + " === 1")
	b.says("prod", "Signed out.")
	b.until(`document.getElementById("banner").hidden`)
	if now := value[string](b, "Object.values(sessionStorage)[0]"); now != token {
		t.Error("it has another token")
	}
	b.press("Settings")
	b.until(`document.getElementById("log-level").value === "info"`)
	b.press("Done")
	b.run(chromedp.Reload())
	b.says("prod", "Signed out.")

	lose()
	a.kill()
	await(t, "the agent's end", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	a.command("start", "--headless", "--store", "memory", "--listen", strings.TrimPrefix(a.url, "http://"))
	t.Cleanup(func() { a.command("stop") })
	w.mend()
	b.reads("access has ended")
	if n := value[int](b, kept+` + document.querySelectorAll("article").length`); n != 0 {
		t.Errorf("the page keeps %d things", n)
	}
	b.innocent(a)
}
