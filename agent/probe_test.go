package agent

import (
	"net/http"
	"slices"
	"testing"

	"langkeep/agent/config"
	"langkeep/agent/gateway"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// A server that has no profile is asked for its version and its ways in, and keeps none of
// the agent's connections afterwards.
func TestProbe(t *testing.T) {
	for name, tt := range map[string]struct {
		options langflowtest.Options
		version string
		methods []string
	}{
		"with passwords":         {langflowtest.Options{Version: "1.13"}, "1.13.0", []string{"password", "refresh-token", "api-key", "external"}},
		"with auto login":        {langflowtest.Options{Version: "1.13", AutoLogin: true}, "1.13.0", []string{"auto-login", "password", "refresh-token", "api-key", "external"}},
		"before external tokens": {langflowtest.Options{Version: "1.10"}, "1.10.0", []string{"password", "refresh-token", "api-key"}},
		"below a root path":      {langflowtest.Options{Version: "1.4", RootPath: "/team/a"}, "1.4.3", []string{"password", "refresh-token", "api-key"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, tt.options, func(r *rig) {
				got, err := r.Probe(r.t.Context(), config.Profile{ServerURL: r.server.URL + "/"})
				if err != nil || got.ServerURL != r.server.URL || got.Version != tt.version || !slices.Equal(got.Methods, tt.methods) || got.Gateway != "" {
					r.t.Errorf("got %+v, %v", got, err)
				}
				r.mu.Lock()
				defer r.mu.Unlock()
				if n := len(r.upstreams.connections); n != 0 {
					r.t.Errorf("%d connections are kept", n)
				}
			})
		})
	}
}

func TestProbeOfNoServer(t *testing.T) {
	for name, tt := range map[string]struct {
		profile func(server string) config.Profile
		fault   *langflowtest.Fault
		kind    ErrorKind
		reason  string
	}{
		"no address":         {func(string) config.Profile { return config.Profile{} }, nil, BadRequest, ""},
		"a CA file missing":  {func(u string) config.Profile { return config.Profile{ServerURL: u, CAFile: "/nowhere/ca.pem"} }, nil, BadRequest, ""},
		"another web server": {func(u string) config.Profile { return config.Profile{ServerURL: u} }, new(langflowtest.HTML(200)), ServerUnreachable, "not-langflow"},
		"a broken server":    {func(u string) config.Profile { return config.Profile{ServerURL: u} }, new(langflowtest.JSON(500, "{}")), ServerUnreachable, "server-error"},
		"nobody there":       {func(u string) config.Profile { return config.Profile{ServerURL: u} }, &langflowtest.Fault{Reset: true}, ServerUnreachable, "unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, langflowtest.Options{}, func(r *rig) {
				if tt.fault != nil {
					r.server.Fault("", *tt.fault)
				}
				_, err := r.Probe(r.t.Context(), tt.profile(r.server.URL))
				if e := r.fails(err, tt.kind); e.Reason != tt.reason {
					r.t.Errorf("the reason is %q: %v", e.Reason, err)
				}
			})
		})
	}
}

// A profile's server is asked through its gateway; one that the gateway hides is named.
func TestProbeProfile(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		g := guarded(r, carries("X-Team", "flows"))
		r.addProfile("prod")
		all := []string{"password", "refresh-token", "api-key", "external"}
		got, err := r.ProbeProfile(r.t.Context(), "prod")
		if err != nil || got.Gateway != vocabulary.CloudflareAccess || got.Version != "" || !slices.Equal(got.Methods, all) {
			r.t.Errorf("without the header: %+v, %v", got, err)
		}
		if _, err := r.Login(r.t.Context(), "prod", credentialsOf(langflowtest.Admin(), gateway.Headers{"X-Team": secret.New("flows")})); err != nil {
			r.t.Fatal(err)
		}
		got, err = r.ProbeProfile(r.t.Context(), "prod")
		if err != nil || got.Gateway != "" || got.Version != "1.13.0" || !slices.Equal(got.Methods, all) {
			r.t.Errorf("with it: %+v, %v", got, err)
		}
		g.set(func(g *gate) { g.admits = func(*http.Request) bool { return false } })
		_, err = r.ProbeProfile(r.t.Context(), "none")
		if e := r.fails(err, NotFound); e.Code != NoProfile {
			r.t.Errorf("the code is %q", e.Code)
		}
	})
}
