package words

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"langkeep/agent/audit"
)

// did has the words for the routes that people ask about, behind the asker's name.
var did = map[string]string{
	"GET /v1/profiles/{name}/token":         "read a token",
	"GET /v1/profiles/{name}/api-key":       "read an API key",
	"POST /v1/leases":                       "got a token of its own",
	"POST /v1/lease":                        "went on with its token",
	"DELETE /v1/client":                     "gave its token back",
	"POST /v1/clients":                      "added an app",
	"DELETE /v1/clients/{name}":             "revoked an app",
	"PATCH /v1/clients":                     "looked at the apps",
	"GET /v1/clients":                       "looked at the apps",
	"GET /v1/apps":                          "looked at the apps",
	"GET /v1/audit":                         "looked at the audit log",
	"POST /v1/profiles":                     "added the profile",
	"PATCH /v1/profiles/{name}":             "changed the profile",
	"DELETE /v1/profiles/{name}":            "removed the profile",
	"POST /v1/profiles/{name}/login":        "signed in",
	"POST /v1/profiles/{name}/logout":       "signed out",
	"POST /v1/profiles/{name}/login/cancel": "gave up the sign-in",
	"POST /v1/page/confirm/code":            "asked for a code to confirm with",
	"POST /v1/page/confirm":                 "confirmed with a code",
	"POST /v1/profiles/{name}/refresh":      "refreshed the session",
	"GET /v1/profiles/{name}/keys":          "looked at the account's API keys",
	"DELETE /v1/profiles/{name}/keys":       "revoked an API key of the account",
	"POST /v1/tools/{name}":                 "connected a tool",
	"preview POST /v1/tools/{name}":         "looked at what connecting a tool changes",
	"DELETE /v1/tools/{name}":               "disconnected a tool",
	"PATCH /v1/settings":                    "changed a setting",
	"POST /v1/lock":                         "locked Langkeep",
	"POST /v1/unlock":                       "unlocked Langkeep",
	"POST /v1/page/code":                    "opened the page",
	"POST /v1/page/token":                   "opened the page",
	"POST /v1/stop":                         "stopped Langkeep",
	"POST /v1/doctor":                       "ran the doctor",
	"POST /v1/asks/{name}":                  "answered a program",
	"DELETE /v1/asks":                       "took an answer back",
	"unknown route":                         "asked for what there is not",
	"proxy":                                 "used the proxy",
}

// looks are the routes that only look at how things are.
var looks = []string{"GET /v1/status", "GET /v1/profiles", "GET /v1/profiles/{name}", "GET /v1/events", "GET /v1/events/recent", "GET /v1/page/events",
	"GET /v1/settings", "GET /v1/tools", "GET /v1/asks", "GET /v1/openapi.yaml", "GET /metrics", "POST /v1/probe"}

// OwnLook tells whether the person themselves, by a command or the page, only looked; at a
// profile that there is not too, as login does.
func OwnLook(u audit.Use) bool {
	return (u.Client == "owner" || u.Client == "page") && (u.Refused == "" || u.Refused == "not-found") &&
		(slices.Contains(looks, u.What) || strings.HasPrefix(did[u.What], "looked at ") || u.What == "POST /v1/doctor")
}

// Did says what a use of the audit log was, behind the asker's name: read a token. A route
// of Langflow, through the proxy, stays as it is.
func Did(u audit.Use) string {
	said := did[u.What]
	if slices.Contains(looks, u.What) {
		said = "looked at the state"
	}
	if u.About != "" {
		said = strings.NewReplacer("an app", "the app "+Safe(string(u.About)), "a tool", "the tool "+Safe(string(u.About))).Replace(said)
	}
	if said == "" {
		said = Safe(u.What)
		switch route, proxied := strings.CutPrefix(said, "proxy "); {
		case proxied:
			said = "called " + route + " through the proxy"
		case strings.HasPrefix(said, "ask: "):
			said = "set " + said
		case strings.HasPrefix(said, "answer: "):
			said = "gave " + cmp.Or(Safe(string(u.About)), "a program that can't be told") + " the " + said
		case strings.Contains(said, "/"):
			said = "called " + said
		}
	}
	kind := func(t audit.Text) string { return strings.ReplaceAll(Safe(string(t)), "-", " ") }
	switch {
	case u.Refused != "":
		return "was refused (" + kind(u.Refused) + "): " + said
	case u.Failed != "":
		return "had no success (" + kind(u.Failed) + "): " + said
	}
	return said
}

// By is the name of the program behind a use; "" if it is not known.
func By(p audit.Process) string {
	if p.PID == 0 {
		return ""
	}
	name := Safe(string(p.Exe))
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	if name == "" || name == "." {
		return fmt.Sprintf("process %d", p.PID)
	}
	return name
}

// Who names the asker of a use.
func Who(u audit.Use) string {
	switch u.Client {
	case "":
		return "Somebody unknown"
	case "owner":
		return "You"
	case "page":
		return "You, on the page"
	}
	return Safe(string(u.Client))
}
