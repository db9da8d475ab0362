//go:build real && linux

package trials

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
	"langkeep/assets/casebook"
)

// oneOfOurs is a file that may come to harm.
type oneOfOurs struct {
	path  func(paths.Paths) string
	probe []string // a command that needs it; nil: the agent itself does
	anew  bool     // made anew at each start, whatever is there
	grows bool     // lines are added to it
}

// harm is what may have become of a file.
type harm struct {
	what string
	do   func(t *testing.T, path string, content []byte)
	user bool // only another user than root feels it
}

func harms() []harm {
	write := func(t *testing.T, path string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	schema := func(n int) func(t *testing.T, path string, content []byte) {
		return func(t *testing.T, path string, content []byte) {
			t.Helper()
			for _, form := range []string{"schema = %d", `"schema": %d`, `"schema":%d`} {
				content = bytes.ReplaceAll(content, fmt.Appendf(nil, form, 1), fmt.Appendf(nil, form, n))
			}
			write(t, path, content)
		}
	}
	instead := func(mk func(path string) error) func(t *testing.T, path string, content []byte) {
		return func(t *testing.T, path string, _ []byte) {
			t.Helper()
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := mk(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return []harm{
		{"is empty", func(t *testing.T, path string, _ []byte) { write(t, path, nil) }, false},
		{"is cut short", func(t *testing.T, path string, content []byte) { write(t, path, content[:len(content)-3]) }, false},
		{"is binary", func(t *testing.T, path string, _ []byte) {
			noise := make([]byte, 1000)
			random := rand.NewChaCha8([32]byte{})
			_, _ = random.Read(noise) // never fails
			write(t, path, noise)
		}, false},
		{"has 80 MB", func(t *testing.T, path string, content []byte) {
			write(t, path, content)
			if err := os.Truncate(path, 80<<20); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"is a folder", instead(func(path string) error { return os.Mkdir(path, 0o700) }), false},
		{"is a pipe", instead(func(path string) error { return syscall.Mkfifo(path, 0o600) }), false},
		{"is a symbolic link to nothing", instead(func(path string) error { return os.Symlink(path+".elsewhere", path) }), false},
		{"is closed to its user (mode 0000)", func(t *testing.T, path string, content []byte) {
			write(t, path, content)
			if err := os.Chmod(path, 0); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"is of a newer Langkeep (schema 2)", schema(2), false},
		{"is of an older one (schema 0)", schema(0), false},
	}
}

// TestFaultsFiles does harm to every file of ours, with the agent away and, where
// a file is taken up while it runs, with the agent there.
func TestFaultsFiles(t *testing.T) {
	langflow := langflowtest.New(langflowtest.Options{})
	defer langflow.Close()
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o711); err != nil { // for another user
		t.Fatal(err)
	}
	program := filepath.Join(dir, "langkeep")
	data, err := os.ReadFile(buildProgram(t))
	if err == nil {
		err = os.WriteFile(program, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	first := newHome(t, program, filepath.Join(dir, "first"))
	stop := first.start()
	for range 2 { // the second after a key, whose record goes with the sign-out
		if d := first.signIn(langflow.URL); d.code != exitDone {
			t.Fatal(d.stderr)
		}
		first.must(exitDone, "key", "prod", "--no-start")
		first.must(exitDone, "logout", "prod", "--no-start")
	}
	if d := first.signIn(langflow.URL); d.code != exitDone {
		t.Fatal(d.stderr)
	}
	first.must(exitDone, "client", "add", "tool", "--profile", "prod", "--scope", "read", "--no-start")
	first.must(exitDone, "connect", "cursor", "prod", "--project", "p", "--yes", "--no-start", "--file", filepath.Join(first.dir, ".cursor", "mcp.json"))
	first.write(first.paths.Welcomed(), "{\"schema\":1}\n")
	stop() // so that agent.json and the token stay

	files := []oneOfOurs{
		{path: paths.Paths.ConfigFile},
		{path: func(p paths.Paths) string { return p.ProfileFile("prod") }},
		{path: paths.Paths.Secrets},
		{path: paths.Paths.Clients, probe: []string{"client", "list", "--no-start"}},
		{path: paths.Paths.Keys, probe: []string{"key", "prod", "--no-start"}},
		{path: paths.Paths.Connections, probe: []string{"connect", "--list"}},
		{path: paths.Paths.Audit, grows: true},
		{path: paths.Paths.Log, grows: true},
		{path: paths.Paths.Agent, anew: true},
		{path: paths.Paths.Token, anew: true},
		{path: paths.Paths.Lock, anew: true},
		{path: paths.Paths.Welcomed, probe: []string{"status", "--no-start"}},
	}
	all := harms()
	cells := make([][]string, len(files)*len(all))
	t.Run("away", func(t *testing.T) {
		for i, file := range files {
			for j, h := range all {
				if emptyConfig(first, file, h) {
					continue
				}
				t.Run(filepath.Base(file.path(first.paths))+" "+h.what, func(t *testing.T) {
					t.Parallel()
					cells[i*len(all)+j] = harmed(t, first, filepath.Join(dir, fmt.Sprint(i, "-", j)), file, h)
				})
			}
		}
	})
	var rows [][]string
	for i, file := range files {
		begun := len(rows)
		for j, row := range cells[i*len(all) : (i+1)*len(all)] {
			if n := len(rows); row != nil && n > begun && slices.Equal(rows[n-1][1:], row[1:]) {
				rows[n-1][0] += "; " + all[j].what
			} else if row != nil {
				row[0] = "`" + filepath.Base(file.path(first.paths)) + "` " + all[j].what
				rows = append(rows, row)
			}
		}
	}
	live := harmedAlive(t, first, filepath.Join(dir, "live"))
	if !t.Failed() {
		casebook.Table(t, "docs/faults.md", "TestFaultsFiles in cmd/trials", faultHeader(), append(rows, live...))
	}
}

// emptyConfig is the one harm that is none: a config.toml without a setting.
func emptyConfig(h *home, file oneOfOurs, bad harm) bool {
	return bad.what == "is empty" && file.path(h.paths) == h.paths.ConfigFile()
}

// harmed makes the row of one file and one harm, without its first cell; nil
// where it can't be done here.
func harmed(t *testing.T, first *home, dir string, file oneOfOurs, bad harm) []string {
	t.Helper()
	h := first.copyTo(t, dir)
	path := file.path(h.paths)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad.do(t, path, content)
	if bad.user {
		if os.Getuid() == 0 {
			h.belongsTo(65534)
		}
	}
	what := filepath.Base(path) + " " + bad.what
	before := looks(path)

	// A command that needs the agent starts it, and ends with its exit code.
	begin := h.do("start", "--headless")
	defer h.do("stop")
	if begin.code != exitDone {
		if !strings.Contains(begin.stderr, path) {
			t.Errorf("%s: it is not named: %s", what, begin.stderr)
		}
		if looks(path) != before {
			t.Errorf("%s: it was changed", what)
		}
		h.restore(file, content)
		if d := h.do("start", "--headless"); d.code != exitDone {
			t.Errorf("%s: mended: %s", what, d.stderr)
		}
		h.isWell(what)
		return []string{"", "no agent", fmt.Sprint(begin.code), "nothing: it is left alone, and named", "at the next start, once it is mended or moved away"}
	}
	shown := h.settles()
	code := h.do("token", "prod", "--no-start").code
	lost := "nothing: it is left alone"
	said := ""
	if file.probe != nil {
		probe := h.do(file.probe...)
		if said = probe.stderr; probe.code != exitDone {
			code = probe.code
			shown += fmt.Sprintf("; `%s` fails", strings.Join(file.probe[:2], " "))
		}
	}
	backup, err := os.ReadFile(path + ".bak")
	migrated := err == nil
	status := h.status()
	for _, s := range []*string{status.ConfigError, status.AuditError} {
		if s != nil {
			said += *s
		}
	}
	named := strings.Contains(said, path)
	switch {
	case migrated:
		if !strings.Contains(string(backup), "schema") || !strings.Contains(string(backup), "0") {
			t.Errorf("%s: the backup is %q", what, backup)
		}
		lost = "nothing: it is migrated, with a `.bak`"
	case file.anew:
		lost = "nothing: it is made anew"
	case file.grows:
		lost = "nothing: it goes on behind what is there"
		if named {
			lost = "nothing: it is left alone, and named; entries wait in memory"
		}
	case looks(path) != before:
		t.Errorf("%s: it was changed", what)
	case named:
		lost = "nothing: it is left alone, and named"
	}
	if shown != "fresh" && !named {
		t.Errorf("%s: it is %s, and the file is not named: %s", what, shown, said)
	}
	heals := "nothing to heal"
	if named || shown != "fresh" {
		h.restore(file, content)
		heals = "by itself, once it is mended"
	}
	h.isWell(what)
	if file.probe != nil {
		h.eventually(what+": what needs it works", func() bool { return h.do(file.probe...).code == exitDone })
	}
	if status := h.status(); status.ConfigError != nil {
		h.eventually(what+": nothing is wrong any more", func() bool { return h.status().ConfigError == nil })
	}
	return []string{"", shown, fmt.Sprint(code), lost, heals}
}

// restore puts a file's content back, as somebody would who mends it.
func (h *home) restore(file oneOfOurs, content []byte) {
	h.t.Helper()
	path := file.path(h.paths)
	if err := os.RemoveAll(path); err != nil {
		h.t.Fatal(err)
	}
	h.write(path, string(content))
	if h.user != 0 {
		if err := os.Chown(path, int(h.user), int(h.user)); err != nil {
			h.t.Fatal(err)
		}
	}
}

// belongsTo makes the home another user's, who also runs its agent.
func (h *home) belongsTo(user int) {
	h.t.Helper()
	h.user = uint32(user)
	err := filepath.WalkDir(h.dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, user, user)
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// isWell waits until prod is fresh and there is a token.
func (h *home) isWell(what string) {
	h.t.Helper()
	h.eventually(what+": all is well", func() bool {
		return h.shown() == "fresh" && h.do("token", "prod", "--no-start").code == exitDone
	})
}

// looks is what can be told of a file without reading it all.
func looks(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return err.Error()
	}
	content := ""
	if info.Mode().IsRegular() && info.Size() < 1<<20 {
		data, _ := os.ReadFile(path)
		content = string(data)
	}
	return fmt.Sprint(info.Mode(), info.Size(), content)
}

// harmedAlive spoils settings while the agent runs: it keeps what it has.
func harmedAlive(t *testing.T, first *home, dir string) (rows [][]string) {
	h := first.copyTo(t, dir)
	h.start()
	h.isWell("before")
	for _, file := range []oneOfOurs{{path: paths.Paths.ConfigFile}, {path: func(p paths.Paths) string { return p.ProfileFile("prod") }}} {
		path := file.path(h.paths)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range harms() {
			if bad.user || emptyConfig(h, file, bad) {
				continue
			}
			bad.do(t, path, content)
			wrong := func() bool {
				e := h.status().ConfigError
				return e != nil && strings.Contains(*e, path)
			}
			if strings.Contains(bad.what, "schema 0") {
				h.eventually(bad.what+": it is migrated", func() bool {
					now, err := os.ReadFile(path)
					return err == nil && bytes.Equal(now, content)
				})
				continue
			}
			h.eventually(filepath.Base(path)+" "+bad.what+": it is named", wrong)
			shown, code := h.shown(), h.do("token", "prod", "--no-start").code
			h.restore(file, content)
			h.eventually(bad.what+": it is taken up again", func() bool { return !wrong() })
			h.isWell(bad.what)
			row := []string{"", shown, fmt.Sprint(code), "nothing: the running settings are kept, and the file is named", "by itself, once it is mended"}
			if n := len(rows); n > 0 && strings.Contains(rows[n-1][0], filepath.Base(path)) && slices.Equal(rows[n-1][1:], row[1:]) {
				rows[n-1][0] += "; " + bad.what
				continue
			}
			row[0] = "While the agent runs, `" + filepath.Base(path) + "` " + bad.what
			rows = append(rows, row)
		}
	}
	return rows
}
