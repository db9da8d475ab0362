//go:build real && linux

package trials

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/localapi/client"
)

// versionsPatience is for what happens within half a minute when two servers do not
// share the computer, and within a minute when a silent sign-in waits its turn.
const versionsPatience = 2 * time.Minute

// TestVersions is the main job on older Langflows, side by side: sign in once,
// keep the session over an outage, hand out tokens and keys, run a flow through
// the proxy, sign in silently after a new secret key, and go on when the server
// is upgraded to today's below the session.
func TestVersions(t *testing.T) {
	c := newComputer(t)
	t.Run("all", func(t *testing.T) {
		for _, version := range real.Versions() {
			t.Run(version, func(t *testing.T) {
				t.Parallel()
				testVersion(c.person(t, "v"+version), version)
			})
		}
	})
	t.Run("no secret shows", func(t *testing.T) { testTraces(t, c) })
}

func testVersion(p *person, version string) {
	server := real.Start(p.t, real.Options{Version: version, AccessLifetime: life})
	front := newFront(p.t, p.computer, server.URL)
	p.runAgent()
	p.signIn("prod", front.URL, server, "--remember-password")
	p.setKeyLifetime("prod", keysLive)
	held := p.accepted("prod", server.URL)
	renewed := func(why string, limit time.Duration) {
		p.t.Helper()
		took := p.eventually(limit, "there is another token "+why, func() bool {
			d := p.do("token", "prod", "--no-start")
			token := strings.TrimSpace(d.stdout)
			p.secret("an access token", token)
			status, _ := whoami(http.DefaultClient, server.URL, token)
			again := d.code == 0 && token != held && status == http.StatusOK
			if again {
				held = token
			}
			return again
		})
		p.say(p.t, "%s: another token %s after %v", version, why, took.Round(100*time.Millisecond))
	}
	renewed("by itself", versionsPatience)
	p.say(p.t, "%s: it says it is %s", version, *p.profile("prod").ServerVersion)

	// A key that is made and, in time, replaced and deleted. Older servers take
	// no end, which Langkeep keeps in mind itself.
	var key client.Key
	p.fromJSON(p.must(0, "key", "prod", "--output", "json").stdout, &key)
	p.secret("a managed key", key.APIKey.Reveal())
	keys := p.keysOn(server)
	if len(keys) != 1 {
		p.t.Fatalf("the server has %d keys of this computer", len(keys))
	}
	reason := p.profile("prod").KeyReason
	ignored := keys[0].Expires.IsZero()
	switch {
	case ignored && (reason == nil || *reason != "expiry-ignored"):
		p.t.Errorf("the key has no end on the server, and the reason is %v", reason)
	case !ignored && reason != nil:
		p.t.Errorf("the key ends at %v, and the reason is %s", keys[0].Expires, *reason)
	}
	p.say(p.t, "%s: the key ends at %v, on the server at %v", version, key.ExpiresAt, keys[0].Expires)

	p.must(0, "proxy", "prod", "on")
	token := strings.TrimSpace(p.must(0, "client", "add", "tool", "--profile", "prod", "--scope", "proxy").stdout)
	p.secret("a client token", token)
	proxied := proxied{p, *p.profile("prod").ProxyURL, token}
	flow := proxied.makeFlow()
	proxied.run(flow, "before")
	proxied.must(http.StatusAccepted, http.MethodPost, "/api/v1/webhook/"+flow, "{}")
	for _, path := range []string{"/api/v1/auto_login", "/api/v1/api_key/"} {
		proxied.must(http.StatusForbidden, http.MethodPost, path, "{}")
	}
	p.eventually(versionsPatience, "another key is used", func() bool {
		var now client.Key
		p.fromJSON(p.must(0, "key", "prod", "--output", "json").stdout, &now)
		p.secret("a managed key", now.APIKey.Reveal())
		return now.APIKey.Reveal() != key.APIKey.Reveal()
	})
	// One without an end is kept until it was not used for 10 minutes.
	kept := func() bool {
		return slices.ContainsFunc(p.keysOn(server), func(k langflow.APIKey) bool { return k.ID == keys[0].ID })
	}
	if ignored {
		if !kept() {
			p.t.Error("a key that has no end, and was just used, is deleted already")
		}
	} else {
		p.eventually(versionsPatience, "the first key is deleted", func() bool { return !kept() })
	}
	proxied.run(flow, "with another key")
	p.say(p.t, "%s: keys are replaced, and deleted where they have ended", version)

	// Away for longer than a token lives.
	front.down.Store(true)
	p.must(0, "token", "prod", "--no-start")
	p.eventually(versionsPatience, "no token is left", func() bool { return p.do("token", "prod", "--no-start").code == exitUnreachable })
	front.down.Store(false)
	renewed("after an outage", versionsPatience)

	server.RestartWithNewSecret()
	renewed("after a silent sign-in", versionsPatience)

	server.RestartAs("")
	renewed("after an upgrade to 1.13.0", versionsPatience)
	proxied.run(flow, "after an upgrade")

	p.must(0, "logout", "prod", "--no-start")
	p.must(exitSignIn, "token", "prod", "--no-start")
	if left := p.keysOn(server); len(left) != 0 {
		p.t.Errorf("after the sign-out the server still has %d keys of this computer", len(left))
	}
	p.must(0, "remove", "--all", "--no-start")
	if left := p.stored(); len(left) != 0 {
		p.t.Errorf("the Secret Service still has %q", left)
	}
	p.must(0, "stop")
	p.say(p.t, "%s: done", version)
}

// proxied is Langflow as a program finds it behind Langkeep.
type proxied struct {
	*person
	url, token string
}

// must sends a request that is known to be answered so.
func (x proxied) must(status int, method, path, body string) []byte {
	x.t.Helper()
	req, err := http.NewRequest(method, x.url+path, strings.NewReader(body))
	if err != nil {
		x.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", x.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Timeout: 3 * time.Minute}).Do(req)
	if err != nil {
		x.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		x.t.Fatalf("%s %s: %d, want %d: %.500s %v", method, path, res.StatusCode, status, answer, err)
	}
	return answer
}

// makeFlow makes a flow that says what it is told, as the editor does, and
// returns its id.
func (x proxied) makeFlow() string {
	x.t.Helper()
	type object = map[string]any
	var groups map[string]map[string]json.RawMessage
	x.fromJSON(string(x.must(http.StatusOK, http.MethodGet, "/api/v1/all", "")), &groups)
	node := func(name string) object {
		for _, group := range groups {
			if component, ok := group[name]; ok {
				return object{
					"id": name + "-1", "type": "genericNode", "position": object{"x": 0, "y": 0},
					"data": object{"id": name + "-1", "type": name, "node": component},
				}
			}
		}
		x.t.Fatalf("the server has no %s", name)
		return nil
	}
	handle := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			x.t.Fatal(err)
		}
		return strings.ReplaceAll(string(text), `"`, "œ")
	}
	in, out := node("ChatInput"), node("ChatOutput")
	var component struct {
		Template struct {
			Value struct {
				Types []string `json:"input_types"`
			} `json:"input_value"`
		}
	}
	x.fromJSON(string(out["data"].(object)["node"].(json.RawMessage)), &component)
	source := object{"dataType": "ChatInput", "id": "ChatInput-1", "name": "message", "output_types": []string{"Message"}}
	target := object{"fieldName": "input_value", "id": "ChatOutput-1", "inputTypes": component.Template.Value.Types, "type": "str"}
	flow, err := json.Marshal(object{"name": "Echo", "data": object{
		"nodes": []object{in, out}, "viewport": object{"x": 0, "y": 0, "zoom": 1},
		"edges": []object{{
			"id": "edge-1", "source": "ChatInput-1", "target": "ChatOutput-1", "sourceHandle": handle(source), "targetHandle": handle(target),
			"data": object{"sourceHandle": source, "targetHandle": target},
		}},
	}})
	if err != nil {
		x.t.Fatal(err)
	}
	var made struct{ ID string }
	x.fromJSON(string(x.must(http.StatusCreated, http.MethodPost, "/api/v1/flows/", string(flow))), &made)
	return made.ID
}

// run runs the flow.
func (x proxied) run(flow, words string) {
	x.t.Helper()
	answer := x.must(http.StatusOK, http.MethodPost, "/api/v1/run/"+flow, fmt.Sprintf(`{"input_value":%q}`, words))
	if !bytes.Contains(answer, []byte(words)) {
		x.t.Errorf("the flow says %.500s", answer)
	}
}
