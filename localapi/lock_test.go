package localapi

import (
	"encoding/json"
	"strings"
	"testing"

	"langkeep/localapi/client"
)

func TestLock(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`)
	held := r.newClient("tool", "run", "token")
	asks := func(kind string) {
		t.Helper()
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/v1/profiles/prod/token", ""},
			{"GET", "/v1/profiles/prod/api-key", ""},
			{"POST", "/v1/clients", `{"name":"later","profiles":["prod"],"scopes":["token"]}`},
			{"POST", "/v1/leases", `{"profile":"prod","scopes":["run"],"for":"exec"}`},
		} {
			r.refused(kind, "owner", c.method, c.path, c.body)
		}
		r.refused(kind, held, "GET", "/v1/profiles/prod/token", "")
	}
	for _, path := range []string{"/v1/lock", "/v1/unlock"} {
		for _, token := range []string{held, "manage", "proxy"} {
			r.refused(client.TypeForbidden, token, "POST", path, "")
		}
	}
	r.must(204, "POST", "/v1/lock", "")
	asks(client.TypeLocked)
	var status client.Status
	if err := json.Unmarshal([]byte(r.must(200, "GET", "/v1/status", "")), &status); err != nil || !status.Locked {
		t.Errorf("the status: %+v, %v", status, err)
	}
	r.must(200, "POST", "/v1/profiles/prod/refresh", "")
	r.must(204, "POST", "/v1/lock", "")
	r.must(204, "POST", "/v1/unlock", "")
	if got := r.must(200, "GET", "/v1/profiles/prod/token", ""); !strings.Contains(got, "access_token") {
		t.Error(got)
	}
}
