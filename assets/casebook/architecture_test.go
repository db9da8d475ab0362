package casebook

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "langkeep"

// The map names cmd/langkeep, localapi and so on, the top of a floor, and below
// each the folders of that floor.
var (
	topOfFloor = regexp.MustCompile(`^([a-z]+)(?:/([a-z]+))? {2,}\S`)
	branch     = regexp.MustCompile(`^  [├└] ([a-z]+) +\S`)
)

// tryout is the folder whose tests have the packaged program at work, beside a
// stand-in server: they may import what they like.
const tryout = "assets/packaging"

// room is a folder of the map.
type room struct {
	floor int // 0 is the uppermost
	line  int // in the map
}

// readMap reads the map of architecture.md: its rooms by their folders, and the
// top folders by floor.
func readMap(t *testing.T) (rooms map[string]room, floors []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n```\n")
	drawn, _, ended := strings.Cut(rest, "\n```\n")
	if !ended {
		t.Fatal("architecture.md has no map between ``` and ```")
	}
	rooms = map[string]room{}
	for number, line := range strings.Split(drawn, "\n") {
		if m := topOfFloor.FindStringSubmatch(line); m != nil {
			rooms[path.Join(m[1], m[2])] = room{len(floors), number}
			floors = append(floors, m[1])
		} else if m := branch.FindStringSubmatch(line); m != nil && len(floors) > 0 {
			rooms[floors[len(floors)-1]+"/"+m[1]] = room{len(floors) - 1, number}
		} else if strings.Trim(line, " │") != "" {
			t.Errorf("the map's line %q is neither a floor nor a folder of one", line)
		}
	}
	if !slices.Equal(floors, []string{"cmd", "tray", "localapi", "agent", "assets"}) {
		t.Errorf("the floors are %q", floors)
	}
	return rooms, floors
}

// arrow is an import of one package of the module by another. Both are folders
// below the module's.
type arrow struct {
	from, to string
	file     string
	test     bool // the file is a test
}

// arrows reads the imports of all files, for whatever system they are.
func arrows(t *testing.T) (all []arrow, folders []string) {
	t.Helper()
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "dist"):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(file) != ".go":
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", filepath.FromSlash(file)), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder, test := path.Dir(file), strings.HasSuffix(file, "_test.go")
		if !test && !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if to, ours := strings.CutPrefix(imported, module+"/"); ours {
				all = append(all, arrow{folder, to, file, test})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, folders
}

// roomOf is the room of a folder, which may be below the room's own.
func roomOf(rooms map[string]room, folder string) (r room, ok bool) {
	for ; folder != "."; folder = path.Dir(folder) {
		if r, ok = rooms[folder]; ok {
			return r, true
		}
	}
	return room{}, false
}

// against says what an arrow breaks, "" if it runs as the map has it: down from
// floor to floor and, but for tests, from line to line of one.
func against(rooms map[string]room, a arrow) string {
	f, known := roomOf(rooms, a.from)
	o, knownToo := roomOf(rooms, a.to)
	switch {
	case !known || !knownToo:
		return "the map lacks one of them"
	case o.floor < f.floor && !(a.test && a.from == tryout):
		return "it runs up a floor"
	case o.floor == f.floor && o.line < f.line && !a.test:
		return "it runs up in its floor: put the line of what is imported below in the map, or the import elsewhere"
	}
	return ""
}

func TestImportsRunDown(t *testing.T) {
	rooms, floors := readMap(t)
	all, folders := arrows(t)
	if len(all) < 100 {
		t.Fatalf("there are only %d imports", len(all))
	}
	for _, a := range all {
		if wrong := against(rooms, a); wrong != "" {
			t.Errorf("%s imports %s: %s", a.file, a.to, wrong)
		}
	}
	for _, folder := range folders {
		parts := strings.Split(folder, "/")
		if name := path.Join(parts[:min(2, len(parts))]...); slices.Contains(floors, parts[0]) {
			if _, there := rooms[name]; !there {
				t.Errorf("the map lacks %s", name)
			}
		} else {
			t.Errorf("%s is on none of the floors", folder)
		}
	}
	for name := range rooms {
		if info, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(name))); err != nil || !info.IsDir() {
			t.Errorf("the map has %s, which is no folder", name)
		}
	}
}

func TestAgainst(t *testing.T) {
	rooms, _ := readMap(t)
	for _, c := range []struct {
		arrow
		wrong bool
	}{
		{arrow{from: "cmd/langkeep", to: "agent/secret"}, false},
		{arrow{from: "localapi", to: "localapi/guard"}, false},
		{arrow{from: "agent/clients", to: "agent"}, true},
		{arrow{from: "agent/clients", to: "agent", test: true}, false},
		{arrow{from: "localapi/doctor", to: "agent"}, false},
		{arrow{from: "agent/langflow/langflowtest", to: "agent/secret"}, false},
		{arrow{from: "agent", to: "localapi/client"}, true},
		{arrow{from: "agent/clients", to: "localapi/words"}, true},
		{arrow{from: "agent", to: "localapi", test: true}, true},
		{arrow{from: "agent", to: "tray/notify"}, true},
		{arrow{from: "localapi", to: "tray"}, true},
		{arrow{from: "localapi/proxy", to: "cmd/browser"}, true},
		{arrow{from: "tray", to: "cmd/browser"}, true},
		{arrow{from: "assets", to: "agent"}, true},
		{arrow{from: "assets/packaging", to: "agent"}, true},
		{arrow{from: "assets/packaging", to: "agent", test: true}, false},
		{arrow{from: "assets/render", to: "agent", test: true}, true},
		{arrow{from: "agent/secret", to: "agent/paths"}, true},
		{arrow{from: "agent/secret", to: "agent/paths", test: true}, false},
		{arrow{from: "localapi/client", to: "localapi/guard"}, true},
		{arrow{from: "agent", to: "util"}, true},
	} {
		if wrong := against(rooms, c.arrow); (wrong != "") != c.wrong {
			t.Errorf("%s → %s: %q", c.from, c.to, wrong)
		}
	}
}

// TestClientIsLight holds what a Go program gets with localapi/client: the
// packages that the client can't do without, and nothing of the agent's work.
func TestClientIsLight(t *testing.T) {
	all, _ := arrows(t)
	reached := []string{"localapi/client"}
	for i := 0; i < len(reached); i++ {
		for _, a := range all {
			if a.from == reached[i] && !a.test && !slices.Contains(reached, a.to) {
				reached = append(reached, a.to)
			}
		}
	}
	slices.Sort(reached)
	want := []string{"agent/audit", "agent/paths", "agent/secret", "agent/vocabulary", "localapi/client", "localapi/proof", "localapi/sse"}
	if !slices.Equal(reached, want) {
		t.Errorf("it imports %q, not %q", reached, want)
	}
}
