package localapi

import (
	"encoding/json"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/secret"
)

// FuzzTokenAnswer holds the answer that is put together by hand against
// encoding/json.
func FuzzTokenAnswer(f *testing.F) {
	f.Add("prod", "https://flows.example.org", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", int64(1800000000), int64(3599999999999))
	f.Add("prod", "http://[::1]:7860/a%20b", "", int64(0), int64(0))
	f.Add("", `"\<>&`, "\x00\n\u2028é\xff~\x7f", int64(1), int64(-5))
	f.Fuzz(func(t *testing.T, profile, server, token string, at, left int64) {
		g := agent.Grant{Profile: profile, ServerURL: server, Token: secret.New(token), ExpiresIn: time.Duration(left)}
		if at > 0 {
			g.ExpiresAt = time.Unix(at%253402300000, 5) // up to the year 9999
		}
		want := map[string]any{
			"profile": profile, "server_url": server, "access_token": token, "token_type": "Bearer", "expires_at": nil, "expires_in": nil,
		}
		if !g.ExpiresAt.IsZero() {
			want["expires_at"], want["expires_in"] = g.ExpiresAt.UTC().Truncate(time.Second), left/int64(time.Second)
		}
		expected, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		body := appendToken(nil, g)
		// The same fields in the same order as ever, for who reads the text.
		var answer struct {
			Profile     json.RawMessage `json:"profile"`
			ServerURL   json.RawMessage `json:"server_url"`
			AccessToken json.RawMessage `json:"access_token"`
			TokenType   json.RawMessage `json:"token_type"`
			ExpiresAt   json.RawMessage `json:"expires_at"`
			ExpiresIn   json.RawMessage `json:"expires_in"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		again, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		if string(again)+"\n" != string(body) {
			t.Errorf("%q is written as %q", again, body)
		}
		var got, wanted map[string]any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(expected, &wanted); err != nil {
			t.Fatal(err)
		}
		for name := range wanted {
			if got[name] != wanted[name] {
				t.Errorf("%s is %v, want %v", name, got[name], wanted[name])
			}
		}
	})
}
