package words

import (
	"testing"

	"langkeep/agent/audit"
)

func TestAuditInWords(t *testing.T) {
	for want, u := range map[string]audit.Use{
		"You read a token": {Client: "owner", What: "GET /v1/profiles/{name}/token"},
		"You had no success (sign in required): read a token":                   {Client: "owner", What: "GET /v1/profiles/{name}/token", Failed: "sign-in-required"},
		"ci was refused (forbidden): read an API key":                           {Client: "ci", What: "GET /v1/profiles/{name}/api-key", Refused: "forbidden"},
		"Somebody unknown was refused (unauthorized): looked at the state":      {What: "GET /v1/status", Refused: "unauthorized"},
		"You added the app ci":                                                  {Client: "owner", What: "POST /v1/clients", About: "ci"},
		"You revoked the app a tool":                                            {Client: "owner", What: "DELETE /v1/clients/{name}", About: "a tool"},
		"You, on the page connected the tool cursor":                            {Client: "page", What: "POST /v1/tools/{name}", About: "cursor"},
		"You was refused (bad request): added an app":                           {Client: "owner", What: "POST /v1/clients", Refused: "bad-request"},
		"You, on the page signed out":                                           {Client: "page", What: "POST /v1/profiles/{name}/logout"},
		"ci called GET /api/v1/flows/{flow_id} through the proxy":               {Client: "ci", What: "proxy GET /api/v1/flows/{flow_id}"},
		"Somebody unknown set ask: never, was new":                              {What: "ask: never, was new"},
		"You gave /usr/bin/curl the answer: always, token":                      {Client: "owner", What: "answer: always, token", About: "/usr/bin/curl"},
		"You gave a program that can't be told the answer: once, key":           {Client: "owner", What: "answer: once, key"},
		"ci called POST /api/v1/run/{flow}":                                     {Client: "ci", What: "POST /api/v1/run/{flow}"},
		"Somebody unknown was refused (not found): asked for what there is not": {What: "unknown route", Refused: "not-found"},
	} {
		if got := Who(u) + " " + Did(u); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOwnLook(t *testing.T) {
	for u, want := range map[audit.Use]bool{
		{Client: "owner", What: "GET /v1/status"}:                                true,
		{Client: "page", What: "GET /v1/clients"}:                                true,
		{Client: "owner", What: "GET /v1/profiles/{name}", Refused: "not-found"}: true,
		{Client: "owner", What: "GET /v1/status", Refused: "forbidden-origin"}:   false,
		{Client: "owner", What: "GET /v1/profiles/{name}/token"}:                 false,
		{Client: "ci", What: "GET /v1/status"}:                                   false,
	} {
		if OwnLook(u) != want {
			t.Errorf("%+v: %v", u, !want)
		}
	}
}

func TestBy(t *testing.T) {
	for p, want := range map[audit.Process]string{
		{PID: 7, Exe: "/usr/bin/curl"}: "curl", {PID: 7, Exe: `C:\Program Files\langkeep.exe`}: "langkeep.exe",
		{PID: 7}: "process 7", {}: "", {PID: 7, Exe: "/bin/c\x1b[2J"}: "c[2J",
	} {
		if got := By(p); got != want {
			t.Errorf("%+v is %q, want %q", p, got, want)
		}
	}
}
