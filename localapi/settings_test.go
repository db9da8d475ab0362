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
	const before = `{"default_profile":"","log_level":"info","notify":{"sign_in_required":true,"offline":true,"back_to_normal":true}}`
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
	const after = `{"default_profile":"prod","log_level":"info","notify":{"sign_in_required":true,"offline":false,"back_to_normal":true}}`
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
