package localapi

import (
	"os"
	"strings"
	"testing"

	"langkeep/localapi/client"
)

func TestSettings(t *testing.T) {
	r := newRig(t)
	r.signIn()
	if err := os.WriteFile(r.config, []byte("# mine\n[notify]\noffline = true # always\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const before = `{"default_profile":"","log_level":"info","notify":{"sign_in_required":true,"offline":true,"back_to_normal":true},"start_at_login":null,"offer_start":false}`
	if body := r.must(200, "GET", "/v1/settings", ""); strings.TrimSpace(body) != before {
		t.Errorf("settings: %s", body)
	}
	// Nothing is changed where one of the settings is refused.
	for _, name := range []string{"nosuch", "Prod", "../prod"} {
		p := r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/settings", `{"default_profile":"`+name+`","log_level":"debug"}`)
		if !strings.Contains(p.Detail, "default_profile") || !strings.Contains(p.Detail, name) {
			t.Errorf("%s: the detail is %q", name, p.Detail)
		}
	}
	if body := r.must(200, "GET", "/v1/settings", ""); strings.TrimSpace(body) != before {
		t.Errorf("settings after a profile that is not there: %s", body)
	}
	const after = `{"default_profile":"prod","log_level":"info","notify":{"sign_in_required":true,"offline":false,"back_to_normal":true},"start_at_login":null,"offer_start":false}`
	if body := r.must(200, "PATCH", "/v1/settings", `{"default_profile":"prod","notify":{"offline":false}}`); strings.TrimSpace(body) != after {
		t.Errorf("changed: %s", body)
	}
	text, err := os.ReadFile(r.config)
	if want := "# mine\ndefault_profile = \"prod\"\n[notify]\noffline = false # always\n"; err != nil || string(text) != want {
		t.Errorf("the file is %q, %v", text, err)
	}
	r.must(200, "PATCH", "/v1/settings", `{"default_profile":""}`)
	// One that a person wrote and that is gone is no change of this request.
	if err := os.WriteFile(r.config, []byte("default_profile = \"gone\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.must(200, "PATCH", "/v1/settings", `{"default_profile":"gone","log_level":"debug"}`)
	r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/settings", `{"log_level":"loud"}`)
	r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/settings", `{"listen":"0.0.0.0:1"}`)
	if err := os.WriteFile(r.config, []byte("listen = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := r.refused(client.TypeConflict, "owner", "PATCH", "/v1/settings", `{"log_level":"debug"}`); !strings.Contains(p.Detail, "config.toml:1") {
		t.Errorf("the detail is %q", p.Detail)
	}
}

// memoryStart is a start at login that nothing starts.
type memoryStart struct{ on, offered bool }

func (m *memoryStart) Enabled() bool     { return m.on }
func (m *memoryStart) Set(on bool) error { m.on = on; return nil }
func (m *memoryStart) IsOffered() bool   { return m.offered }
func (m *memoryStart) Offered() error    { m.offered = true; return nil }

// The start at login is offered until somebody has answered.
func TestStartAtLogin(t *testing.T) {
	r := newRig(t)
	has := func(want string) {
		t.Helper()
		if body := r.must(200, "GET", "/v1/settings", ""); !strings.Contains(body, want) {
			t.Errorf("the settings are %s, want %s", body, want)
		}
	}
	r.refused(client.TypeNotSupported, "owner", "PATCH", "/v1/settings", `{"start_at_login":true}`)
	r.server.Autostart = &memoryStart{}
	has(`"start_at_login":false,"offer_start":true`)
	r.must(200, "PATCH", "/v1/settings", `{"start_at_login":true}`)
	has(`"start_at_login":true,"offer_start":false`)
	r.must(200, "PATCH", "/v1/settings", `{"start_at_login":false}`)
	has(`"start_at_login":false,"offer_start":false`)
	r.server.Autostart = &memoryStart{}
	r.must(200, "PATCH", "/v1/settings", `{"offer_start":false}`)
	has(`"start_at_login":false,"offer_start":false`)
}
