package proxy

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// asked sends a request of a client with the scope proxy.
func (r *rig) asked(method, path, body string) (status int, answer string) {
	r.t.Helper()
	res, answer := r.ask(method, path, body, whole1)
	return res.StatusCode, answer
}

// A gateway's answer is not passed on as the server's: the program hears of the gateway.
func TestGatewaysAnswers(t *testing.T) {
	type answer struct {
		status       int
		header, body string // the header as Name: value
	}
	for name, tt := range map[string]struct {
		answer
		stands bool // a gateway is known to be there
		passes bool
	}{
		"to Cloudflare's sign-in":           {answer: answer{302, "Location: https://t.cloudflareaccess.com/cdn-cgi/access/login", ""}},
		"to a sign-in of anybody":           {answer: answer{302, "Location: https://idp.example/authorize", ""}, stands: true},
		"to anywhere, without a gateway":    {answer: answer{302, "Location: https://cdn.example/file", ""}, passes: true},
		"within the server":                 {answer: answer{307, "Location: /api/v1/flows/", ""}, stands: true, passes: true},
		"nginx wants a password":            {answer: answer{401, `Www-Authenticate: Basic realm="x"`, "<html>401</html>"}},
		"nginx wants a certificate":         {answer: answer{400, "", "<html>400 No required SSL certificate was sent</html>"}},
		"oauth2-proxy, for JSON":            {answer: answer{401, "", "{}"}},
		"a page of a gateway":               {answer: answer{403, "", "<html>no</html>"}},
		"an API gateway's refusal":          {answer: answer{403, "", `{"message":"Forbidden"}`}, stands: true},
		"the same, without a gateway":       {answer: answer{403, "", `{"message":"Forbidden"}`}, passes: true},
		"a refusal for OpenAI's SDK":        {answer: answer{403, "", `{"error":{"message":"no"}}`}, stands: true, passes: true},
		"Langflow's refusal of a token":     {answer: answer{401, "Www-Authenticate: Bearer", `{"detail":"Invalid token"}`}, stands: true, passes: true},
		"Langflow's refusal of rights":      {answer: answer{403, "", `{"detail":"You are not allowed"}`}, stands: true, passes: true},
		"Langflow's refusal of a request":   {answer: answer{400, "", `{"detail":"SSL certificate"}`}, stands: true, passes: true},
		"rights, and a renewed cookie":      {answer: answer{403, "Set-Cookie: _oauth2_proxy=renewed; Max-Age=60", `{"detail":"You are not allowed"}`}, stands: true, passes: true},
		"a slash, and a renewed cookie":     {answer: answer{307, "Set-Cookie: _oauth2_proxy=renewed; Max-Age=60", ""}, stands: true, passes: true},
		"a cookie that is taken away":       {answer: answer{403, "Set-Cookie: _oauth2_proxy=; Max-Age=0", `{"detail":"no"}`}},
		"a component's text with 401":       {answer: answer{401, "", "no"}, passes: true},
		"a page of the server's own, as is": {answer: answer{200, "", "<html>hello</html>"}, stands: true, passes: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, "", func(w http.ResponseWriter, _ *http.Request) {
				if n, v, ok := strings.Cut(tt.header, ": "); ok {
					w.Header().Set(n, v)
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body) // a failure shows in the answer
			})
			r.gateway = tt.stands
			status, body := r.asked(http.MethodGet, "/api/v1/flows/", "")
			switch {
			case tt.passes && (status != tt.status || body != tt.body):
				t.Errorf("the program gets %d %s", status, body)
			case !tt.passes && (status != http.StatusBadGateway || !strings.Contains(body, `"type"`)):
				t.Errorf("the program gets %d %s", status, body)
			}
		})
	}
}

// A request that a gateway refused goes again where the command has printed something
// else, with its body; a second refusal is told.
func TestGatewayIsAskedAgain(t *testing.T) {
	refusals := 1
	r := start(t, "", func(w http.ResponseWriter, req *http.Request) {
		if refusals > 0 {
			refusals--
			w.Header().Set("Location", "https://t.cloudflareaccess.com/")
			w.WriteHeader(http.StatusFound)
			return
		}
		_, _ = io.Copy(w, req.Body) // a failure shows in the answer
	})
	asked := 0
	r.again = func(sent *http.Request) bool {
		asked++
		return sent != nil && sent.Header.Get("X-Api-Key") == "sk-first"
	}
	if status, body := r.asked(http.MethodPost, "/api/v1/flows/", `{"name":"f"}`); status != http.StatusOK || body != `{"name":"f"}` || asked != 1 {
		t.Errorf("the program gets %d %s after %d questions", status, body, asked)
	}
	refusals = 2
	if status, _ := r.asked(http.MethodPost, "/api/v1/flows/", `{"name":"f"}`); status != http.StatusBadGateway || refusals != 0 {
		t.Errorf("the program gets %d, %d refusals are left", status, refusals)
	}
	refusals, r.again = 2, nil
	if status, _ := r.asked(http.MethodGet, "/api/v1/flows/", ""); status != http.StatusBadGateway || refusals != 1 {
		t.Errorf("the program gets %d, %d refusals are left", status, refusals)
	}
}

// Where the account can't have keys, the identity provider's token stands in for one, or
// the gateway's word, which needs nothing.
func TestTokenInPlaceOfAKey(t *testing.T) {
	r := start(t, "", func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, req.Header.Get("Authorization")+"|"+req.Header.Get("X-Api-Key")) // a failure shows in the answer
	})
	r.keyErr = errors.New("no keys")
	if status, _ := r.asked(http.MethodGet, "/api/v1/flows/", ""); status == http.StatusOK {
		t.Error("without a key the request went on")
	}
	r.noKeys = true
	if status, body := r.asked(http.MethodGet, "/api/v1/flows/", ""); status != http.StatusOK || body != "Bearer the-token|" {
		t.Errorf("the program gets %d %s", status, body)
	}
	ask := New(Config{Profile: "prod", Source: r, Log: slog.New(slog.DiscardHandler), Needs: func() Needs { return Needs{NoKeys: true} }}).asker("1.13.0")
	if res, err := ask.get(t.Context(), "/api/v1/flows/", ""); err != nil {
		t.Errorf("a check of a body asks the server: %v", err)
	} else {
		defer res.Body.Close()
		if text, _ := io.ReadAll(res.Body); string(text) != "Bearer the-token|" {
			t.Errorf("a check of a body asks with %s", text)
		}
	}
	r.token = ""
	if status, body := r.asked(http.MethodGet, "/api/v1/flows/", ""); status != http.StatusOK || body != "|" {
		t.Errorf("the program gets %d %s", status, body)
	}
}
