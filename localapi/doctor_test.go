package localapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"langkeep/localapi/client"
	"langkeep/localapi/doctor"
)

// calm finds that all is well.
type calm struct{}

func (calm) Look(context.Context) []doctor.Result {
	return []doctor.Result{{Check: "keychain", Finding: doctor.Finding{Verdict: doctor.Warning, Found: "It is full.", Advice: "Empty it."}}}
}

func (calm) LookAt(_ context.Context, profile string) []doctor.Result {
	return []doctor.Result{{Check: "dns", Finding: doctor.Finding{Verdict: doctor.OK, Found: profile + " is there."}}}
}

func TestDoctor(t *testing.T) {
	r := newRig(t)
	r.server.Doctor = calm{}
	const own = `{"check":"keychain","profile":null,"verdict":"warning","found":"It is full.","advice":"Empty it."}`
	if body := r.must(200, "POST", "/v1/doctor", `{}`); strings.TrimSpace(body) != `{"checks":[`+own+`]}` {
		t.Errorf("got %s", body)
	}
	r.refused(client.TypeNotFound, "owner", "POST", "/v1/doctor", `{"profile":"absent"}`)
	r.refused(client.TypeBadRequest, "owner", "POST", "/v1/doctor", `{"name":"prod"}`)
	for caller := range allCallers() {
		if caller != "owner" {
			r.refused(client.TypeForbidden, caller, "POST", "/v1/doctor", `{}`)
		}
	}
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
	var report client.Report
	if err := json.Unmarshal([]byte(r.must(200, "POST", "/v1/doctor", `{"profile":"prod"}`)), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Checks) != 2 || *report.Checks[1].Profile != "prod" || report.Checks[1].Found != "prod is there." || report.Checks[1].Advice != nil {
		t.Errorf("got %+v", report)
	}
}
