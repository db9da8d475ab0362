package words

import "strings"

// scopeWords complete "a client may …" for each scope. They name code and credentials
// wherever a scope gives them.
var scopeWords = map[string]string{
	"read":    "see how the sessions are",
	"token":   "get access tokens",
	"api-key": "get API keys",
	"run":     "run flows with inputs",
	"tweak":   "run flows with tweaks and uploads, which can be code",
	"edit":    "use the account, without what takes code",
	"proxy":   "use the whole account, code and credentials included",
	"manage":  "sign in and out",
}

// May says what scopes let a client do: "run flows with inputs and get access
// tokens".
func May(scopes []string) string {
	said := make([]string, len(scopes))
	for i, s := range scopes {
		if said[i] = scopeWords[s]; said[i] == "" {
			said[i] = Safe(s) // from a newer agent
		}
	}
	if n := len(said); n > 1 {
		return strings.Join(said[:n-1], ", ") + " and " + said[n-1]
	}
	return strings.Join(said, "")
}
