//go:build real && linux

package localapi_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/assets/casebook"
)

// intrusion is a script that a page of another origin tries, with a token and a code
// that it should not have.
type intrusion struct {
	tried  string
	counts string // the words for a success of the script; "" if the script can't tell
	alters bool   // the script tries to change the agent
	frames bool   // the script shows the control page in a frame
	script string // the body of an async function of target, token and code; returns an outcome
}

// outcome is what a script of an intrusion returns.
type outcome struct {
	Tried int      `json:"tried"` // attempts
	Got   []string `json:"got"`   // those that succeeded
}

// intrusions are all of them. A change that one has made shows at the end.
var intrusions = []intrusion{
	{"`fetch` reads: the status, a token, the events, the settings, without a token and with the page's", "requests can be read", false, false, `
		return attempts(["/v1/status", "/v1/profiles/prod/token", "/v1/page/events", "/v1/events/recent", "/v1/settings", "/metrics", "/"].flatMap((path) =>
			[{}, {Authorization: "Bearer " + token}].map((headers) => ["GET", path, headers])));`},
	{"`fetch` writes: sign-out, removal, settings, stop, a client, and the exchange of a code", "requests can be read", true, false, `
		const auth = {Authorization: "Bearer " + token};
		return attempts([
			["POST", "/v1/profiles/prod/logout", auth], ["POST", "/v1/profiles/prod/logout", {}], ["DELETE", "/v1/profiles/prod", auth],
			["PATCH", "/v1/settings", auth, '{"log_level":"debug"}'], ["POST", "/v1/stop", auth], ["POST", "/v1/stop", {}],
			["POST", "/v1/clients", auth, '{"name":"evil","scopes":["read"],"profiles":["prod"]}'],
			["POST", "/v1/page/token", {}, JSON.stringify({code})], ["POST", "/v1/page/code", auth],
		]);`},
	{"`fetch` in the mode `navigate`, or with headers that only browsers set: `Host`, `Origin`, `Sec-Fetch-Site`", "requests can be read", false, false, `
		return attempts([["GET", "/v1/status", {Authorization: "Bearer " + token, Host: "127.0.0.1", Origin: target, "Sec-Fetch-Site": "same-origin"}],
			["GET", "/", {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}]]);`},
	{"`sendBeacon` and a form's POST with a body that could be JSON", "", true, false, `
		navigator.sendBeacon(target + "/v1/profiles/prod/logout", "{}");
		navigator.sendBeacon(target + "/v1/page/token", JSON.stringify({code}));
		for (const path of ["/v1/profiles/prod/logout", "/v1/stop", "/v1/page/token"]) {
			const frame = document.createElement("iframe"), form = document.createElement("form"), field = document.createElement("input");
			frame.name = "frame" + Math.random();
			field.name = '{"code":"' + code + '","x":"'; field.value = '"}';
			Object.assign(form, {method: "post", enctype: "text/plain", target: frame.name, action: target + path});
			form.append(field); document.body.append(frame, form); form.submit();
		}
		await new Promise((done) => setTimeout(done, 300));
		return {tried: 0, got: []};`},
	{"an image, a script, a stylesheet, a sound, an object, a preload, of the page's files and of the API", "elements load", false, false, `
		const got = [];
		let tried = 0;
		const load = (tag, set, path) => new Promise((done) => {
			tried++;
			const e = document.createElement(tag);
			e.onload = e.oncanplay = e.onloadeddata = () => { got.push(tag + " " + path); done(); };
			e.onerror = done; setTimeout(done, 3000);
			set(e, target + path); document.body.append(e);
		});
		await Promise.all(["/ui/icon.svg", "/ui/app.js", "/ui/style.css", "/v1/status", "/v1/openapi.yaml"].flatMap((path) => [
			load("img", (e, url) => { e.src = url; }, path), load("script", (e, url) => { e.src = url; }, path),
			load("link", (e, url) => { e.rel = "stylesheet"; e.href = url; }, path), load("link", (e, url) => { e.rel = "preload"; e.as = "image"; e.href = url; }, path),
			load("audio", (e, url) => { e.src = url; }, path), load("object", (e, url) => { e.data = url; }, path),
		]));
		return {tried, got};`},
	{"a `WebSocket`, with the token in the address and as a protocol", "sockets open", false, false, `
		const got = [], ws = target.replace("http", "ws");
		const all = [[ws + "/v1/events"], [ws + "/v1/events?x-api-key=" + token], [ws + "/v1/page/events", [token]]];
		await Promise.all(all.map((to) => new Promise((done) => {
			const s = new WebSocket(...to);
			s.onopen = () => { got.push("WebSocket " + to[0]); done(); };
			s.onerror = done; setTimeout(done, 3000);
		})));
		return {tried: all.length, got};`},
	{"an `EventSource`, with and without credentials", "streams open", false, false, `
		const got = [], all = ["/v1/events", "/v1/page/events", "/v1/audit"].flatMap((path) => [[path, true], [path, false]]);
		await Promise.all(all.map(([path, withCredentials]) => new Promise((done) => {
			const s = new EventSource(target + path, {withCredentials});
			s.onopen = s.onmessage = () => { got.push("EventSource " + path); done(); };
			s.onerror = () => { s.close(); done(); }; setTimeout(done, 3000);
		})));
		return {tried: all.length, got};`},
	{"a worker and a module of the page's script", "scripts load", false, false, `
		const got = [];
		try { await import(target + "/ui/app.js"); got.push("import"); } catch {}
		await new Promise((done) => {
			try {
				const w = new Worker(URL.createObjectURL(new Blob(["importScripts('" + target + "/ui/app.js'); postMessage(1)"])));
				w.onmessage = () => { got.push("importScripts"); done(); };
				w.onerror = done;
			} catch { done(); }
			setTimeout(done, 3000);
		});
		return {tried: 2, got};`},
	{"the control page in a frame", "", false, true, `
		const frame = document.createElement("iframe");
		frame.src = target + "/";
		document.body.append(frame);
		await new Promise((done) => { frame.onload = done; setTimeout(done, 3000); });
		return {tried: 0, got: []};`},
}

// attempts is what the scripts have in common: requests, of which those that can
// be read are told.
const attempts = `
	const attempts = async (all) => {
		const got = [];
		let tried = 0;
		await Promise.all(all.flatMap(([method, path, headers, body]) => ["cors", "no-cors", "same-origin"].map(async (mode) => {
			for (const credentials of ["omit", "include"]) {
				tried++;
				try {
					const r = await fetch(target + path, {method, headers, body, mode, credentials, signal: AbortSignal.timeout(3000)});
					if (r.ok) got.push(method + " " + path + " " + (await r.text()).slice(0, 100));
				} catch {}
			}
		})));
		return {tried, got};
	};`

// strangers are pages of other origins, with the page's own token even: they
// neither read nor change anything.
func (c *chromium) strangers(t *testing.T) {
	a := startAgent(t)
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	a.add("prod", s)
	own := c.tab(t)
	own.open(a.link())
	own.says("prod", "Signed in")
	token := value[string](own, "sessionStorage[Object.keys(sessionStorage)[0]]")
	if !strings.HasPrefix(token, "lk_") {
		t.Fatal("the page has no token")
	}
	const hello = "<!doctype html><title>evil</title><p>hello"
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/null" {
			w.Header().Set("Content-Security-Policy", "sandbox allow-scripts allow-forms")
		}
		_, _ = io.WriteString(w, hello)
	}))
	t.Cleanup(site.Close)
	file := filepath.Join(t.TempDir(), "evil.html")
	if err := os.WriteFile(file, []byte(hello), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(site.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, agentPort, err := net.SplitHostPort(strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	rebound := "http://evil.test:" + agentPort // the browser takes the agent for the attacker's site
	outcomes := make([]outcome, len(intrusions))
	codes, good := 0, 0
	for where, origin := range map[string]string{
		"http://127.0.0.1:" + port: "", "http://localhost:" + port: "", "http://evil.test:" + port: "", rebound: "",
		"http://127.0.0.1:" + port + "/null": "null", "file://" + file: "null",
	} {
		b := c.tab(t)
		b.run(chromedp.Navigate(where))
		if where != rebound {
			b.reads("hello")
		}
		if got := value[string](b, "self.origin"); origin != "" && got != origin {
			t.Errorf("the origin of %s is %s", where, got)
		}
		for _, target := range []string{a.url, "http://localhost:" + agentPort, rebound} {
			code := strings.TrimPrefix(a.link(), a.url+"/#code=") // which lives for 30 s
			for n, i := range intrusions {
				script := fmt.Sprintf("(async (target, token, code) => {%s %s})(%q, %q, %q)", attempts, i.script, target, token, code)
				o := value[outcome](b, script)
				if len(o.Got) != 0 {
					t.Errorf("%s: a page of %s gets from %s: %v", i.tried, where, target, o.Got)
				}
				outcomes[n].Tried += o.Tried
				outcomes[n].Got = append(outcomes[n].Got, o.Got...)
			}
			if codes++; !a.opens(code) {
				t.Errorf("a page of %s has used up the code at %s", where, target)
				continue
			}
			good++
		}
		b.noCookies()
		b.mu.Lock()
		for _, url := range []string{a.url + "/", a.url + "/ui/icon.svg"} { // its requests have reached the agent
			if status, asked := b.answers[url]; !asked || status != http.StatusForbidden {
				t.Errorf("to a page of %s %s answers %d, asked %v", where, url, status, asked)
			}
		}
		b.mu.Unlock()
	}
	// Nothing has changed.
	const shown, level, clients = "Signed in", "info", 0
	own.says("prod", shown)
	if got := value[string](own, `document.getElementById("recent").innerText`); strings.Contains(got, "Signed out") {
		t.Errorf("a stranger changed something: %s", got)
	}
	if got := a.logLevel(); got != level {
		t.Errorf("a stranger set the log level to %s", got)
	}
	if got := a.command("client", "list"); len(strings.Fields(got)) != clients {
		t.Errorf("a stranger made a client: %s", got)
	}
	if t.Failed() {
		return
	}
	var rows [][]string
	for n, i := range intrusions {
		var said []string
		if i.counts != "" {
			said = append(said, fmt.Sprintf("%d of %d %s", len(outcomes[n].Got), outcomes[n].Tried, i.counts))
		}
		if i.alters {
			said = append(said, fmt.Sprintf("the page says %q, the log level is %q, there are %d clients, and %d of %d codes open a page", shown, level, clients, good, codes))
		}
		if i.frames {
			said = append(said, fmt.Sprint(http.StatusForbidden))
		}
		rows = append(rows, []string{i.tried, strings.Join(said, "; ")})
	}
	casebook.Table(t, "docs/attacks.md", "TestPage in localapi", []string{"what is tried", "what happens"}, rows)
}
