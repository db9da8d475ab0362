package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// said is a command that a document tells its reader to run.
type said struct {
	document string
	text     string
	inline   bool // in the middle of a sentence, and perhaps not whole
}

var inlineCode = regexp.MustCompile("`(langkeep [^`]+)`")

// document is one, with its path below the module's folder.
type document struct{ path, text string }

// documents are those that the patterns name, which are below the module's folder.
func documents(t *testing.T, patterns ...string) (all []document) {
	t.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join("..", "..", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("there is no %s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, document{strings.TrimPrefix(filepath.ToSlash(file), "../../"), string(text)})
		}
	}
	return all
}

// documented are the commands in README.md, docs/ and .github/, in their order: the lines
// of blocks of sh, and those after "$ " in blocks of console.
func documented(t *testing.T) []said {
	t.Helper()
	var all []said
	for _, d := range documents(t, "README.md", "docs/*.md", ".github/*.md") {
		document := d.path
		for i, part := range strings.Split("\n"+d.text, "\n```") {
			language, block, _ := strings.Cut(part, "\n")
			if i%2 == 0 {
				for _, m := range inlineCode.FindAllStringSubmatch(strings.ReplaceAll(part, "\n", " "), -1) {
					all = append(all, said{document, m[1], true})
				}
				continue
			}
			switch language {
			case "sh", "console":
				for _, command := range commandsOf(block, language == "console") {
					all = append(all, said{document, command, false})
				}
			default:
				if strings.Contains("\n"+block, "\nlangkeep ") {
					t.Errorf("%s: a block of commands has to be one of sh:\n%s", document, block)
				}
			}
		}
	}
	return all
}

// commandsOf takes a block apart: a command goes on where a line ends with a
// backslash or a pipe. If what is printed is shown too, only what follows a "$ "
// is a command.
func commandsOf(block string, printed bool) (commands []string) {
	goesOn := false
	for line := range strings.SplitSeq(block, "\n") {
		typed, isTyped := strings.CutPrefix(line, "$ ")
		switch {
		case goesOn:
			commands[len(commands)-1] += "\n" + line
		case strings.TrimSpace(line) == "", strings.HasPrefix(line, "#"), printed && !isTyped:
			continue
		default:
			commands = append(commands, typed)
		}
		goesOn = strings.HasSuffix(line, `\`) || strings.HasSuffix(line, "|")
	}
	return commands
}

// Every langkeep command in the documents is one that there is, with flags that
// it has. TestTools runs those that stand in blocks.
func TestDocumentedCommandsAreThere(t *testing.T) {
	n := 0
	for _, c := range documented(t) {
		for _, args := range langkeepArgs(c.text) {
			n++
			root := newRoot(&app{})
			command, rest, err := root.Find(args)
			if err == nil && command == root && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				t.Errorf("%s: there is no %q", c.document, c.text)
				continue
			}
			if err == nil {
				err = checkArgs(command, rest, c.inline)
			}
			if err != nil {
				t.Errorf("%s: %q: %v", c.document, c.text, err)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d commands were found", n)
	}
}

// checkArgs parses what follows a command. In a sentence it need not be whole.
func checkArgs(command *cobra.Command, rest []string, inline bool) error {
	if err := command.ParseFlags(rest); err != nil || inline {
		return err
	}
	return command.ValidateArgs(command.Flags().Args())
}

// langkeepArgs are the arguments of each langkeep command in a shell's text.
func langkeepArgs(text string) (all [][]string) {
	text = regexp.MustCompile(`(?m)\s#.*$`).ReplaceAllString(strings.ReplaceAll(text, "\\\n", " "), "")
	for _, part := range regexp.MustCompile(`\$\(|[|;&()]`).Split(text, -1) {
		words := strings.Fields(strings.Trim(part, `"`))
		for len(words) > 0 && strings.Contains(words[0], "=") {
			words = words[1:] // a variable
		}
		if len(words) > 0 && (words[0] == "langkeep" || words[0] == "./langkeep") {
			args := words[1:]
			for i, arg := range args {
				if strings.HasPrefix(arg, ">") {
					args = args[:i]
					break
				}
				args[i] = strings.Trim(arg, `"'`)
			}
			all = append(all, args)
		}
	}
	return all
}

var (
	link         = regexp.MustCompile(`\]\(([^)]*)\)`)
	heading      = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInASlug   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	testName     = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	madeBy       = regexp.MustCompile(`<!-- made by (\w+) in ([a-z/]+)`)
	namedPath    = regexp.MustCompile("`((?:agent|assets|cmd|docs|localapi|tray|\\.ci|\\.github)/[^` ]*)`")
)

// Every link from one document to another leads to a file that there is, and to a
// heading of it.
func TestDocumentsLeadSomewhere(t *testing.T) {
	all := documents(t, "*.md", "docs/*.md", ".github/*.md")
	slugs := map[string]map[string]bool{} // of the headings, as GitHub makes them, by document
	for _, d := range all {
		slugs[d.path] = map[string]bool{}
		for _, m := range heading.FindAllStringSubmatch(d.text, -1) {
			slugs[d.path][strings.ReplaceAll(notInASlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
		}
	}
	n := 0
	for _, d := range all {
		for _, m := range link.FindAllStringSubmatch(d.text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			n++
			file, anchor, anchored := strings.Cut(m[1], "#")
			to := d.path
			if file != "" {
				to = path.Join(path.Dir(d.path), file)
			}
			if _, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(to))); err != nil {
				t.Errorf("%s: %v", d.path, err)
			}
			if anchored && !slugs[to][anchor] {
				t.Errorf("%s: %s has no heading for #%s", d.path, to, anchor)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d links were found", n)
	}
}

// Tests and files that documents name are there, and so is the test that makes a
// part of one.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	folderOf := map[string]map[string]bool{} // by the name of a test
	for _, f := range testFiles(t) {
		for _, m := range testFunction.FindAllStringSubmatch(f.text, -1) {
			if folderOf[m[1]] == nil {
				folderOf[m[1]] = map[string]bool{}
			}
			folderOf[m[1]][path.Dir(f.path)] = true
		}
	}
	for _, d := range documents(t, "*.md", "docs/*.md", ".github/*.md") {
		for _, name := range testName.FindAllString(d.text, -1) {
			if folderOf[name] == nil {
				t.Errorf("%s: there is no %s", d.path, name)
			}
		}
		for _, m := range madeBy.FindAllStringSubmatch(d.text, -1) {
			if !folderOf[m[1]][m[2]] {
				t.Errorf("%s: there is no %s in %s", d.path, m[1], m[2])
			}
		}
		for _, m := range namedPath.FindAllStringSubmatch(d.text, -1) {
			pattern := filepath.Join("..", "..", filepath.FromSlash(strings.ReplaceAll(m[1], "NAME", "*")))
			if found, err := filepath.Glob(pattern); err != nil || len(found) == 0 {
				t.Errorf("%s: there is no %s", d.path, m[1])
			}
		}
	}
}

// testFiles are all files of tests.
func testFiles(t *testing.T) (all []document) {
	t.Helper()
	root := filepath.Join("..", "..")
	for _, dir := range []string{"agent", "assets", "cmd", "localapi", "tray"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(file string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(file, "_test.go") {
				return err
			}
			text, err := os.ReadFile(file)
			all = append(all, document{strings.TrimPrefix(filepath.ToSlash(file), "../../"), string(text)})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Every test that the quick ones leave out is in a part of .ci/test: what a
// document says of one that nobody runs could be anything.
func TestEveryRealTestIsInAPart(t *testing.T) {
	script, err := os.ReadFile(filepath.Join("..", "..", ".ci", "test"))
	if err != nil {
		t.Fatal(err)
	}
	runs := map[string][]*regexp.Regexp{} // by folder
	for _, m := range regexp.MustCompile(`\breal ([a-z/]+) \w+(?: '?(Test[^' ;]*))?`).FindAllStringSubmatch(string(script), -1) {
		runs[m[1]] = append(runs[m[1]], regexp.MustCompile("^("+m[2]+map[bool]string{true: ".*"}[m[2] == ""]+")$"))
	}
	for _, m := range regexp.MustCompile(`-tags real .*-run '([^']+)' \./([a-z/]+)`).FindAllStringSubmatch(string(script), -1) {
		runs[m[2]] = append(runs[m[2]], regexp.MustCompile(m[1]))
	}
	n := 0
	for _, f := range testFiles(t) {
		if !strings.HasPrefix(f.text, "//go:build real") {
			continue
		}
		for _, m := range testFunction.FindAllStringSubmatch(f.text, -1) {
			n++
			if !slices.ContainsFunc(runs[path.Dir(f.path)], func(r *regexp.Regexp) bool { return r.MatchString(m[1]) }) {
				t.Errorf("%s: %s is in no part of .ci/test", f.path, m[1])
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d tests were found", n)
	}
}
