package trials

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"

	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/proof"
)

// TestAttackForged has somebody else listen where the commands look for the agent.
func TestAttackForged(t *testing.T) {
	suffers(t, []attack{
		{tried: "answers everything as the agent would, the question for a proof too, with an HMAC of its own", run: func(t *testing.T, v *victim) string {
			return v.fooled(t, forge(t, func(question []byte) (int, string) {
				var asked client.ProofRequest
				if err := json.Unmarshal(question, &asked); err != nil {
					t.Error(err)
				}
				nonce, _ := base64.RawURLEncoding.DecodeString(asked.Nonce)
				own := proof.Of(secret.New("lk_forged")).OfAgent(nonce, "127.0.0.1:1")
				return http.StatusOK, `{"proof":"` + base64.RawURLEncoding.EncodeToString(own) + `"}`
			}), exitNoAgent)
		}},
		{tried: "answers with an empty proof, the nonce, or something that is no JSON", run: func(t *testing.T, v *victim) string {
			for _, answer := range []string{`{"proof":""}`, `{}`, `<html>`, ``, `{"proof":"!"}`} {
				v.asked(t, forge(t, func([]byte) (int, string) { return http.StatusOK, answer }), client.ErrNoAgent)
			}
			return v.asked(t, forge(t, func(question []byte) (int, string) {
				return http.StatusOK, strings.Replace(string(question), "nonce", "proof", 1)
			}), client.ErrNoAgent)
		}},
		{tried: "says that it does not know the token, in the agent's form", run: func(t *testing.T, v *victim) string {
			return v.fooled(t, forge(t, func([]byte) (int, string) {
				return http.StatusUnauthorized, `{"type":"urn:langkeep:problems/unauthorized","title":"forged","status":401,"detail":"forged"}`
			}), exitNotAllowed)
		}},
		{tried: "passes the question on to the real agent, which listens at another port by now, and the answer back", why: "the proof is for the other address", run: func(t *testing.T, v *victim) string {
			return v.fooled(t, forge(t, func(question []byte) (int, string) {
				status, answer := v.proves(t, question)
				if status != http.StatusOK {
					t.Errorf("the agent answers the forger with %d: %s", status, answer)
				}
				return status, answer
			}), exitNoAgent)
		}},
		{tried: "proves itself with what the agent has answered another time, to another nonce", run: func(t *testing.T, v *victim) string {
			_, old := v.proves(t, v.question())
			return v.fooled(t, forge(t, func([]byte) (int, string) { return http.StatusOK, old }), exitNoAgent)
		}},
		{tried: "holds the port that agent.json names, while the lock is held, where there is no socket", run: func(t *testing.T, v *victim) string {
			p := homeFor(t)
			if err := p.Create(); err != nil {
				t.Fatal(err)
			}
			f := forge(t, func([]byte) (int, string) { return http.StatusOK, `{"proof":"AAAA"}` })
			for path, text := range map[string]string{p.Agent(): fmt.Sprintf(`{"schema":1,"url":%q,"pid":1}`, f.URL), p.Token(): v.words["owner"]} {
				if err := paths.WriteFile(path, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			lock := paths.NewLock(p.Lock())
			if ok, err := lock.TryLock(); !ok {
				t.Fatal(err)
			}
			defer lock.Unlock()
			none := func(string) string { return "" }
			if _, err := client.Find(t.Context(), none, p); !errors.Is(err, client.ErrNoAgent) {
				t.Errorf("it is found: %v", err)
			}
			c, err := client.FindAs(t.Context(), none, p, secret.New(v.words["reader"]))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Status(t.Context()); !errors.Is(err, client.ErrNoAgent) {
				t.Errorf("a client is answered: %v", err)
			}
			return because(f.learntNothing(t, v.words["owner"], v.words["reader"]), client.ErrNoAgent.Error())
		}},
		{tried: "takes a proxy's port, through which a `langkeep mcp` that goes on speaks", run: func(t *testing.T, _ *victim) string {
			v := newVictim(t) // one of its own, to be killed
			// Another test's proxy takes the first port from 17861 up that is free, and so a killed agent's.
			own := fmt.Sprintf("proxy_port = %d\n", 10000+rand.IntN(7000))
			text, err := os.ReadFile(v.paths.ProfileFile("prod"))
			if err == nil {
				err = paths.WriteFile(v.paths.ProfileFile("prod"), append(text, own...))
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := v.owner.ChangeProfile(t.Context(), "prod", client.ProfileChange{Proxy: new(true)})
			if err != nil {
				t.Fatal(err)
			}
			configured(t, v.paths, "memory") // for the agent that langkeep mcp starts
			c := startMCP(t, program(t, v.paths, "mcp", "prod"))
			if answer := c.ask("ping"); answer == "" || strings.Contains(answer, "prove") { // it has its lease by then
				t.Fatalf("the agent's own proxy does not prove itself: %q", answer)
			}
			_ = v.Process.Kill()
			_ = v.Wait() // an error: it was killed
			stopsInTheEnd(t, v.paths)
			f := forgeAt(t, strings.TrimPrefix(*p.ProxyURL, "http://"), func([]byte) (int, string) { return http.StatusOK, `{"proof":"AAAA"}` })
			const words = "signed out" // of the agent that langkeep mcp has started, whose proxy has another port
			// The first message may still go into the killed agent's connection.
			for answer := ""; !t.Failed() && !strings.Contains(answer, words); {
				answer = c.ask("tools/call")
				if !strings.Contains(answer, `"error"`) || strings.Contains(answer, "forged") {
					t.Errorf("the MCP client gets %q", answer)
				}
			}
			return f.learntNothing(t, typedPassword, "lk_", "pi-Key") + ", and the MCP client is answered by another agent at another port"
		}},
		{tried: "asks the real agent for proofs: of no token, of a part of a key, with a short nonce, none, a long one", run: func(t *testing.T, v *victim) string {
			key := proof.Of(secret.New(v.words["owner"])).ID()
			nonce := strings.Repeat("A", 43)
			var wants []string
			for bad, want := range map[client.ProofRequest]int{
				{Key: "", Nonce: nonce}: 401, {Key: key[:21], Nonce: nonce}: 401, {Key: v.words["owner"], Nonce: nonce}: 401,
				{Key: key, Nonce: "AAAA"}: 400, {Key: key}: 400, {Key: key, Nonce: strings.Repeat("A", 4000)}: 400,
			} {
				text, err := json.Marshal(bad)
				if err != nil {
					t.Fatal(err)
				}
				status, answer := v.proves(t, text)
				if status != want || strings.Contains(answer, `"proof":`) || strings.Contains(answer, v.words["owner"]) {
					t.Errorf("%s: %d %s, want %d", text, status, answer, want)
				}
				wants = append(wants, fmt.Sprint(want))
			}
			const good = http.StatusOK
			if status, answer := v.proves(t, v.question()); status != good {
				t.Errorf("a right question: %d %s", status, answer)
			}
			return fmt.Sprintf("%s, without a proof or the token; a right question: %d", answersSaid(wants...), good)
		}},
	})
}
