package doctor

import (
	"context"
	"net/http"
	"sync"

	"langkeep/agent"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/paths"
	"langkeep/agent/vocabulary"
)

// Inside makes the checks that only the agent can make: of its store, its desktop, and
// servers with the held credentials.
type Inside struct {
	Agent      *agent.Agent
	Store      keychain.Store
	PeerLookup func() error
	Clipboard  func() error // tells why the tray can't copy secrets
	Paths      paths.Paths
	Home       string // written as ~
	UserAgent  string

	trip sync.Mutex // held during the check of the store, which uses one account
}

// Look makes the checks that are about no profile.
func (i *Inside) Look(ctx context.Context) []Result {
	i.trip.Lock()
	defer i.trip.Unlock()
	checks := append([]Check{Keychain(i.Store)}, Desktop(i.Clipboard)...)
	return Run(ctx, i.Home, append(checks, PeerLookup(i.PeerLookup))...)
}

// LookAt makes the checks of a profile.
func (i *Inside) LookAt(ctx context.Context, name string) []Result {
	return Run(ctx, i.Home, ProfileChecks(i.Paths, name, i.UserAgent, i.Agent)...)
}

// ProfileChecks are the checks of a profile as its file has it; a is nil if no agent
// runs.
func ProfileChecks(p paths.Paths, name, userAgent string, a *agent.Agent) []Check {
	unusable := func(err error) []Check {
		return []Check{{Name: "server-url", Look: func(context.Context) Finding {
			return failed("Mend its file.", "The settings of %s can't be read (%v).", name, err)
		}}}
	}
	if err := vocabulary.ValidName(name); err != nil {
		return unusable(err)
	}
	profile, err := config.LoadProfile(p.ProfileFile(name))
	if err != nil {
		return unusable(err)
	}
	s := Server{Profile: profile, UserAgent: userAgent}
	if a != nil {
		s.Credential = func(ctx context.Context) (*langflow.Client, langflow.Credential, error) {
			return a.Credential(ctx, name)
		}
		s.Key = func(ctx context.Context) (*langflow.Client, langflow.Credential, error) {
			return a.KeyCredential(ctx, name)
		}
		s.Through = func(own, foreign http.RoundTripper) http.RoundTripper { return a.Through(name, own, foreign) }
		s.EndsKeys = func() bool { return a.EndsKeys(name) }
	}
	return s.Checks()
}
