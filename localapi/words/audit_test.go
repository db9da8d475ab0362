package words

import (
	"testing"

	"langkeep/agent/audit"
)

func TestAuditInWords(t *testing.T) {
	for want, u := range map[string]audit.Use{
		"You read a token": {Client: "owner", What: "GET /v1/profiles/{name}/token"},
		"ci was refused (forbidden): read an API key":                           {Client: "ci", What: "GET /v1/profiles/{name}/api-key", Refused: "forbidden"},
		"Somebody unknown was refused (unauthorized): looked at the state":      {What: "GET /v1/status", Refused: "unauthorized"},
		"You, on the page signed out":                                           {Client: "page", What: "POST /v1/profiles/{name}/logout"},
		"ci called POST /api/v1/run/{flow}":                                     {Client: "ci", What: "POST /api/v1/run/{flow}"},
		"Somebody unknown was refused (not found): asked for what there is not": {What: "unknown route", Refused: "not-found"},
	} {
		if got := Who(u) + " " + Did(u); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
