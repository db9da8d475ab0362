package guard

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"langkeep/agent/asks"
)

// FindProgram looks for the program that sent a request, as a person would name it: who
// runs langkeep asks, rather than langkeep; and of an interpreter the script counts too.
// The zero Program is one that can't be told. A connection keeps the program that was found
// at its first question: one that hands it on could hand on its token as well.
func FindProgram(r *http.Request) asks.Program {
	c := connOf(r)
	if c == nil {
		return asks.Program{}
	}
	if c.program.Exe != "" {
		return c.program
	}
	p := FindProcess(r).Wait()
	if p.PID == 0 && !c.socket {
		p.PID = holderOf(c.remote, c.local)
	}
	if p.PID != 0 {
		c.program = programOf(p.PID)
	}
	return c.program
}

// inspected is what the system says of a process.
type inspected struct {
	exe      string // the path of its file
	args     []string
	dir      string // the folder that it works in; "" is not known
	parent   int    // 0: there is none any more
	session  string // as SessionAlive knows it
	terminal bool   // the session is a terminal
}

// ancestors bounds the search for who runs langkeep.
const ancestors = 16

// ownExe is the path of our own file; it is looked up once, since a read of a token that was
// allowed should cost no more than one that nobody is asked about.
var ownExe = sync.OnceValue(func() string {
	own, _ := inspect(os.Getpid())
	return own.exe
})

// programOf names a process.
func programOf(pid int) asks.Program {
	i, ok := inspect(pid)
	if !ok || i.exe == "" {
		return asks.Program{} // it has gone, or is another user's
	}
	for range ancestors {
		// A program of ours that outlives its parent does not show who started it.
		if i.exe == ownExe() && i.parent > 1 {
			if parent, ok := inspect(i.parent); ok && parent.exe != "" {
				i = parent
				continue
			}
		}
		script, told := scriptOf(i.exe, i.args, func(path string) bool {
			info, err := os.Stat(i.at(path))
			return err == nil && info.Mode().IsRegular()
		})
		if !told {
			return asks.Program{}
		}
		if script != "" && !strings.HasPrefix(script, "-m ") {
			script = i.at(script)
		}
		return asks.Program{Exe: i.exe, Script: script, Session: i.session, Terminal: i.terminal}
	}
	return asks.Program{}
}

func (i inspected) at(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(i.dir, path)
}

// interpreters run programs in files that are not their own. A version may follow the
// name, as in python3.13.
var interpreters = []string{
	"sh", "bash", "dash", "zsh", "ksh", "fish", "python", "pythonw", "pypy", "node", "nodejs", "deno", "bun", "ruby", "perl", "php", "pwsh", "powershell", "cmd", "wscript", "cscript", "Rscript", "lua",
}

// scriptOf is the script in an interpreter's arguments. told is false for code among the
// arguments, or on stdin, of which nobody could say later that it is the same.
func scriptOf(exe string, args []string, exists func(path string) bool) (script string, told bool) {
	name := strings.TrimRight(strings.TrimSuffix(filepath.Base(exe), ".exe"), "0123456789.-")
	if !slices.Contains(interpreters, name) {
		return "", true
	}
	for i := 1; i < len(args); i++ {
		switch arg := args[i]; {
		case name == "python" && arg == "-m" && i+1 < len(args):
			return "-m " + args[i+1], true
		case arg == "run" && i == 1 && (name == "deno" || name == "bun"):
		case slices.Contains([]string{"-", "-c", "-e", "-p", "--eval", "--print", "-s", "/c", "/C", "/k", "/K", "-Command", "-EncodedCommand"}, arg):
			return "", false
		case strings.HasPrefix(arg, "-"):
		case exists(arg):
			return arg, true
		}
	}
	return "", len(args) <= 1 || slices.ContainsFunc(args[1:], func(a string) bool { return a == "-i" || a == "-l" || a == "--login" })
}
