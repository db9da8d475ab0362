package agent

import (
	"io"
	"net/http"
	"testing"

	"langkeep/agent/config"
	"langkeep/agent/langflow/langflowtest"
)

// A proxy's requests go to the profile's server, with the version and the settings that
// the proxy heeds.
func TestUpstream(t *testing.T) {
	bubble(t, langflowtest.Options{RootPath: "/team"}, func(r *rig) {
		if _, _, err := r.Upstream("prod"); err == nil {
			r.t.Error("there is an upstream without a profile")
		}
		if got := r.ProxyNeeds("prod"); got != (ProxyNeeds{}) {
			r.t.Errorf("without a profile a proxy needs %+v", got)
		}
		if _, err := r.Add(config.Profile{Name: "prod", ServerURL: r.server.URL, UnknownRoutes: true}); err != nil {
			r.t.Fatal(err)
		}
		if err := r.logIn(r.t.Context(), "prod", langflowtest.Admin().Name, langflowtest.Admin().Password); err != nil {
			r.t.Fatal(err)
		}
		u, way, err := r.Upstream("prod")
		if err != nil || u.String() != r.server.URL {
			r.t.Fatalf("the upstream is %v, %v", u, err)
		}
		token, err := r.Access(r.t.Context(), "prod")
		if err != nil {
			r.t.Fatal(err)
		}
		ask, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, u.JoinPath("api/v1/users/whoami").String(), nil)
		if err != nil {
			r.t.Fatal(err)
		}
		ask.Header.Set("Authorization", "Bearer "+token.Reveal())
		res, err := way.RoundTrip(ask)
		if err != nil {
			r.t.Fatal(err)
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
			r.t.Errorf("whoami: %d %s", res.StatusCode, body)
		}
		if got := r.ProxyNeeds("prod"); got != (ProxyNeeds{Version: "1.13.0", UnknownRoutes: true}) {
			r.t.Errorf("the proxy needs %+v", got)
		}
		r.ProxyIs("prod", ProxyState{ProxyOpen: true})
		if s := r.is("prod", Fresh); !s.ProxyOpen {
			r.t.Error("the snapshot does not show the proxy")
		}
		if err := r.SetLocked(Person, true); err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.Access(r.t.Context(), "prod"); err == nil {
			r.t.Error("a locked agent gives its proxy a token")
		}
	})
}

// A gateway that refuses a proxy's request is asked again at once only if something newer
// can be sent; else the session looks for itself.
func TestGatewayRefusesAProxy(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		ask, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.server.URL, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		before := r.server.Count("/users/whoami")
		if r.GatewayRefused("prod", ask) {
			r.t.Error("the same request is sent again")
		}
		if r.GatewayRefused("none", ask) {
			r.t.Error("a request without a profile is sent again")
		}
		r.is("prod", Fresh)
		if r.server.Count("/users/whoami") == before {
			r.t.Error("the session was not proven")
		}
	})
}
