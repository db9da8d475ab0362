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

// Somebody may have left these in the folders, while they were open or by mistake.
func TestAttackFiles(t *testing.T) {
	var attacks []planted
	for _, dir := range []struct {
		name string
		at   func(paths.Paths) string
	}{
		{"config/", func(p paths.Paths) string { return p.Config }}, {"config/profiles/", paths.Paths.ProfilesDir},
		{"state/", func(p paths.Paths) string { return p.State }}, {"run/", func(p paths.Paths) string { return p.Run }},
	} {
		attacks = append(attacks,
			planted{tried: "`" + dir.name + "` is a link to another folder", at: dir.at, plant: plantFolderLink, says: "is a symbolic link"},
			planted{tried: "`" + dir.name + "` is a file", at: dir.at, plant: plantFile(0o600, ""), says: "is not a folder"},
			planted{tried: "`" + dir.name + "` is open to everybody, 0777", at: dir.at, plant: plantFolder(0o777), check: closedTo(0o700)})
	}
	home := func(p paths.Paths) string { return p.Home }
	profile := func(p paths.Paths) string { return p.ProfileFile("prod") }
	attacks = append(attacks, []planted{
		{tried: "`LANGKEEP_HOME` can be written to by everybody, 0777", at: home, plant: plantFolder(0o777), check: closedTo(0o755)},
		{tried: "`LANGKEEP_HOME` is shared, as `/tmp` is: 1777", at: home, plant: plantFolder(0o777 | fs.ModeSticky), says: "is shared with other users"},

		{tried: "`config.toml` can be changed by everybody, 0666, and lets another user in", at: paths.Paths.ConfigFile,
			plant: plantFile(0o666, "allow_users = ['nobody']\n"), says: "can be changed by every user"},
		{tried: "`config.toml` is a pipe", at: paths.Paths.ConfigFile, plant: plantPipe, says: "is no ordinary file"},
		{tried: "`config.toml` is a link to a file of one's own", at: paths.Paths.ConfigFile,
			plant: plantLink("default_profile = 'there'\n"), check: finding{"it is read: people keep settings elsewhere", func(t *testing.T, l launched, _ string) {
				if settings := l.ask(t, "GET", "/v1/settings", l.token(t)); !strings.Contains(settings, `"there"`) {
					t.Errorf("the settings are %s", settings)
				}
			}}},
		{tried: "`config.toml` is a link to a file of secrets", at: paths.Paths.ConfigFile,
			plant: plantLink("hunter2 is the password\n"), says: ":1: ", why: "what it says of the line shows nothing of it"},
		{tried: "a profile's file can be changed by everybody, and leads to another server", at: profile,
			plant: plantFile(0o666, "server_url = 'https://evil.example'\n"), check: told("can be changed by every user")},
		{tried: "a profile's file is a pipe", at: profile, plant: plantPipe, check: told("is no ordinary file")},

		{tried: "`lock` is a link", at: paths.Paths.Lock, plant: plantDanglingLink, says: "can't lock"},
		{tried: "`lock` is a folder", at: paths.Paths.Lock, plant: plantFolder(0o700), says: "can't lock"},
		{tried: "`agent.json` is a link", at: paths.Paths.Agent, plant: plantLink("precious"), check: replaced},
		{tried: "`agent.json` was made for everybody to change, and leads elsewhere", at: paths.Paths.Agent,
			plant: plantFile(0o666, `{"schema":1,"url":"http://127.0.0.1:1","pid":1}`), check: replaced},
		{tried: "`agent.json` is a pipe", at: paths.Paths.Agent, plant: plantPipe, check: replaced},
		{tried: "`agent.json` is a folder with something in it", at: paths.Paths.Agent, plant: plantFullFolder, says: "file exists"},
		{tried: "`token` is a link", at: paths.Paths.Token, plant: plantLink("precious"), check: replaced},
		{tried: "`token` was made for everybody to read, and somebody holds it open", at: paths.Paths.Token,
			plant: plantHeld, check: replaced},
		{tried: "`token` is a folder with something in it", at: paths.Paths.Token, plant: plantFullFolder, says: "file exists"},
		{tried: "`clients.json` can be changed by everybody, and has a client of the attacker's", at: paths.Paths.Clients,
			plant: plantFile(0o666, evilClients), check: finding{"no client is let in, and `status` says why", func(t *testing.T, l launched, at string) {
				told("can be changed by every user").look(t, l, at)
				if l.ask(t, "GET", "/v1/status", evilToken) != "" {
					t.Error("the attacker is let in")
				}
			}}},
		{tried: "the same file where nobody else could change it, 0600", at: paths.Paths.Clients,
			plant: plantFile(0o600, evilClients), check: finding{"its client is let in", func(t *testing.T, l launched, _ string) {
				if l.ask(t, "GET", "/v1/status", evilToken) == "" {
					t.Error("it is not: then the case before proves nothing")
				}
			}}},
		{tried: "`clients.json` is a pipe", at: paths.Paths.Clients, plant: plantPipe, check: told("is no ordinary file")},
		{tried: "`audit.jsonl` is a link", at: paths.Paths.Audit, plant: plantLink("precious"), check: told("is not an ordinary file")},
		{tried: "`audit.jsonl` is a pipe", at: paths.Paths.Audit, plant: plantPipe, check: told("is not an ordinary file")},
		{tried: "`audit.jsonl` is open to everybody, 0666", at: paths.Paths.Audit, plant: plantFile(0o666, ""), check: closedTo(0o600)},
		{tried: "`log` is a link", at: paths.Paths.Log, plant: plantLink("precious"), says: "is not an ordinary file"},
		{tried: "`log` is a pipe", at: paths.Paths.Log, plant: plantPipe, says: "is not an ordinary file"},
		{tried: "`log` is open to everybody, 0666", at: paths.Paths.Log, plant: plantFile(0o666, ""), check: closedTo(0o600)},
		{tried: "`secrets.age` is a link", at: paths.Paths.Secrets, plant: plantLink("precious"), flags: []string{"--store", "file"}, says: "is a symbolic link"},
		{tried: "`secrets.age` can be changed by everybody, 0666", at: paths.Paths.Secrets, plant: plantFile(0o666, "x"), flags: []string{"--store", "file"},
			says: "can be changed by every user"},
		{tried: "`agent.sock` is a link", at: paths.Paths.Socket, plant: plantLink("precious"), says: "is not a socket"},
		{tried: "`agent.sock` is a file", at: paths.Paths.Socket, plant: plantFile(0o666, ""), says: "is not a socket"},
		{tried: "`agent.sock` is a socket that another program answers", at: paths.Paths.Socket, plant: plantSocket, says: "another program answers"},
		{tried: "`agent.sock` is a socket that nobody answers, open to everybody", at: paths.Paths.Socket, plant: plantDeadSocket, check: closedTo(0o600)},
		{tried: "`clients.json` can be read by everybody, 0644", at: paths.Paths.Clients,
			plant: plantFile(0o644, `{"schema":1,"clients":[]}`), check: finding{"nobody gets into its folder, 0700, and `doctor` names it", func(t *testing.T, l launched, at string) {
				closedTo(0o700).look(t, l, filepath.Dir(at))
				said, _ := program(t, l.paths, "doctor", "--no-start").Output() // something else may be wrong here too
				if !strings.Contains(string(said), "clients.json is open to other users (0644)") {
					t.Errorf("doctor says %s", said)
				}
			}}},
		{tried: "the agent is started where files are made for everybody (umask 000)", at: home,
			plant: planting{"", func(t *testing.T, _ string) {
				old := syscall.Umask(0)
				t.Cleanup(func() { syscall.Umask(old) })
			}}, check: finding{"every folder is 0700, every file 0600", func(t *testing.T, l launched, at string) {
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
			}}},
	}...)

	var all []trial
	for _, a := range attacks {
		all = append(all, trial{a.tried, a.tryIt})
	}
	runTrials(t, all)
}
