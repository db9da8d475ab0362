package documents_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"langkeep/cmd/trials/documents"
)

// root is the repository's folder.
var root = filepath.Join("..", "..", "..")

var (
	link         = regexp.MustCompile(`\]\(([^)]*)\)`)
	heading      = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInASlug   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	testName     = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	madeBy       = regexp.MustCompile(`<!-- made by (\w+) in ([a-z/]+)`)
	namedPath    = regexp.MustCompile("`((?:agent|assets|cmd|docs|localapi|tray|\\.ci|\\.github)/[^` ]*)`")
)

// placeholders stand in a path for any name.
var placeholders = strings.NewReplacer("NAME", "*", "SUBJECT", "*")

// Every link from one document to another leads to a file that there is, and to a
// heading of it.
func TestDocumentsLeadSomewhere(t *testing.T) {
	all := documents.Read(t, root, "*.md", "docs/*.md", ".github/*.md")
	slugs := map[string]map[string]bool{} // of the headings, as GitHub makes them, by document
	for _, d := range all {
		slugs[d.Path] = map[string]bool{}
		for _, m := range heading.FindAllStringSubmatch(d.Text, -1) {
			slugs[d.Path][strings.ReplaceAll(notInASlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
		}
	}
	n := 0
	for _, d := range all {
		for _, m := range link.FindAllStringSubmatch(d.Text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			n++
			file, anchor, anchored := strings.Cut(m[1], "#")
			to := d.Path
			if file != "" {
				to = path.Join(path.Dir(d.Path), file)
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(to))); err != nil {
				t.Errorf("%s: %v", d.Path, err)
			}
			if anchored && !slugs[to][anchor] {
				t.Errorf("%s: %s has no heading for #%s", d.Path, to, anchor)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d links were found", n)
	}
}

// The index has every document.
func TestIndexHasEveryDocument(t *testing.T) {
	index := documents.Read(t, root, "docs/README.md")[0].Text
	for _, d := range documents.Read(t, root, "docs/*.md") {
		if name := path.Base(d.Path); name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

// Tests and files that documents name are there, and so is the test that makes a
// part of one.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	folderOf := map[string]map[string]bool{} // by the name of a test
	for _, f := range testFiles(t) {
		for _, m := range testFunction.FindAllStringSubmatch(f.Text, -1) {
			if folderOf[m[1]] == nil {
				folderOf[m[1]] = map[string]bool{}
			}
			folderOf[m[1]][path.Dir(f.Path)] = true
		}
	}
	for _, d := range documents.Read(t, root, "*.md", "docs/*.md", ".github/*.md") {
		for _, name := range testName.FindAllString(d.Text, -1) {
			if folderOf[name] == nil {
				t.Errorf("%s: there is no %s", d.Path, name)
			}
		}
		for _, m := range madeBy.FindAllStringSubmatch(d.Text, -1) {
			if !folderOf[m[1]][m[2]] {
				t.Errorf("%s: there is no %s in %s", d.Path, m[1], m[2])
			}
		}
		for _, m := range namedPath.FindAllStringSubmatch(d.Text, -1) {
			pattern := filepath.Join(root, filepath.FromSlash(placeholders.Replace(m[1])))
			if found, err := filepath.Glob(pattern); err != nil || len(found) == 0 {
				t.Errorf("%s: there is no %s", d.Path, m[1])
			}
		}
	}
}

// testFiles are all files of tests.
func testFiles(t *testing.T) (all []documents.Document) {
	t.Helper()
	for _, dir := range []string{"agent", "assets", "cmd", "localapi", "tray"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(file string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(file, "_test.go") {
				return err
			}
			text, err := os.ReadFile(file)
			all = append(all, documents.Document{Path: filepath.ToSlash(strings.TrimPrefix(file, root+string(filepath.Separator))), Text: string(text)})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Every test that the quick ones leave out is in a part of .ci/test: nothing would hold a
// document to a test that nobody runs.
func TestEveryRealTestIsInAPart(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(root, ".ci", "test"))
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
		if !strings.HasPrefix(f.Text, "//go:build real") {
			continue
		}
		for _, m := range testFunction.FindAllStringSubmatch(f.Text, -1) {
			n++
			if !slices.ContainsFunc(runs[path.Dir(f.Path)], func(r *regexp.Regexp) bool { return r.MatchString(m[1]) }) {
				t.Errorf("%s: %s is in no part of .ci/test", f.Path, m[1])
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d tests were found", n)
	}
}
