package paths

import "strings"

// ForPrograms is the environment of a program that the agent starts for a person: this
// process's own without Langkeep's variables, some of which lead to secrets. LANGKEEP_HOME
// stays, since the program may run langkeep.
func ForPrograms(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		name, _, _ := strings.Cut(strings.ToUpper(variable), "=") // Windows ignores the case
		if !strings.HasPrefix(name, "LANGKEEP_") || name == "LANGKEEP_HOME" {
			kept = append(kept, variable)
		}
	}
	return kept
}
