package localapi

import (
	"encoding/json"
	"testing"
	"time"

	"langkeep/localapi/client"
)

// The apps have their last use, and the audit log is told in words.
func TestApps(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.must(201, "POST", "/v1/clients", `{"name":"ci","scopes":["read","token"],"profiles":["prod"]}`)
	r.must(200, "GET", "/v1/profiles/prod/token", "")
	var all client.Apps
	var read, looked bool
	for begun := time.Now(); !read || !looked; { // the audit log is written beside
		if time.Since(begun) > 5*time.Second {
			t.Fatalf("the uses are %+v", all.Uses)
		}
		if err := json.Unmarshal([]byte(r.must(200, "GET", "/v1/apps", "")), &all); err != nil {
			t.Fatal(err)
		}
		for _, use := range all.Uses {
			read = read || use.Who == "You" && use.Did == "read a token" && use.Profile == "prod" && !use.OwnLook
			looked = looked || use.Did == "looked at the apps" && use.OwnLook
		}
	}
	if len(all.Apps) != 1 || all.Apps[0].Name != "ci" || all.Apps[0].LastAskedAt != nil {
		t.Errorf("the apps are %+v", all.Apps)
	}
	if len(all.Scopes) != len(grantable) || all.Scopes[0].May == "" {
		t.Errorf("the scopes are %+v", all.Scopes)
	}
	r.refused(client.TypeForbidden, "read", "GET", "/v1/apps", "")
}
