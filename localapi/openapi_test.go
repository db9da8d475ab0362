package localapi

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An unquoted comma in { } ends a description, and begins a key without a value.
func TestOpenAPIHasWholeTexts(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	var look func(n *yaml.Node)
	look = func(n *yaml.Node) {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 1 && child.Tag == "!!null" {
				t.Errorf("line %d: %q has no value: put the text before it in quotes", child.Line, n.Content[i-1].Value)
			}
			look(child)
		}
	}
	look(&doc)
}

// The document and the table of routes say the same.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	var documented, routes []string
	path := ""
	for line := range strings.Lines(string(openAPI)) {
		line = strings.TrimRight(line, "\n")
		if p, ok := strings.CutPrefix(line, "  /"); ok {
			path = "/" + strings.TrimSuffix(p, ":")
		} else if m := strings.TrimPrefix(line, "    "); path != "" && slices.Contains([]string{"get:", "post:", "patch:", "delete:", "put:"}, m) {
			documented = append(documented, strings.ToUpper(strings.TrimSuffix(m, ":"))+" "+path)
		}
	}
	for _, route := range (&Server{}).table() {
		routes = append(routes, route.method+" "+route.path)
	}
	slices.Sort(documented)
	slices.Sort(routes)
	if !slices.Equal(documented, routes) {
		t.Errorf("openapi.yaml has %v,\nthe server %v", documented, routes)
	}
	r := newRig(t)
	if body := r.must(200, "GET", "/v1/openapi.yaml", ""); body != string(openAPI) {
		t.Error("it is not served as it is")
	}
}
