//go:build real && linux

package localapi_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/langflow/langflowtest/real"
)

// TestPage is the control page as a person has it: the real program, Chromium,
// and a Langflow.
func TestPage(t *testing.T) {
	c := newChromium(t)
	t.Run("real Langflow", func(t *testing.T) {
		t.Parallel()
		s := real.Start(t, real.Options{AccessLifetime: 15 * time.Second, RefreshLifetime: 5 * time.Minute})
		c.journey(t, startAgent(t), s.URL, s.Username, s.Password)
	})
	t.Run("stand-in", func(t *testing.T) {
		t.Parallel()
		s := langflowtest.New(langflowtest.Options{Version: "1.13", AccessLifetime: 10 * time.Second})
		t.Cleanup(s.Close)
		c.journey(t, startAgent(t), s.URL, langflowtest.Admin().Name, langflowtest.Admin().Password)
	})
	t.Run("keyboard alone", func(t *testing.T) {
		t.Parallel()
		c.keyboard(t)
	})
	t.Run("keyboard alone, everywhere", func(t *testing.T) {
		t.Parallel()
		c.everywhere(t)
	})
	t.Run("back", func(t *testing.T) {
		t.Parallel()
		c.back(t)
	})
	t.Run("words for every problem", func(t *testing.T) {
		t.Parallel()
		c.problems(t)
	})
	t.Run("many", func(t *testing.T) {
		t.Parallel()
		c.many(t)
	})
	t.Run("codes", func(t *testing.T) {
		t.Parallel()
		c.codes(t)
	})
	t.Run("gateways", func(t *testing.T) {
		t.Parallel()
		c.gateways(t)
	})
	t.Run("asking", func(t *testing.T) {
		t.Parallel()
		c.asking(t)
	})
	t.Run("tools", func(t *testing.T) {
		t.Parallel()
		c.tools(t)
	})
	t.Run("strangers", func(t *testing.T) {
		t.Parallel()
		c.strangers(t)
	})
	t.Run("forged", func(t *testing.T) {
		t.Parallel()
		c.forged(t)
	})
	t.Run("accessible in every state", func(t *testing.T) {
		t.Parallel()
		c.accessible(t)
	})
}

// journey is a person's first day: from an empty agent to a session that is kept,
// and back.
func (c *chromium) journey(t *testing.T, a *running, server, username, password string) {
	b := c.tab(t)
	b.open(a.link())
	b.reads("sign in once")
	b.fill("Address of your Langflow", server)
	b.reads("answers there")
	b.fill("Name of the profile", "prod")
	b.press("Add")
	b.says("prod", "Not signed in yet.")
	b.fill("User name", username)
	b.fill("Password", "not the password")
	b.press("Sign in")
	b.says("prod", "That user name and password don't match.")
	if got := value[string](b, "document.activeElement.name + '=' + document.activeElement.value"); got != "password=" {
		t.Errorf("after a wrong password the focus is on %q", got)
	}
	b.says("prod", "Not signed in yet.")
	b.fill("Password", password)
	b.press("Sign in")
	b.says("prod", "Signed in as "+username+". Refreshes by itself")
	b.reads("Signed in as " + username + ".")
	b.reads("All is well.")

	// A refresh is seen by itself: the token's minutes are among the details, and it is
	// among the events.
	b.choose("prod", "Details")
	b.says("prod", "Token left")
	b.until(`/Refreshed[.,]/.test(document.getElementById("recent").innerText)`) // once, or "2 times"
	b.press("Close")

	// The account's keys: ours goes when it is told to twice.
	a.command("key", "prod")
	b.choose("prod", "API keys")
	b.says("prod", "Made by Langkeep, in use now.")
	revoke := card("prod") + `.querySelector("[aria-label^='Revoke langkeep ']")`
	b.script(revoke + ".click()")
	b.says("prod", "Revoke now?")
	b.script(revoke + ".click()")
	b.until("!" + card("prod") + `.innerText.includes("in use now")`)
	b.press("Close")
	b.choose("prod", "Open the proxy")
	b.says("prod", "http://127.0.0.1:17")
	b.choose("prod", "Close the proxy")
	b.until("!" + card("prod") + `.innerText.includes("http://127.0.0.1:17")`)
	// The programs that may ask, without their tokens.
	a.command("client", "add", "ci", "--profile", "prod", "--scope", "run")
	b.press("Apps")
	b.reads("may run flows with inputs: prod. Has not asked lately. Ends ")
	b.press("Revoke")
	b.press("Revoke now?")
	b.reads("No program has a token of its own.")
	b.press("Done")

	b.choose("prod", "Refresh now")
	b.until(`/Refreshed, [0-9]+ times/.test(document.getElementById("recent").innerText)`)
	b.choose("prod", "Sign out")
	b.says("prod", "Signed out.")
	b.choose("prod", "Remove")
	b.says("prod", "Remove prod?")
	b.press("Keep")
	b.says("prod", "Signed out.")
	b.choose("prod", "Remove")
	b.script(card("prod") + `.querySelector(".panel .danger").click()`)
	b.reads("sign in once")
	b.reads("Removed.")
	b.noCookies()
	b.innocent(a)
	if all := value[[]string](b, "[...Object.keys(localStorage), ...Object.keys(sessionStorage)]"); len(all) != 1 {
		t.Errorf("the page keeps %v", all)
	}
}

// problems sees that each problem has its own words and an advice.
func (c *chromium) problems(t *testing.T) {
	s := langflowtest.New(langflowtest.Options{Version: "1.13", Users: []langflowtest.User{
		langflowtest.Admin(), {Name: "new", Password: "x", Waiting: true}, {Name: "gone", Password: "x", Inactive: true},
	}})
	t.Cleanup(s.Close)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<h1>hi</h1>") }))
	t.Cleanup(other.Close)
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.URL+r.URL.Path, http.StatusPermanentRedirect)
	}))
	t.Cleanup(moved.Close)
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tls.Close)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()

	a, b := startAgent(t), c.tab(t)
	b.open(a.link())
	for _, test := range []struct{ address, words string }{
		{other.URL, "Something answers there, but it isn't Langflow."},
		{tls.URL, "The certificate isn't trusted"},
		{"http://" + dead.Addr().String(), "Can't reach " + dead.Addr().String() + " (nothing accepts connections there; it may not be running)."},
		{"http://flows.example.org", "http:// sends your password unprotected."},
		{"https://user:pw@flows.example.org", "must not hold a user name or password"},
		{moved.URL, "The server moved to " + s.URL + ". Use that address?"},
	} {
		b.fill("Address of your Langflow", test.address)
		b.until(fmt.Sprintf(`document.getElementById("add-said").textContent.includes(%q)`, test.words))
		switch test.address {
		case tls.URL:
			b.fill("CA file (--ca-file)", "/nonexistent.pem")
			b.press("Trust this CA")
			b.reads("Can't use its ca file")
			b.until(`document.querySelector("#add-remedy input").value === "/nonexistent.pem"`)
			b.shots("problem")
		case "http://flows.example.org":
			b.press("Allow http:// for this server")
			b.until(`!document.getElementById("add-said").textContent.includes("http://")`)
		}
	}
	b.press("Use " + s.URL)
	b.reads("answers there")
	b.fill("Name of the profile", "No Name")
	b.press("Add")
	b.until(`document.getElementById("add-error").textContent !== ""`)
	b.fill("Name of the profile", "lab")
	b.press("Add")
	for user, words := range map[string]string{
		"new": "This account waits for an administrator's approval.", "gone": "This account was deactivated by an administrator.",
	} {
		b.fill("User name", user)
		b.fill("Password", "x")
		b.press("Sign in")
		b.says("lab", words)
	}
	s.Fault("/login", langflowtest.Busy(429, "42"))
	b.fill("Password", "x")
	b.press("Sign in")
	b.says("lab", "Too many sign-ins from here. Try again in 42 s.")
	s.ClearFaults()
	b.script(`document.querySelector("input[value=refresh-token]").click()`)
	b.fill("Refresh token", "eyJ.no.pe")
	b.press("Sign in")
	b.says("lab", "The server does not accept this token.")
	b.script(`document.querySelector("input[value=api-key]").click()`)
	b.fill("API key", "sk-no")
	b.press("Sign in")
	b.says("lab", "The server does not accept this API key.")
	b.press("Cancel")
	// A second profile of the same server is knowingly made.
	b.press("Add a profile")
	b.fill("Address of your Langflow", s.URL)
	b.reads("lab is at this server already.")
	b.press("Add a second profile")
	b.reads("Give it a name.")
	b.press("Go to lab")
	b.until(`document.activeElement.textContent === "lab"`)
	s.Stop()
	b.press("Sign in")
	b.says("lab", "Can't reach")
	s.Start()
	b.press("Try again")
	b.says("lab", "Password")
	b.innocent(a)
}

// codes sees that a code opens the page once, in time, and that a page's access
// ends.
func (c *chromium) codes(t *testing.T) {
	a := startAgent(t)
	old := a.link()
	begin := time.Now()
	first := c.tab(t)
	link := a.link()
	first.open(link)
	first.reads("sign in once")
	// In another tab, whose sessionStorage is its own, the code is used.
	for _, used := range []string{link, a.url + "/#code=lk_" + strings.Repeat("A", 43), a.url + "/#nothing", a.url + "/"} {
		b := c.tab(t)
		b.open(used)
		b.reads("Open this page from Langkeep")
		if n := value[int](b, "sessionStorage.length"); n != 0 {
			t.Errorf("%.30s: it got something", used)
		}
		b.check("shut")
	}
	// A new code in a tab that is open already.
	first.script(fmt.Sprintf("location.hash = %q", strings.TrimPrefix(a.link(), a.url+"/")))
	first.until(`location.hash === ""`)
	first.reads("sign in once")
	first.run(chromedp.Reload())
	first.reads("sign in once") // it keeps its token

	time.Sleep(time.Until(begin.Add(31 * time.Second)))
	b := c.tab(t)
	b.open(old)
	b.reads("works once, and for 30 seconds")
	b.shots("shut")

	// With the agent's end the token's has come.
	a.command("restart", "--headless", "--store", "memory", "--listen", strings.TrimPrefix(a.url, "http://"))
	first.reads("access has ended")
	first.noCookies()
}
