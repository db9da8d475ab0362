//go:build real && linux

package localapi_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
)

// accessible goes through the states, in every look.
func (c *chromium) accessible(t *testing.T) {
	home, _ := toolsHome(t)
	a, b := startAgentWith(t, "", "HOME="+home, "XDG_CONFIG_HOME=", "DISPLAY=:none"), c.tab(t)
	b.open(a.link())
	b.reads("sign in once")
	b.shots("empty")

	servers := map[string]*langflowtest.Server{}
	for _, name := range []string{"prod", "staging", "laptop", "offline", "archive"} {
		o := langflowtest.Options{Version: "1.13"}
		switch name {
		case "laptop":
			o.AccessLifetime = 40 * time.Minute
		case "offline":
			o.AccessLifetime = 2 * time.Second
		}
		s := langflowtest.New(o)
		t.Cleanup(s.Close)
		servers[name] = s
		a.add(name, s)
	}
	servers["staging"].RotateSecret()
	servers["laptop"].Stop()
	servers["offline"].Stop()
	a.command("logout", "archive")
	b.says("archive", "Signed out.")
	owner := a.client()
	defer owner.Close()
	for _, name := range []string{"staging", "laptop", "offline"} {
		if _, err := owner.Refresh(t.Context(), name); err == nil {
			t.Errorf("%s: refreshed", name)
		}
	}
	b.says("staging", "The server ended this session")
	b.says("offline", "Nothing is lost")
	b.says("laptop", "Still valid for")
	if order := value[[]string](b, `[...document.querySelectorAll("article h2")].map((e) => e.textContent)`); !slices.Equal(order, []string{"staging", "laptop", "offline", "prod", "archive"}) {
		t.Errorf("the order is %v", order)
	}
	// It is offered once to start at login; the commands above have told of it.
	if err := os.Remove(paths.Paths{State: filepath.Join(a.home, "state")}.StartOffered()); err != nil {
		t.Error(err)
	}
	b.run(chromedp.Reload())
	b.reads("Start it whenever you log in?")
	b.shots("offer")
	b.press("Start at login")
	b.reads("Langkeep starts when you log in.")
	b.until(`document.getElementById("offer").hidden`)
	if said := a.command("autostart", "status"); !strings.HasPrefix(said, "enabled") {
		t.Errorf("autostart is %s", said)
	}
	b.press("Undo")
	b.press("Settings")
	b.until(`!document.querySelector("[name=start_at_login]").checked`)
	b.press("Done")
	b.shots("all")
	b.script(card("staging") + `.querySelector(".primary").click()`)
	b.says("staging", "Password")
	b.shots("sign-in")
	b.press("Cancel")
	b.choose("archive", "Remove")
	b.says("archive", "Remove archive?")
	b.shots("remove")
	b.press("Keep")
	a.command("key", "prod")
	servers["prod"].AddAPIKey(langflowtest.Admin().Name)
	b.script(card("prod") + `.querySelector(".more").click()`)
	b.shots("menu")
	b.script(`document.activeElement.blur()`)
	b.choose("prod", "API keys")
	b.says("prod", "Never ends.")
	b.shots("keys")
	b.press("Close")
	a.command("client", "add", "editor", "--profile", "prod", "--scope", "run")
	b.press("Apps")
	b.reads("may run flows with inputs: prod. Has not asked lately. Ends ")
	b.shots("apps")
	b.script(`document.querySelector("#app summary").click()`)
	b.fill("Its name", "nightly")
	b.script(`document.querySelector("#app [value=token]").click()`)
	b.press("Add app")
	b.until(`document.getElementById("app-made").innerText.includes("langkeep client add nightly --profile archive --scope token --scope run --expires 30d")`)
	b.shots("apps-add")
	b.script(`document.getElementById("uses-of").value = "=owner"; document.getElementById("uses-of").dispatchEvent(new Event("change"))`)
	b.until(`/You \(langkeep\) read an API key \(prod\)/.test(document.getElementById("uses").innerText)`)
	b.press("Done")
	b.choose("prod", "Details")
	b.says("prod", "Token left")
	b.script(card("prod") + `.querySelector(".panel summary").click()`)
	b.says("prod", "signed in")
	b.until(`/^Last 7 days: signed in 5 d [12][0-9] h, away 6 h, Langkeep off 10 h, needed you 4 h/.test(` + card("prod") + `.querySelector(".strip").getAttribute("aria-label"))`)
	b.shots("details")
	b.press("Close")
	b.script(card("prod") + `.querySelector("[aria-label='Use it prod']").click()`)
	b.reads("Ask the server as you")
	b.shots("use")
	b.script(`[...document.querySelectorAll("[role=tab]")].at(-1).click()`)
	b.reads("langkeep client add my-app")
	b.shots("use-address")
	b.script(`[...document.querySelectorAll("[role=tab]")].at(-2).click()`)
	b.until(`document.querySelector("[aria-label='Connect Cursor']")`)
	b.script(`document.querySelector("[aria-label='Connect Cursor']").click()`)
	b.reads("langflow-prod")
	b.press("Write this")
	b.reads("Cursor is connected to prod.")
	b.script(`document.querySelector("[aria-label='Connect Qwen Code']").click()`)
	b.until(`document.querySelector(".use .change")`)
	b.shots("use-tools")
	b.script(card("prod") + `.querySelector("[aria-label='Use it prod']").click()`)
	b.press("Add a profile")
	b.fill("Address of your Langflow", servers["prod"].URL)
	b.reads("prod is at this server already.")
	b.shots("add")
	b.press("Cancel")
	// As the tray's menu opens it.
	b.script(fmt.Sprintf("location.hash = %q", strings.TrimPrefix(a.link(), a.url+"/")+"&at=sign-in/archive"))
	b.says("archive", "Password")
	b.press("Cancel")
	// As a click on a notification opens it.
	b.script(fmt.Sprintf("location.hash = %q", strings.TrimPrefix(a.link(), a.url+"/")+"&at=card/prod"))
	b.until(`document.activeElement.textContent === "prod"`)
	b.script(`document.getElementById("recent-of").value = "staging"; document.getElementById("recent-of").dispatchEvent(new Event("change"))`)
	b.until(`[...document.querySelectorAll("#recent b")].every((e) => e.textContent === "staging")`)
	b.script(`document.getElementById("recent-of").value = ""; document.getElementById("recent-of").dispatchEvent(new Event("change"))`)
	b.press("Lock")
	b.reads("Langkeep hands nothing out until you unlock it.")
	b.shots("locked")
	b.press("Unlock")
	b.until(`document.getElementById("banner").hidden`)
	b.press("Settings")
	b.until(`document.getElementById("log-level").value === "info"`)
	b.shots("settings")
	b.script(`document.querySelector("[name=offline]").click()`)
	b.reads("Saved.")
	b.shots("settings-saved")
	if text, err := os.ReadFile(filepath.Join(a.home, "config", "config.toml")); err != nil || !strings.Contains(string(text), "notify.offline = false") {
		t.Errorf("config.toml is %q, %v", text, err)
	}
	b.press("Done")
	// An agent that is only stopped comes back by itself, with what is new.
	a.signal(syscall.SIGSTOP)
	b.script(`document.querySelector("#lock").click()`) // which waits
	a.signal(syscall.SIGCONT)
	b.reads("Langkeep hands nothing out until you unlock it.")
	a.command("unlock")
	a.command("stop")
	b.reads("Langkeep doesn't answer")
	b.shots("away")
	a.command("start", "--headless", "--store", "memory", "--listen", strings.TrimPrefix(a.url, "http://"))
	b.reads("access has ended")
}
