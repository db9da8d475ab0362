//go:build unix

package trials

import (
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"langkeep/agent/paths"
)

// What somebody may have left in the folders while they were open, or by mistake.
func TestAttackFiles(t *testing.T) {
	const (
		refuses = "the agent does not start, and names it"
		waits   = "the agent does not start, and does not wait; no command does"
	)
	var attacks []planted
	for _, dir := range []struct {
		name string
		at   func(paths.Paths) string
	}{
		{"config/", func(p paths.Paths) string { return p.Config }}, {"config/profiles/", paths.Paths.ProfilesDir},
		{"state/", func(p paths.Paths) string { return p.State }}, {"run/", func(p paths.Paths) string { return p.Run }},
	} {
		attacks = append(attacks,
			planted{tried: "`" + dir.name + "` is a link to another folder", happens: refuses, at: dir.at, plant: plantFolderLink, says: "is a symbolic link"},
			planted{tried: "`" + dir.name + "` is a file", happens: refuses, at: dir.at, plant: plantFile(0o600, ""), says: "is not a folder"},
			planted{tried: "`" + dir.name + "` is open to everybody, 0777", happens: "it is closed: 0700", at: dir.at, plant: plantFolder(0o777), check: closedTo(0o700)})
	}
	home := func(p paths.Paths) string { return p.Home }
	profile := func(p paths.Paths) string { return p.ProfileFile("prod") }
	attacks = append(attacks, []planted{
		{tried: "`LANGKEEP_HOME` can be written to by everybody, 0777", happens: "by its user alone: 0755", at: home, plant: plantFolder(0o777), check: closedTo(0o755)},
		{tried: "`LANGKEEP_HOME` is shared, as `/tmp` is: 1777", happens: refuses, at: home, plant: plantFolder(0o777 | fs.ModeSticky), says: "is shared with other users"},

		{tried: "`config.toml` can be changed by everybody, 0666, and lets another user in", happens: refuses, at: paths.Paths.ConfigFile,
			plant: plantFile(0o666, "allow_users = ['nobody']\n"), says: "can be changed by every user"},
		{tried: "`config.toml` is a pipe", happens: waits, at: paths.Paths.ConfigFile, plant: plantPipe, says: "is no ordinary file"},
		{tried: "`config.toml` is a link to a file of one's own", happens: "it is read: people keep settings elsewhere", at: paths.Paths.ConfigFile,
			plant: plantLink("default_profile = 'there'\n"), check: func(t *testing.T, l launched, _ string) {
				if settings := l.ask(t, "GET", "/v1/settings", l.token(t)); !strings.Contains(settings, `"there"`) {
					t.Errorf("the settings are %s", settings)
				}
			}},
		{tried: "`config.toml` is a link to a file of secrets", happens: "the agent does not start; what it says of the line shows nothing of it", at: paths.Paths.ConfigFile,
			plant: plantLink("hunter2 is the password\n"), says: ":1: "},
		{tried: "a profile's file can be changed by everybody, and leads to another server", happens: "it is left alone, and `status` names it", at: profile,
			plant: plantFile(0o666, "server_url = 'https://evil.example'\n"), check: told("can be changed by every user")},
		{tried: "a profile's file is a pipe", happens: "it is left alone, and `status` names it", at: profile, plant: plantPipe, check: told("is no ordinary file")},

		{tried: "`lock` is a link", happens: refuses + "; nothing is made where it leads", at: paths.Paths.Lock, plant: plantDanglingLink, says: "can't lock"},
		{tried: "`lock` is a folder", happens: refuses, at: paths.Paths.Lock, plant: plantFolder(0o700), says: "can't lock"},
		{tried: "`agent.json` is a link", happens: "it is replaced by our file, 0600; what it led to is untouched", at: paths.Paths.Agent, plant: plantLink("precious"), check: replaced},
		{tried: "`agent.json` was made for everybody to change, and leads elsewhere", happens: "it is replaced by our file, 0600", at: paths.Paths.Agent,
			plant: plantFile(0o666, `{"schema":1,"url":"http://127.0.0.1:1","pid":1}`), check: replaced},
		{tried: "`agent.json` is a pipe", happens: "it is replaced by our file, 0600, and no command waits for it", at: paths.Paths.Agent, plant: plantPipe, check: replaced},
		{tried: "`agent.json` is a folder with something in it", happens: refuses, at: paths.Paths.Agent, plant: plantFullFolder, says: "file exists"},
		{tried: "`token` is a link", happens: "it is replaced by our file, 0600; what it led to is untouched", at: paths.Paths.Token, plant: plantLink("precious"), check: replaced},
		{tried: "`token` was made for everybody to read, and somebody holds it open", happens: "it is replaced by our file, 0600; who holds the old one reads nothing", at: paths.Paths.Token,
			plant: plantHeld, check: replaced},
		{tried: "`token` is a folder with something in it", happens: refuses, at: paths.Paths.Token, plant: plantFullFolder, says: "file exists"},
		{tried: "`clients.json` can be changed by everybody, and has a client of the attacker's", happens: "no client is let in, and `status` says why", at: paths.Paths.Clients,
			plant: plantFile(0o666, evilClients), check: func(t *testing.T, l launched, at string) {
				told("can be changed by every user")(t, l, at)
				if l.ask(t, "GET", "/v1/status", evilToken) != "" {
					t.Error("the attacker is let in")
				}
			}},
		{tried: "the same file where nobody else could change it, 0600", happens: "its client is let in", at: paths.Paths.Clients,
			plant: plantFile(0o600, evilClients), check: func(t *testing.T, l launched, _ string) {
				if l.ask(t, "GET", "/v1/status", evilToken) == "" {
					t.Error("it is not: then the case before proves nothing")
				}
			}},
		{tried: "`clients.json` is a pipe", happens: "no client is let in, and `status` says why", at: paths.Paths.Clients, plant: plantPipe, check: told("is no ordinary file")},
		{tried: "`audit.jsonl` is a link", happens: "nothing is written through it, and `status` says so", at: paths.Paths.Audit, plant: plantLink("precious"), check: told("is not an ordinary file")},
		{tried: "`audit.jsonl` is a pipe", happens: "the agent does not wait for it, and `status` says so", at: paths.Paths.Audit, plant: plantPipe, check: told("is not an ordinary file")},
		{tried: "`audit.jsonl` is open to everybody, 0666", happens: "it is closed: 0600", at: paths.Paths.Audit, plant: plantFile(0o666, ""), check: closedTo(0o600)},
		{tried: "`log` is a link", happens: refuses + "; what it led to is untouched", at: paths.Paths.Log, plant: plantLink("precious"), says: "is not an ordinary file"},
		{tried: "`log` is a pipe", happens: waits, at: paths.Paths.Log, plant: plantPipe, says: "is not an ordinary file"},
		{tried: "`log` is open to everybody, 0666", happens: "it is closed: 0600", at: paths.Paths.Log, plant: plantFile(0o666, ""), check: closedTo(0o600)},
		{tried: "`secrets.age` is a link", happens: refuses, at: paths.Paths.Secrets, plant: plantLink("precious"), flags: []string{"--store", "file"}, says: "is a symbolic link"},
		{tried: "`secrets.age` can be changed by everybody, 0666", happens: refuses, at: paths.Paths.Secrets, plant: plantFile(0o666, "x"), flags: []string{"--store", "file"},
			says: "can be changed by every user"},
		{tried: "`agent.sock` is a link", happens: refuses + ", and leaves it alone", at: paths.Paths.Socket, plant: plantLink("precious"), says: "is not a socket"},
		{tried: "`agent.sock` is a file", happens: refuses + ", and leaves it alone", at: paths.Paths.Socket, plant: plantFile(0o666, ""), says: "is not a socket"},
		{tried: "`agent.sock` is a socket that another program answers", happens: refuses + ", and leaves it alone", at: paths.Paths.Socket, plant: plantSocket, says: "another program answers"},
		{tried: "`agent.sock` is a socket that nobody answers, open to everybody", happens: "it is replaced by ours, 0600", at: paths.Paths.Socket, plant: plantDeadSocket, check: closedTo(0o600)},
		{tried: "`clients.json` can be read by everybody, 0644", happens: "nobody gets into its folder, 0700, and `doctor` names it", at: paths.Paths.Clients,
			plant: plantFile(0o644, `{"schema":1,"clients":[]}`), check: func(t *testing.T, l launched, at string) {
				closedTo(0o700)(t, l, filepath.Dir(at))
				said, _ := program(t, l.paths, "doctor", "--no-start").Output() // something else may be wrong here too
				if !strings.Contains(string(said), "clients.json is open to other users (0644)") {
					t.Errorf("doctor says %s", said)
				}
			}},
		{tried: "the agent is started where files are made for everybody (umask 000)", happens: "every folder is 0700, every file 0600", at: home,
			plant: func(t *testing.T, _ string) {
				old := syscall.Umask(0)
				t.Cleanup(func() { syscall.Umask(old) })
			}, check: func(t *testing.T, l launched, at string) {
				l.ask(t, "POST", "/v1/page/code", l.token(t)) // which is written down
				err := filepath.WalkDir(at, func(path string, d fs.DirEntry, err error) error {
					if err != nil {
						return err
					}
					info, err := d.Info()
					if err == nil && info.Mode().Perm()&0o077 != 0 {
						t.Errorf("%s is %v", path, info.Mode())
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}},
	}...)

	var all []trial
	for _, a := range attacks {
		all = append(all, trial{a.tried, a.happens, a.tryIt})
	}
	runTrials(t, all)
}
