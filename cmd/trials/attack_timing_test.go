package trials

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"langkeep/assets/casebook"
)

// How long a comparison takes must not tell how much of a token is right. A
// clock could only show that now and then, so it is read off the code: a lookup
// hashes what it gets, compares the hashes in constant time, and looks at every
// entry whichever fits. A benchmark beside each (BenchmarkLookup in
// agent/clients and localapi/guard) has the times.
func TestAttackTokenTiming(t *testing.T) {
	lookups := []struct {
		tried, file, receiver, method string
		over                          string // what it looks through; "" if there is one entry
	}{
		{"the owner's token", "localapi/guard/token.go", "ownerToken", "Lookup", ""},
		{"a client's token", "agent/clients/clients.go", "List", "Lookup", "records"},
		{"the control page's code or token", "localapi/guard/page.go", "", "find", "list"},
	}
	var rows [][]string
	for _, l := range lookups {
		how := "hashes are compared in constant time"
		if l.over != "" {
			how += ", with every entry, whichever fits"
		}
		rows = append(rows, []string{l.tried + ", guessed a letter at a time", how + " (`" + l.file + "`)"})
		t.Run(l.tried, func(t *testing.T) {
			for _, fault := range timingFaults(t, l.file, l.receiver, l.method, l.over) {
				t.Error(fault)
			}
		})
	}
	casebook.Table(t, "docs/attacks.md", "TestAttackTokenTiming in cmd/trials", []string{"what is tried", "what happens"}, rows)
}

// timingFaults are what in a lookup could take longer for one token than for
// another.
func timingFaults(t *testing.T, file, receiver, method, over string) (faults []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", filepath.FromSlash(file)), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != method || receiver != "" && (f.Recv == nil || !strings.Contains(source(f.Recv.List[0].Type), receiver)) {
			continue
		}
		if n := calls(f.Body, "ConstantTimeCompare"); n != 1 {
			faults = append(faults, fmt.Sprintf("%d comparisons in constant time", n))
		}
		if calls(f.Body, "Sum256") == 0 && !strings.Contains(source(f.Type.Params), "hash") {
			faults = append(faults, "it compares more than hashes")
		}
		looked := over == ""
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.RangeStmt:
				if !strings.Contains(source(n.X), over) {
					return true
				}
				looked = calls(n.Body, "ConstantTimeCompare") == 1
				ast.Inspect(n.Body, func(n ast.Node) bool {
					switch n.(type) {
					case *ast.BranchStmt, *ast.ReturnStmt:
						faults = append(faults, "it leaves its loop when one fits")
					}
					return true
				})
			case *ast.CallExpr:
				if name := source(n.Fun); strings.Contains(name, "Equal") || strings.Contains(name, "HasPrefix") || strings.Contains(name, "Compare") && !strings.Contains(name, "ConstantTime") {
					faults = append(faults, "it calls "+name)
				}
			}
			return true
		})
		if !looked {
			faults = append(faults, "it does not compare with each of "+over)
		}
		return faults
	}
	return []string{"there is no " + method + " in " + file}
}

// calls counts the calls of a function.
func calls(n ast.Node, name string) (count int) {
	ast.Inspect(n, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok && strings.HasSuffix(source(c.Fun), name) {
			count++
		}
		return true
	})
	return count
}

// source is the names in a piece of code, in their order.
func source(n ast.Node) string {
	var names []string
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			names = append(names, id.Name)
		}
		return true
	})
	return strings.Join(names, ".")
}
