package main

import (
	"runtime"
	"slices"
	"strings"

	"langkeep/agent/secret"
)

// The variables in which tools look for Langflow: lfx and langflow-sdk 0.4, Langflow's
// own examples, langflow-builder-mcp (LANGFLOW_MCP_*), and our own programs.
var (
	serverVariables = []string{"LANGFLOW_URL", "LANGFLOW_SERVER_URL", "LANGFLOW_API_URL", "LFX_URL", "LANGFLOW_MCP_LANGFLOW_URL"}
	keyVariables    = []string{"LANGFLOW_API_KEY", "LFX_API_KEY", "API_ACCESS_TOKEN", "LANGFLOW_MCP_API_KEY"}
	agentVariables  = []string{"LANGKEEP_URL", "LANGKEEP_TOKEN", "LANGKEEP_PROFILE"}
	// agentPlaces name the places of an agent's files, which are not for a child.
	agentPlaces = []string{"LANGKEEP_HOME", "LANGKEEP_PASSPHRASE_FILE"}
	noProxy     = []string{"NO_PROXY", "no_proxy"}
)

// access is a program's access to a Langflow server.
type access struct {
	profile string
	server  string      // the proxy's URL, or the server's own
	key     secret.Text // a client token, or a key
	agent   string      // the local API; "" for a program that must not use it
}

// variable is one of an environment.
type variable struct{ name, value string }

// variables are the environment variables that give a program its access.
func (a access) variables() []variable {
	var all []variable
	for _, name := range serverVariables {
		all = append(all, variable{name, a.server})
	}
	for _, name := range keyVariables {
		all = append(all, variable{name, a.key.Reveal()})
	}
	if a.agent != "" {
		all = append(all, variable{"LANGKEEP_URL", a.agent}, variable{"LANGKEEP_TOKEN", a.key.Reveal()},
			variable{"LANGKEEP_PROFILE", a.profile})
	}
	return all
}

// childEnv is the environment of a program with that access: environ without other
// variables that lead to a Langflow or to our files.
func childEnv(environ []string, a access) []string {
	removed := slices.Concat(serverVariables, keyVariables, agentVariables, agentPlaces, noProxy)
	var env []string
	var direct []string
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if isNamed(name, noProxy) {
			direct = append(direct, value)
		}
		if !isNamed(name, removed) {
			env = append(env, kv)
		}
	}
	for _, v := range a.variables() {
		env = append(env, v.name+"="+v.value)
	}
	for _, name := range noProxy {
		env = append(env, name+"="+withLoopback(direct...))
	}
	return env
}

// isNamed tells whether a variable is in the list; on Windows case does not matter.
func isNamed(name string, all []string) bool {
	return slices.ContainsFunc(all, func(n string) bool {
		return n == name || runtime.GOOS == "windows" && strings.EqualFold(n, name)
	})
}

// withLoopback adds this computer to lists of hosts that need no proxy. For curl and
// others a lone asterisk means all hosts.
func withLoopback(lists ...string) string {
	var hosts []string
	for _, host := range strings.FieldsFunc(strings.Join(lists, ","), func(c rune) bool { return c == ',' || c == ' ' }) {
		if host == "*" {
			return "*"
		}
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	for _, host := range []string{"127.0.0.1", "localhost", "::1"} {
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return strings.Join(hosts, ",")
}
