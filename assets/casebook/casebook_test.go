package casebook

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// probe takes down what a comparison says.
type probe struct {
	testing.TB
	said string
}

func (p *probe) Helper() {}

func (p *probe) Errorf(format string, args ...any) { p.said += format }

func TestTable(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"go.mod": "module x\n",
		"doc.md": "# Cases\n\n<!-- made by TestX -->\nold\n<!-- end -->\n\nMore.\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	compare := func() string {
		p := &probe{TB: t}
		Table(p, "doc.md", "TestX", []string{"tried", "happens"}, [][]string{{"a|b", "no\n  way"}})
		return p.said
	}
	t.Setenv(Write, "")
	if compare() == "" {
		t.Error("a part that says something else is not told")
	}
	t.Setenv(Write, "1")
	if said := compare(); said != "" {
		t.Error("writing it says", said)
	}
	t.Setenv(Write, "")
	if said := compare(); said != "" {
		t.Error("what was written differs:", said)
	}
	if rows := Standing(t, "doc.md", "TestX"); !slices.Equal(rows["a|b"], []string{"a|b", "no way"}) {
		t.Errorf("what stands there is read as %q", rows)
	}
	const want = "# Cases\n\n<!-- made by TestX -->\n| tried | happens |\n|---|---|\n| a\\|b | no way |\n<!-- end -->\n\nMore.\n"
	if got, _ := os.ReadFile("doc.md"); string(got) != want {
		t.Errorf("the document is %q", strings.TrimSpace(string(got)))
	}
}
