package doctor

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"langkeep/agent/autostart"
	"langkeep/agent/config"
	"langkeep/agent/langflow"
	"langkeep/agent/paths"
	"langkeep/localapi/words"
)

// Files checks the mode and owner of every file and folder.
func Files(p paths.Paths) Check {
	return Check{Name: "files", Look: func(context.Context) Finding {
		seen, faults := p.Faults()
		if len(faults) == 0 {
			return ok("%d files and folders, for you alone.", seen)
		}
		// Tell the worst fault first.
		mild := slices.DeleteFunc(slices.Clone(faults), func(f paths.Fault) bool { return !f.Mild })
		faults = append(slices.DeleteFunc(faults, func(f paths.Fault) bool { return f.Mild }), mild...)
		var found, advice []string
		for _, f := range faults {
			found = append(found, f.Path+" "+f.What)
			if !slices.Contains(advice, f.Todo) {
				advice = append(advice, f.Todo)
			}
		}
		verdict := Failed
		if faults[0].Mild {
			verdict = Warning
		}
		return Finding{verdict, words.Sentence(strings.Join(found, "; ")), words.Sentence(strings.Join(advice, ", or "))}
	}}
}

// Settings reads the files that people edit.
func Settings(p paths.Paths) Check {
	return Check{Name: "settings", Look: func(context.Context) Finding {
		settings, err := config.LoadConfig(p.ConfigFile())
		profiles, errs := config.LoadProfiles(p.ProfilesDir())
		if err := errors.Join(append(errs, err)...); err != nil {
			return failed("Mend it; until then the settings are as they were.", "%s", words.Sentence(strings.ReplaceAll(err.Error(), "\n", "; ")))
		}
		if _, err := settings.AllowedUsers(); err != nil {
			return warning("Correct the name, or write the user's number.", "%s", words.Sentence(err.Error()))
		}
		if len(profiles) == 1 {
			return ok("config.toml and 1 profile can be read.")
		}
		return ok("config.toml and %d profiles can be read.", len(profiles))
	}}
}

// Autostart checks the entry that starts the agent at login.
func Autostart(status func() (autostart.Status, error)) Check {
	return Check{Name: "autostart", Look: func(context.Context) Finding {
		s, err := status()
		switch {
		case err != nil:
			return warning("Run langkeep autostart enable.", "%s", words.Sentence(err.Error()))
		case s.State == autostart.Enabled:
			return ok("The agent starts at login (%s).", s.Where)
		case s.State == autostart.Outdated:
			return warning("Run langkeep autostart enable to renew it, or disable to remove it.", "%s starts another program, or was edited.", s.Where)
		}
		return ok("The agent does not start at login; langkeep autostart enable makes it.")
	}}
}

// PeerLookup checks whether the system tells the users behind TCP connections.
func PeerLookup(lookup func() error) Check {
	return Check{Name: "peer-lookup", Look: func(context.Context) Finding {
		if err := lookup(); err != nil {
			return warning("Keep the owner's token to yourself: it is all that other users of this computer would need.",
				"The user behind a TCP connection can't be told (%v), so the bearer alone decides.", err)
		}
		return ok("The user behind each TCP connection is looked up.")
	}}
}

// ProxyVariables checks whether this shell's programs would send requests for this
// computer, and their tokens with them, to a forward proxy: httpx, requests and curl do
// (tried).
func ProxyVariables(getenv func(string) string) Check {
	return Check{Name: "proxy-variables", Look: func(context.Context) Finding {
		var proxies, faults []string
		for _, name := range []string{"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"} {
			if runtime.GOOS == "windows" && name != strings.ToUpper(name) {
				continue // both are one variable there
			}
			value := getenv(name)
			if value == "" {
				continue
			}
			v := langflow.ReadProxy(name, value)
			switch {
			case v.Fault != "":
				faults = append(faults, name+" "+v.Fault)
			case strings.ToLower(name) != "https_proxy":
				proxies = append(proxies, fmt.Sprintf("%s (%s)", name, v.URL.Host)) // without its password
			}
		}
		if faults != nil {
			return failed("Correct it, with special characters of a user name or password as %XX.", "%s, so programs that need it fail, or leave it out.", strings.Join(faults, ", "))
		}
		if proxies == nil {
			return ok("No proxy is set for plain HTTP.")
		}
		set := strings.Join(proxies, ", ")
		found := false
		missing := map[string]bool{}
		for _, name := range []string{"no_proxy", "NO_PROXY"} {
			value := getenv(name)
			if value == "" {
				continue
			}
			found = true
			for _, host := range uncovered(value) {
				missing[host] = true
			}
		}
		const advice = "Add 127.0.0.1,localhost,::1 to NO_PROXY and no_proxy."
		switch {
		case !found:
			return failed(advice, "%s is set and NO_PROXY is not, so many programs would send requests for this computer, token and all, to that proxy.", set)
		case missing["127.0.0.1"] || missing["localhost"]:
			return failed(advice, "%s is set and NO_PROXY lacks this computer, so many programs would send requests for it, token and all, to that proxy.", set)
		case missing["::1"]:
			return warning(advice, "%s is set and NO_PROXY lacks ::1.", set)
		}
		return ok("%s is set, and NO_PROXY has this computer.", set)
	}}
}

// uncovered returns this computer's names that a NO_PROXY lacks.
func uncovered(noProxy string) []string {
	var listed []string
	for _, entry := range strings.FieldsFunc(noProxy, func(r rune) bool { return r == ',' || r == ' ' }) {
		listed = append(listed, strings.ToLower(strings.Trim(entry, "[]")))
	}
	if slices.Contains(listed, "*") {
		return nil
	}
	var missing []string
	for name, others := range map[string][]string{"127.0.0.1": {"127.0.0.0/8", "127.0.0.1/32"}, "localhost": {".localhost"}, "::1": {"::1/128"}} {
		if !slices.ContainsFunc(append(others, name), func(s string) bool { return slices.Contains(listed, s) }) {
			missing = append(missing, name)
		}
	}
	return missing
}
