package localapi

import (
	"net/http"

	"langkeep/agent/audit"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
)

// mostUses bounds the uses that apps lists.
const mostUses = 200

// apps answers with the clients, when each last asked, what one can be allowed, and the
// last uses in words.
func (s *Server) apps(w http.ResponseWriter, _ *http.Request, _ *guard.Caller, _ string) error {
	if err := s.Clients.Problem(); err != nil {
		return err
	}
	all := client.Apps{Apps: []client.App{}, Scopes: []client.ScopeInWords{}, Uses: []client.AppUse{}} // never null
	entries := s.Audit.Entries(0)
	last := map[audit.Text]audit.Entry{}
	for _, e := range entries {
		last[e.Client] = e
	}
	for _, c := range s.Clients.All() {
		app := client.App{LocalClient: presentClient(c)}
		if e, ok := last[audit.Text(c.Name)]; ok && e.At.After(c.Created) {
			app.LastAskedAt = moment(e.At)
		}
		all.Apps = append(all.Apps, app)
	}
	for _, scope := range grantable {
		all.Scopes = append(all.Scopes, client.ScopeInWords{Scope: string(scope), May: words.May([]string{string(scope)})})
	}
	for i := len(entries) - 1; i >= 0 && len(all.Uses) < mostUses; i-- {
		e := entries[i]
		use := client.AppUse{At: *moment(e.At), Client: string(e.Client), Profile: string(e.Profile), Who: words.Who(e.Use), Did: words.Did(e.Use), Count: e.Count,
			OwnLook: words.OwnLook(e.Use)}
		if e.Process.Exe != "" {
			use.Program = words.By(e.Process)
		}
		all.Uses = append(all.Uses, use)
	}
	return answer(w, http.StatusOK, all)
}
