package localapi

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"langkeep/assets/casebook"
)

// docs/api.md describes the routes with the text of openapi.yaml.
func TestAPIReference(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	r := &reference{root: node{doc.Content[0]}}
	for path, item := range r.root.get("paths").all() {
		if path == "/" || strings.HasPrefix(path, "/ui/") {
			continue // the page's own files
		}
		for method, op := range item.all() {
			if method != "parameters" {
				r.route(strings.ToUpper(method)+" "+path, op)
			}
		}
	}
	const document = "docs/api.md"
	casebook.Section(t, document, "TestAPIReference in localapi: routes", r.text.String())
	r.text.Reset()
	for name, schema := range r.root.get("components").get("schemas").all() {
		r.schema(name, schema)
	}
	casebook.Section(t, document, "TestAPIReference in localapi: objects", r.text.String())
}

// node is a mapping, a sequence or a scalar of YAML; its zero value is none.
type node struct{ *yaml.Node }

// all yields a mapping's entries in their order.
func (n node) all() func(yield func(string, node) bool) {
	return func(yield func(string, node) bool) {
		if n.Node == nil {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, node{n.Content[i+1]}) {
				return
			}
		}
	}
}

func (n node) get(key string) node {
	for k, v := range n.all() {
		if k == key {
			return v
		}
	}
	return node{}
}

// items are a sequence's.
func (n node) items() (items []node) {
	if n.Node != nil {
		for _, c := range n.Content {
			items = append(items, node{c})
		}
	}
	return items
}

// line is a scalar's text in one line.
func (n node) line() string {
	if n.Node == nil {
		return ""
	}
	return strings.Join(strings.Fields(n.Value), " ")
}

type reference struct {
	root node
	text strings.Builder
}

func (r *reference) printf(format string, args ...any) { fmt.Fprintf(&r.text, format, args...) }

// resolve follows a $ref, and tells the name that it ends in.
func (r *reference) resolve(n node) (node, string) {
	ref := n.get("$ref").line()
	if ref == "" {
		return n, ""
	}
	at, name := r.root, ""
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at, name = at.get(part), part
	}
	return at, name
}

func (r *reference) route(line string, op node) {
	r.printf("### %s\n\n%s.", line, op.get("summary").line())
	if said := op.get("description").line(); said != "" {
		r.printf(" %s", said)
	}
	r.printf("\n\n")
	for _, p := range op.get("parameters").items() {
		p, _ = r.resolve(p)
		r.printf("- `?%s=` %s\n", p.get("name").line(), r.what(p.get("schema"), p.get("description").line()))
	}
	if body := op.get("requestBody"); body.Node != nil {
		r.printf("- Body: %s\n", r.contents(body))
	}
	for status, response := range op.get("responses").all() {
		response, _ = r.resolve(response)
		if status == "default" {
			continue // a problem, on every route
		}
		r.printf("- %s\n", strings.TrimSpace(fmt.Sprintf("%s: %s. %s", status, response.get("description").line(), r.contents(response))))
	}
	r.printf("\n")
}

// contents are the media types of a body, with what they hold.
func (r *reference) contents(n node) string {
	var all []string
	for media, c := range n.get("content").all() {
		all = append(all, "`"+media+"` "+r.kind(c.get("schema")))
	}
	return strings.Join(all, " or ")
}

// kind is a schema's type in a few words; an object of its own is a link.
func (r *reference) kind(schema node) string {
	if schema.get("$ref").Node != nil {
		_, name := r.resolve(schema)
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	}
	if enum := schema.get("enum"); enum.Node != nil {
		var values []string
		for _, v := range enum.items() {
			values = append(values, "`"+v.Value+"`")
		}
		return strings.Join(values, ", ")
	}
	if c := schema.get("const"); c.Node != nil {
		return "`" + c.line() + "`"
	}
	kind := schema.get("type")
	names := []string{kind.line()}
	if kind.Node != nil && kind.Kind == yaml.SequenceNode {
		names = nil
		for _, k := range kind.items() {
			names = append(names, k.Value)
		}
	}
	if format := schema.get("format").line(); format == "date-time" {
		names[0] = "time"
	}
	if items := schema.get("items"); names[0] == "array" {
		names[0] = "list of " + r.kind(items)
	}
	if names[0] == "object" && schema.get("properties").Node != nil {
		var fields []string
		for name, field := range schema.get("properties").all() {
			fields = append(fields, "`"+name+"` "+r.kind(field))
		}
		if fields != nil {
			names[0] = "{" + strings.Join(fields, "; ") + "}"
		}
	}
	return strings.Join(names, " or ")
}

// what is a type with what is said of it.
func (r *reference) what(schema node, said string) string {
	kind := r.kind(schema)
	if said == "" {
		return kind
	}
	return kind + ": " + said
}

func (r *reference) schema(name string, schema node) {
	r.printf("### %s\n\n", name)
	if said := schema.get("description").line(); said != "" {
		r.printf("%s.\n\n", said)
	}
	for _, part := range schema.get("allOf").items() {
		if part.get("$ref").Node != nil {
			r.printf("All of %s, and:\n\n", r.kind(part))
		} else {
			schema = part
		}
	}
	needed := map[string]bool{}
	for _, n := range schema.get("required").items() {
		needed[n.Value] = true
	}
	r.printf("| field | type | |\n|---|---|---|\n")
	for field, f := range schema.get("properties").all() {
		mark := ""
		if !needed[field] {
			mark = " (may be left out)"
		}
		r.printf("| `%s`%s | %s | %s |\n", field, mark, r.kind(f), f.get("description").line())
	}
	r.printf("\n")
}
