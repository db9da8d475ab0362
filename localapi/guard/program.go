package guard

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"langkeep/agent/asks"
)

// FindProgram looks for the program that sent a request, as a person would name it: who
// runs langkeep asks, rather than langkeep; and of an interpreter the script counts too.
// The zero Program is one that can't be told.
func FindProgram(r *http.Request) asks.Program {
	p := FindProcess(r).Wait()
	if p.PID == 0 {
		return asks.Program{}
	}
	return programOf(p.PID)
}

// interpreters run programs in files that are not their own. A version may follow the
// name, as in python3.13.
var interpreters = []string{"sh", "bash", "dash", "zsh", "ksh", "fish", "python", "pypy", "node", "nodejs", "deno", "bun", "ruby", "perl", "php", "pwsh", "Rscript", "lua"}

// scriptOf is the script in an interpreter's arguments. told is false for code among the
// arguments, or on stdin, of which nobody could say later that it is the same.
func scriptOf(exe string, args []string, exists func(path string) bool) (script string, told bool) {
	name := strings.TrimRight(filepath.Base(exe), "0123456789.-")
	if !slices.Contains(interpreters, name) {
		return "", true
	}
	for i := 1; i < len(args); i++ {
		switch arg := args[i]; {
		case name == "python" && arg == "-m" && i+1 < len(args):
			return "-m " + args[i+1], true
		case arg == "run" && i == 1 && (name == "deno" || name == "bun"):
		case arg == "-" || arg == "-c" || arg == "-e" || arg == "-p" || arg == "--eval" || arg == "--print" || arg == "-s":
			return "", false
		case strings.HasPrefix(arg, "-"):
		case exists(arg):
			return arg, true
		}
	}
	return "", len(args) <= 1 || slices.ContainsFunc(args[1:], func(a string) bool { return a == "-i" || a == "-l" || a == "--login" })
}
