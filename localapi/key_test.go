package localapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"langkeep/localapi/client"
)

func TestKey(t *testing.T) {
	r := newRig(t)
	r.refused(client.TypeNotFound, "owner", "GET", "/v1/profiles/absent/api-key", "")
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
	r.refused(client.TypeSignInRequired, "owner", "GET", "/v1/profiles/prod/api-key", "")
	r.must(200, "DELETE", "/v1/profiles/prod", "")
	r.signIn()
	var key struct {
		Profile   string     `json:"profile"`
		ServerURL string     `json:"server_url"`
		APIKey    string     `json:"api_key"`
		ExpiresAt *time.Time `json:"expires_at"`
	}
	decoder := json.NewDecoder(strings.NewReader(r.must(200, "GET", "/v1/profiles/prod/api-key", "")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&key); err != nil {
		t.Fatal(err)
	}
	if key.Profile != "prod" || key.ServerURL != r.langflow.URL || !strings.HasPrefix(key.APIKey, "sk-") || key.ExpiresAt == nil {
		t.Errorf("got profile %s at %s, ends %v", key.Profile, key.ServerURL, key.ExpiresAt)
	}
	status, header, text := r.ask("api-key", "GET", "/v1/profiles/prod/api-key", "", "Accept", "text/plain")
	if status != http.StatusOK || text != key.APIKey || header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("as text: %d, %s, the same key: %v", status, header.Get("Content-Type"), text == key.APIKey)
	}
	if p := r.refused(client.TypeLifetimeTooShort, "owner", "GET", "/v1/profiles/prod/api-key?min_valid=1000h", ""); p.MaxValid == nil {
		t.Error("a lifetime that is too long is refused without the longest one")
	}
	r.refused(client.TypeBadRequest, "owner", "GET", "/v1/profiles/prod/api-key?min_valid=soon", "")
}

func TestKeys(t *testing.T) {
	r := newRig(t)
	r.signIn()
	if body := r.must(200, "GET", "/v1/profiles/prod/keys", ""); strings.TrimSpace(body) != `{"keys":[]}` {
		t.Errorf("without a key there is %s", body)
	}
	r.must(200, "GET", "/v1/profiles/prod/api-key", "")
	list := func() []client.AccountKey {
		t.Helper()
		var all client.Keys
		if err := json.Unmarshal([]byte(r.must(200, "GET", "/v1/profiles/prod/keys", "")), &all); err != nil {
			t.Fatal(err)
		}
		return all.Keys
	}
	keys := list()
	if len(keys) != 1 || !keys[0].Managed || !keys[0].Current || !keys[0].Active || keys[0].ExpiresAt == nil || keys[0].ID == "" {
		t.Fatalf("the list is %+v", keys)
	}
	r.refused(client.TypeBadRequest, "owner", "DELETE", "/v1/profiles/prod/keys", "")
	r.refused(client.TypeNotFound, "owner", "DELETE", "/v1/profiles/prod/keys?id=absent", "")
	if left := r.langflow.Keys(); left != 1 {
		t.Errorf("after refusals %d keys are left", left)
	}
	r.must(204, "DELETE", "/v1/profiles/prod/keys?id="+keys[0].ID, "")
	if after := list(); len(after) != 0 || r.langflow.Keys() != 0 {
		t.Errorf("after its end the list is %+v, and the server has %d", after, r.langflow.Keys())
	}
}
