package casebook

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// Comments reads what stands above the fields and methods in Go files, each in
// one line, by "Struct.Field" and "Type.Method".
func Comments(t testing.TB, files ...string) map[string]string {
	t.Helper()
	comments := map[string]string{}
	note := func(of, name string, doc *ast.CommentGroup) {
		comments[of+"."+name] = strings.Join(strings.Fields(doc.Text()), " ")
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok {
					for _, field := range s.Fields.List {
						for _, name := range field.Names {
							note(n.Name.Name, name.Name, field.Doc)
						}
					}
				}
			case *ast.FuncDecl:
				if n.Recv != nil {
					if of, ok := n.Recv.List[0].Type.(*ast.Ident); ok {
						note(of.Name, n.Name.Name, n.Doc)
					}
				}
			}
			return true
		})
	}
	return comments
}
