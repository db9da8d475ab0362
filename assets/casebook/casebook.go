// Package casebook holds what documents say to the tests that try it: a part of
// a document is what a test makes of its own cases, so neither can change
// without the other.
package casebook

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Write is the environment variable with which tests write their parts into the
// documents rather than compare: LANGKEEP_WRITE_DOCS=1 go test -p 1 ./...
const Write = "LANGKEEP_WRITE_DOCS"

// writing is held while a document is read and written.
var writing sync.Mutex

// Table compares a table of Markdown with the one that stands in the document,
// a path below the module's folder such as docs/attacks.md, between the lines
//
//	<!-- made by NAME -->
//	<!-- end -->
//
// where NAME tells the reader which test that is.
func Table(t testing.TB, document, name string, header []string, rows [][]string) {
	t.Helper()
	var b strings.Builder
	line := func(cells []string) {
		if len(cells) != len(header) {
			t.Fatalf("%s: %d cells where the header has %d: %q", name, len(cells), len(header), cells)
		}
		for _, cell := range cells {
			b.WriteString("| " + cellText(cell) + " ")
		}
		b.WriteString("|\n")
	}
	line(header)
	b.WriteString(strings.Repeat("|---", len(header)) + "|\n")
	for _, row := range rows {
		line(row)
	}
	Section(t, document, name, b.String())
}

// Standing are the rows of such a table as they stand in the document, by their
// first cells: for a test that can't try all of them on this system.
func Standing(t testing.TB, document, name string) map[string][]string {
	t.Helper()
	writing.Lock()
	defer writing.Unlock()
	text, err := os.ReadFile(filepath.Join(moduleDir(t), filepath.FromSlash(document)))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- made by "+name+" -->\n")
	part, _, _ := strings.Cut(rest, "<!-- end -->\n")
	rows := map[string][]string{}
	for line := range strings.Lines(part) {
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "| "), " |"), " | ")
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], `\|`, "|")
		}
		rows[cells[0]] = cells
	}
	return rows
}

// cellText keeps a cell in one line and in its column.
func cellText(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}

// Section compares any text with the one that stands in the document between
// those lines.
func Section(t testing.TB, document, name, text string) {
	t.Helper()
	writing.Lock()
	defer writing.Unlock()
	file := filepath.Join(moduleDir(t), filepath.FromSlash(document))
	all, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- made by "+name+" -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(string(all), begin)
	stands, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s has no part between %q and %q", document, begin, end)
	}
	if stands == text {
		return
	}
	if os.Getenv(Write) == "" {
		should, is := firstDifference(text, stands)
		t.Errorf("%s does not say what %s does: %s=1 writes it there. The first line that differs should be\n%s\nand is\n%s",
			document, name, Write, should, is)
		return
	}
	if err := os.WriteFile(file, []byte(before+begin+text+end+after), 0o644); err != nil {
		t.Error(err)
	}
}

// firstDifference are the first lines that two texts do not share.
func firstDifference(a, b string) (ofA, ofB string) {
	linesA, linesB := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(linesA), len(linesB)) {
		ofA, ofB = "", ""
		if i < len(linesA) {
			ofA = linesA[i]
		}
		if i < len(linesB) {
			ofB = linesB[i]
		}
		if ofA != ofB {
			break
		}
	}
	return ofA, ofB
}

// moduleDir is the folder of go.mod, above the one that a test runs in.
func moduleDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("there is no go.mod above the test")
		}
		dir = parent
	}
}
