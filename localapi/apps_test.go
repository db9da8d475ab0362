package localapi

import (
	"encoding/json"
	"testing"

	"langkeep/localapi/client"
)

// The apps have their last use, and the audit log is told in words.
func TestApps(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.must(201, "POST", "/v1/clients", `{"name":"ci","scopes":["read","token"],"profiles":["prod"]}`)
	r.must(200, "GET", "/v1/profiles/prod/token", "")
	var all client.Apps
	if err := json.Unmarshal([]byte(r.must(200, "GET", "/v1/apps", "")), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Apps) != 1 || all.Apps[0].Name != "ci" || all.Apps[0].LastAskedAt != nil {
		t.Errorf("the apps are %+v", all.Apps)
	}
	if len(all.Scopes) != len(grantable) || all.Scopes[0].May == "" {
		t.Errorf("the scopes are %+v", all.Scopes)
	}
	found := false
	for _, use := range all.Uses {
		found = found || use.Who == "You" && use.Did == "read a token" && use.Profile == "prod"
	}
	if !found {
		t.Errorf("the uses are %+v", all.Uses)
	}
	r.refused(client.TypeForbidden, "read", "GET", "/v1/apps", "")
}
