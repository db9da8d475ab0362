package words

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"langkeep/agent/langflow"
)

// Every kind of fault of package langflow has its words, in each column that people read.
func TestEveryKindHasWords(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../agent/langflow/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	kinds := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, _ := spec.Type.(*ast.Ident); of == nil || of.Name != "Kind" {
			return true
		}
		kinds++
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := reasons[code]; !ok && code != gateway && code != commandFailed { // whose words are in gateway.go
			t.Errorf("%s has no words", code)
		}
		return true
	})
	if kinds < 20 {
		t.Errorf("only %d kinds were found", kinds)
	}
	for code, w := range reasons {
		if w.sentence == "" || w.found == "" || (w.checked == "") != (w.mend == "") {
			t.Errorf("%s lacks words: %+v", code, w)
		}
		checked, mend := Checked(&langflow.Error{Kind: langflow.Kind(code), Status: 500}, "prod")
		for _, text := range []string{reason(code, "", "h.test"), filled(w.found, ""), filled(w.advice, "", "{login}", login), checked, mend} {
			if strings.ContainsAny(text, "{}") {
				t.Errorf("%s says %q", code, text)
			}
		}
	}
}
