//go:build real

package langflow_test

import (
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/agent/secret"
)

// realTarget makes a target of a started Langflow, 1.13 but for what its caller
// changes.
func realTarget(s *real.Server, o real.Options) target {
	tg := target{
		url: s.URL, username: s.Username, password: s.Password,
		access: o.AccessLifetime, refresh: o.RefreshLifetime, algorithm: "HS256",
		cookie: "refresh_token_lf", cookiePath: "/",
		autoLogin: o.AutoLogin, autoLoginOff: 403, version: "1.13.0", packaged: "Langflow", session: true,
		addUser: s.AddUser, deactivate: s.Deactivate, deleteUser: s.DeleteUser, newSecret: s.RestartWithNewSecret,
		addKey: func() (secret.Text, func()) {
			key, id := s.AddAPIKey()
			return key, func() { s.RevokeAPIKey(id) }
		},
	}
	if o.Algorithm != "" {
		tg.algorithm = o.Algorithm
	}
	return tg
}

func TestContractOfReal(t *testing.T) {
	t.Run("1.13", func(t *testing.T) {
		o := real.Options{AccessLifetime: 10 * time.Minute, RefreshLifetime: time.Hour}
		contract(t, realTarget(real.Start(t, o), o))
	})
	t.Run("root path, RS256, auto login", func(t *testing.T) {
		o := real.Options{
			AccessLifetime: 10 * time.Minute, RefreshLifetime: time.Hour,
			RootPath: "/team/a", Algorithm: "RS256", AutoLogin: true,
		}
		tg := realTarget(real.Start(t, o), o)
		tg.cookie, tg.cookiePath = "refresh_token_lf_%2Fteam%2Fa", "/team/a/"
		contract(t, tg)
	})
	t.Run("rate limit and tokens that end", func(t *testing.T) {
		o := real.Options{AccessLifetime: 4 * time.Second, RefreshLifetime: 12 * time.Second, RateLimit: true}
		tg := realTarget(real.Start(t, o), o)
		tg.wait = time.Sleep // the server has no other clock
		t.Run("ends", tg.testEnds)
		tg.rateLimit = 5 - 1 // that took one of this minute's five
		contract(t, tg)
	})
}

// TestContractOfOlder is the suite on the versions that LANGKEEP_TEST_VERSIONS
// names, side by side.
func TestContractOfOlder(t *testing.T) {
	older := map[string]func(*target){
		"1.0.19": func(tg *target) {
			tg.session, tg.autoLoginOff = false, 400
			tg.secure, tg.tellsInput, tg.takesEmpty, tg.oldWords, tg.laxTokens = true, true, true, true, true
		},
		"1.4.3": func(tg *target) {
			tg.session, tg.autoLoginOff = false, 400
			tg.secure, tg.tellsInput, tg.takesEmpty, tg.oldWords, tg.laxTokens = true, true, true, true, true
		},
		"1.10.3": func(tg *target) { // which is langflow-base alone
			tg.version, tg.packaged, tg.secure, tg.tellsInput = "0.10.3", "Langflow Base", true, true
		},
	}
	for _, version := range real.Versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			change, ok := older[version]
			if !ok {
				t.Fatalf("nothing is known of a Langflow %s", version)
			}
			o := real.Options{Version: version, AccessLifetime: 10 * time.Minute, RefreshLifetime: time.Hour}
			tg := realTarget(real.Start(t, o), o)
			tg.version = version
			tg.newSecret = nil // TestVersions has it; each start takes most of a minute
			change(&tg)
			contract(t, tg)
		})
	}
}
