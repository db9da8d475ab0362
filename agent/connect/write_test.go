package connect

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"langkeep/agent/paths"
	"langkeep/agent/paths/pathstest"
)

// A file whose lines end in CRLF has no others afterwards, and one with a byte
// order mark keeps it; taken away again, the file is the same to the byte.
func TestPutKeepsLineEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		format  format
		content string
	}{
		"json": {jsonFormat{}, "{\n  \"mcpServers\": {\n    \"a\": {\"command\": \"a\"} // mine\n  }\n}\n"},
		"toml": {tomlFormat{}, "[environments.a]\nurl = '''x\ny'''\n"},
		"yaml": {yamlFormat{}, "environments:\n  a:\n    url: |\n      x\n      y\n"},
	} {
		for _, mark := range []string{"", "\ufeff"} {
			for _, end := range []string{"\n", "\r\n"} {
				before := mark + strings.ReplaceAll(tt.content, "\n", end)
				p := Place{Path: "file", Section: "environments", Name: "langflow-prod", format: tt.format}
				var value any = env
				if name == "json" {
					p.Section, value = "mcpServers", relay
				}
				after, err := p.edited([]byte(before), value)
				if err != nil {
					t.Errorf("%s, %q: %v", name, before, err)
					continue
				}
				if !bytes.HasPrefix(after, []byte(mark)) || bytes.Count(after, []byte("\n")) != bytes.Count(after, []byte(end)) ||
					bytes.Count(after, []byte("\n")) < 4 || bytes.Count(after, []byte("\ufeff")) != len(mark)/3 {
					t.Errorf("%s, %q: %q", name, before, after)
				}
				if value, err := p.Value(after); err != nil || value == nil {
					t.Errorf("%s: %v, %v", name, value, err)
				}
				if gone, err := p.edited(after, nil); err != nil || string(gone) != before {
					t.Errorf("%s, taken away: %v\n%q, want\n%q", name, err, gone, before)
				}
			}
		}
	}
	// A file of both kinds keeps each line's own.
	mixed := "{\r\n  \"theme\": 1,\n  \"mcpServers\": {}\r\n}\n"
	p := Place{Path: "file", Section: "mcpServers", Name: "x", format: jsonFormat{}}
	after, err := p.edited([]byte(mixed), relay)
	if err != nil || !strings.HasPrefix(string(after), "{\r\n  \"theme\": 1,\n  \"mcpServers\": {") {
		t.Errorf("%q, %v", after, err)
	}
}

// connected connects Cursor in a file, and returns the record, the place, and what
// takes it back.
func connected(t *testing.T, records Records, path, client string) (Record, Place, func(context.Context) error) {
	t.Helper()
	tool, place, edit := prepared(t, path)
	n, undo, err := records.Make(t.Context(), tool, Link{Profile: "prod"}, edit, client)
	if err != nil {
		t.Fatal(err)
	}
	return n, place, undo
}

func prepared(t *testing.T, path string) (*Tool, Place, *Edit) {
	t.Helper()
	tool, err := Find("cursor")
	if err != nil {
		t.Fatal(err)
	}
	place, err := tool.At(path, "langflow-prod", runtime.GOOS, func(string) string { return t.TempDir() })
	if err != nil {
		t.Fatal(err)
	}
	edit, err := place.Put(relay)
	if err != nil {
		t.Fatal(err)
	}
	return tool, place, edit
}

// tree is everything below a folder: its type and mode, and what is in it.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		switch info.Mode().Type() {
		case 0:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += " " + string(content)
		case fs.ModeSymlink:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " " + to
		}
		all[path] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func sameTree(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := tree(t, dir)
	for path, what := range want {
		if got[path] != what {
			t.Errorf("%s is %q, want %q", path, got[path], what)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s is left behind", path)
		}
	}
}

const before = "{\n  \"theme\": 1\n}\n"

// A symbolic link is written through, also where nothing is at its end yet, and is
// the same link after disconnect.
func TestDanglingLinks(t *testing.T) {
	for name, make := range map[string]func(dir string) (file, target string, links map[string]string){
		"a file": func(dir string) (string, string, map[string]string) {
			return "mcp.json", "dotfiles/mcp.json", map[string]string{"mcp.json": "dotfiles/mcp.json"}
		},
		"an absolute one": func(dir string) (string, string, map[string]string) {
			return "mcp.json", "dotfiles/mcp.json", map[string]string{"mcp.json": filepath.Join(dir, "dotfiles", "mcp.json")}
		},
		"a folder": func(string) (string, string, map[string]string) {
			return "cursor/mcp.json", "dotfiles/mcp.json", map[string]string{"cursor": "dotfiles"}
		},
		"links to links": func(string) (string, string, map[string]string) {
			return "a/mcp.json", "d/e/mcp.json", map[string]string{"a": "b", "b": "d/../d/e"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			file, target, links := make(dir)
			for link, to := range links {
				pathstest.Symlink(t, filepath.FromSlash(to), filepath.Join(dir, link))
			}
			was := tree(t, dir)
			records := OpenRecords(paths.Paths{State: t.TempDir()})
			n, _, undo := connected(t, records, filepath.Join(dir, file), "")
			target = filepath.Join(dir, filepath.FromSlash(target))
			if n.Path != target || n.Backup != "" {
				t.Errorf("%+v, want %s", n, target)
			}
			for link, to := range links {
				if got, err := os.Readlink(filepath.Join(dir, link)); err != nil || got != filepath.FromSlash(to) {
					t.Errorf("%s leads to %q, %v", link, got, err)
				}
			}
			if content, err := os.ReadFile(target); err != nil || !strings.Contains(string(content), "langflow-prod") {
				t.Errorf("%q, %v", content, err)
			}
			if err := undo(t.Context()); err != nil {
				t.Error(err)
			}
			sameTree(t, dir, was)
			n, place, _ := connected(t, records, filepath.Join(dir, file), "")
			if _, err := records.TakeBack(t.Context(), n, place); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dir, file)); !os.IsNotExist(err) {
				t.Errorf("the file is there still: %v", err)
			}
			for link := range links {
				if info, err := os.Lstat(filepath.Join(dir, link)); err != nil || info.Mode().Type() != fs.ModeSymlink {
					t.Errorf("%s: %v, %v", link, info, err)
				}
			}
		})
	}
}

// Links that lead nowhere are an error that names the file, not a file in their
// place.
func TestLinksThatLeadNowhere(t *testing.T) {
	for name, tt := range map[string]struct {
		links map[string]string
		file  string
		unix  bool // Windows says of it that nothing is there, and the write fails
	}{
		"a circle":            {map[string]string{"a": "b", "b": "a"}, "a", false},
		"a circle on the way": {map[string]string{"a": "b", "b": "a"}, "a/mcp.json", false},
		"a link below itself": {map[string]string{"a": "a/x"}, "a", false},
		"a link below a file": {map[string]string{"a": "plain/x"}, "a", true},
		"a path below a file": {nil, "plain/mcp.json", true},
	} {
		if tt.unix && runtime.GOOS == "windows" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for link, to := range tt.links {
				pathstest.Symlink(t, filepath.FromSlash(to), filepath.Join(dir, link))
			}
			tool, err := Find("cursor")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, filepath.FromSlash(tt.file))
			place, err := tool.At(path, "langflow-prod", runtime.GOOS, os.Getenv)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "mend") {
				t.Errorf("%+v, %v", place, err)
			}
		})
	}
}

// A file with two names keeps them, and its mode, through connect and disconnect.
func TestHardLinks(t *testing.T) {
	for _, client := range []string{"", "cursor-prod"} {
		dir := t.TempDir()
		path, other := filepath.Join(dir, "mcp.json"), filepath.Join(dir, "other.json")
		if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(path, other); err != nil {
			t.Skip("this system has no hard links for us: ", err)
		}
		was := tree(t, dir)
		records := OpenRecords(paths.Paths{State: t.TempDir()})
		n, place, _ := connected(t, records, path, client)
		content, err := os.ReadFile(other)
		if err != nil || !strings.Contains(string(content), "langflow-prod") {
			t.Errorf("the other name has %q, %v", content, err)
		}
		if info, err := os.Stat(other); runtime.GOOS != "windows" && (err != nil || client != "" && info.Mode() != 0o600 || client == "" && info.Mode() != 0o644) {
			t.Errorf("%v, %v, with the client %q", info.Mode(), err, client)
		}
		if _, err := records.TakeBack(t.Context(), n, place); err != nil {
			t.Error(err)
		}
		sameTree(t, dir, was)
	}
}

// The mode that a file had before a token was in it comes back.
func TestModeComesBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mcp.json")
	if err := os.WriteFile(path, []byte(before), 0o640); err != nil {
		t.Fatal(err)
	}
	was := tree(t, dir)
	records := OpenRecords(paths.Paths{State: t.TempDir()})
	n, place, _ := connected(t, records, path, "cursor-prod")
	if info, err := os.Stat(path); runtime.GOOS != "windows" && (err != nil || info.Mode() != 0o600) {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := records.TakeBack(t.Context(), n, place); err != nil {
		t.Error(err)
	}
	sameTree(t, dir, was)
}

// The backup of a file that is gone or empty by now is the only copy of what a
// person had there: it is kept and named, and the file stays as it is.
func TestTheOnlyCopyStays(t *testing.T) {
	for name, tt := range map[string]struct {
		was   string
		then  func(path string) error
		keeps bool
	}{
		"gone":                              {before, os.Remove, true},
		"empty":                             {before, func(path string) error { return os.WriteFile(path, []byte(" \n"), 0o600) }, true},
		"gone with its backup":              {before, func(path string) error { return os.RemoveAll(filepath.Dir(path)) }, false},
		"gone, and there was nothing in it": {"\n", os.Remove, false},
		"as it was":                         {before, func(string) error { return nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			path := filepath.Join(home, "dotfiles", "mcp.json")
			if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(tt.was), 0o600)); err != nil {
				t.Fatal(err)
			}
			records := OpenRecords(paths.Paths{State: t.TempDir()})
			n, place, _ := connected(t, records, path, "")
			if err := tt.then(path); err != nil {
				t.Fatal(err)
			}
			now := tree(t, home)
			left, err := records.TakeBack(t.Context(), n, place)
			if err != nil {
				t.Fatal(err)
			}
			if _, again, err := records.Find(n.Tool, n.Profile, false); err != nil || again {
				t.Errorf("it is still connected: %v", err)
			}
			if !tt.keeps {
				if _, err := os.Lstat(n.Backup); left != "" || err == nil {
					t.Errorf("%q is left, and the backup: %v", left, err)
				}
				return
			}
			content, err := os.ReadFile(left)
			if err != nil || left != n.Backup || string(content) != tt.was {
				t.Errorf("left is %q with %q: %v", left, content, err)
			}
			sameTree(t, home, now)
		})
	}
}

// Two tools in one file have a backup each, and a backup is written over nothing.
func TestBackupsOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mcp.json")
	theirs := path + ".before-langkeep-prod"
	for file, content := range map[string]string{path: before, theirs: "a person's own"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	was := tree(t, dir)
	records := OpenRecords(paths.Paths{State: t.TempDir()})
	n, place, _ := connected(t, records, path, "")
	if n.Backup != theirs+"-2" {
		t.Errorf("the backup is %s", n.Backup)
	}
	if _, err := records.TakeBack(t.Context(), n, place); err != nil {
		t.Error(err)
	}
	sameTree(t, dir, was)
}

// Each step that fails takes back those before it: no record, no backup, no folder
// and no half of a file.
func TestMakeTakesBack(t *testing.T) {
	for name, tt := range map[string]struct {
		existed bool
		spoil   func(t *testing.T, dir, path, records string)
	}{
		"no record can be kept": {true, func(t *testing.T, _, _, records string) {
			if err := os.Mkdir(records, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		"no record can be kept of a new file": {false, func(t *testing.T, _, _, records string) {
			if err := os.Mkdir(records, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		"a folder is in the file's place": {false, func(t *testing.T, _, path, _ string) {
			if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		"a file is in the folder's place": {false, func(t *testing.T, _, path, _ string) {
			if err := os.WriteFile(filepath.Dir(path), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, files := filepath.Join(dir, "new", "mcp.json"), paths.Paths{State: t.TempDir()}
			state, records := files.Connections(), OpenRecords(files)
			if tt.existed {
				path = filepath.Join(dir, "mcp.json")
				if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			tool, _, edit := prepared(t, path)
			tt.spoil(t, dir, path, state)
			was, kept := tree(t, dir), tree(t, filepath.Dir(state))
			// Make itself refuses a file that has changed, before any of its steps.
			if n, _, err := records.makeLocked(tool, Link{Profile: "prod"}, edit, ""); err == nil {
				t.Errorf("it is made: %+v", n)
			}
			sameTree(t, dir, was)
			if all, err := records.All(); err == nil && len(all) > 0 {
				t.Errorf("it is recorded: %+v", all)
			}
			_ = os.Remove(state) // a record that was taken back leaves an empty list
			delete(kept, state)
			if got := tree(t, filepath.Dir(state)); len(got) != len(kept) && len(got) != 1 {
				t.Errorf("beside the record there are %q", got)
			}
		})
	}
}

// Undoing connect restores everything, also the second time.
func TestMakeUndone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mcp.json")
	if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	records := OpenRecords(paths.Paths{State: t.TempDir()})
	was := tree(t, dir)
	_, _, undo := connected(t, records, path, "cursor-prod")
	if err := undo(t.Context()); err != nil {
		t.Error(err)
	}
	sameTree(t, dir, was)
	if all, err := records.All(); err != nil || len(all) > 0 {
		t.Errorf("%+v, %v", all, err)
	}
	first, place, _ := connected(t, records, path, "")
	was = tree(t, dir)
	tool, _ := Find("cursor")
	edit, err := place.Put(server{"other", nil})
	if err != nil {
		t.Fatal(err)
	}
	if _, undo, err = records.Make(t.Context(), tool, Link{Profile: "prod"}, edit, "cursor-prod"); err != nil {
		t.Fatal(err)
	}
	if err := undo(t.Context()); err != nil {
		t.Error(err)
	}
	sameTree(t, dir, was)
	if now, ok, err := records.Find("cursor", "prod", false); err != nil || !ok || now != first {
		t.Errorf("%+v, %v, want %+v", now, err, first)
	}
}

// A file that can't be renamed over is written in place; after a failure its old
// content is back.
func TestOverwrite(t *testing.T) {
	for _, content := range []string{"", "short", strings.Repeat("long ", 100), before} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := overwrite(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		now, err := os.ReadFile(path)
		after, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(now) != content || !os.SameFile(info, after) || runtime.GOOS != "windows" && after.Mode() != 0o600 {
			t.Errorf("%q, %v, %v, want %q", now, err, statErr, content)
		}
	}
}

// BenchmarkPut12MB gives an entry to a file of the size that Claude Code's grows to.
func BenchmarkPut12MB(b *testing.B) {
	content := claudeFile(12 << 20)
	p := Place{Path: "file", Section: "mcpServers", Name: "x", format: jsonFormat{}}
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := p.edited(content, relay); err != nil {
			b.Fatal(err)
		}
	}
}

// claudeFile is a file as Claude Code keeps it, of about that many bytes.
func claudeFile(size int) []byte {
	var b bytes.Buffer
	b.WriteString("{\n  \"numStartups\": 12,\n  \"projects\": {\n    \"/a\": {\n      \"history\": [\n")
	for line := "        {\"display\": \"" + strings.Repeat("a question \\u2028 ", 10) + "\"}"; b.Len() < size; {
		b.WriteString(line + ",\n")
	}
	b.WriteString("        {}\n      ]\n    }\n  },\n  \"mcpServers\": {}\n}\n")
	return b.Bytes()
}

// A file that holds histories is an ordinary one.
func TestBigFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mcp.json")
	content := claudeFile(9 << 20)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	records := OpenRecords(paths.Paths{State: t.TempDir()})
	n, place, _ := connected(t, records, path, "")
	if _, err := records.TakeBack(t.Context(), n, place); err != nil {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
		t.Errorf("%d bytes of %d, %v", len(now), len(content), err)
	}
}
