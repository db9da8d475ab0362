package doctor

import (
	"context"

	"langkeep/agent/langflow"
	"langkeep/localapi/words"
)

// account warns of an account with more power than a tool needs: a client with the
// scope proxy gets all of it.
func (s *server) account(ctx context.Context) Finding {
	client, credential, err := s.Credential(ctx)
	if err != nil {
		return credentialFinding(err)
	}
	user, err := client.WhoAmI(ctx, credential)
	if err != nil {
		return warning("Try again.", "%s", words.Sentence(err.Error()))
	}
	if user.Superuser {
		return warning("Give tools an account of their own that is no superuser.",
			"%s is a superuser there: a program with the scope proxy can take the whole server, its other accounts included.", user.Username)
	}
	return ok("%s is no superuser there.", user.Username)
}

// firstWithFloor is the first release of Langflow known to take no code in tweaks (the
// protected fields of 1.13.0), and to keep the results of components by user
// (Graph._vertex_result_cache_key there).
const firstWithFloor = "1.13"

// tweaks tells how far the scopes tweak and edit reach at this server. No answer of
// Langflow shows its policy on tweaks (1.13.0).
func (s *server) tweaks(ctx context.Context) Finding {
	version, err := s.client.Version(ctx)
	if err != nil {
		return warning("Try again.", "%s", words.Sentence(err.Error()))
	}
	if !langflow.AtLeast(version, firstWithFloor) {
		return warning("Upgrade it, and give the scope run rather than tweak or edit to tools that only run flows.",
			"Langflow %s may take code in tweaks (1.4.3 does), and shares results of components between users: a program with the scope tweak or edit can take the account.", version)
	}
	return ok("Langflow %s takes no code in tweaks, but commands and addresses of some components. "+
		"Whether it has LANGFLOW_TWEAKS_POLICY=off and LANGFLOW_FALLBACK_TO_ENV_VAR=false, which stop that, can't be told from here.", version)
}
