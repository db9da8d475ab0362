package connect

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlFormat is YAML with a block of entries below the section's name.
type yamlFormat struct{}

func (yamlFormat) read(content []byte) (map[string]any, error) {
	tree := map[string]any{}
	return tree, yaml.Unmarshal(content, &tree)
}

func (f yamlFormat) put(content []byte, section, name string, value any) ([]byte, error) {
	// To YAML 1.1 these end a line as well, but not to the lines counted below.
	if strings.ContainsAny(strings.ReplaceAll(string(content), "\r\n", "\n"), "\r\u0085\u2028\u2029") {
		return nil, errors.New("its lines end in another way than with a line feed")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return nil, err
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	if len(doc.Content) > 0 {
		root = doc.Content[0]
	}
	if root.Kind != yaml.MappingNode || root.Style&yaml.FlowStyle != 0 && len(root.Content) > 0 {
		return nil, errors.New("it is not written as a block of settings")
	}
	lines := slices.Collect(strings.Lines(string(content)))
	if n := len(lines); n > 0 && !strings.HasSuffix(lines[n-1], "\n") {
		lines[n-1] += "\n"
	}
	at := pairAt(root, section)
	if at < 0 {
		if value == nil {
			return content, nil
		}
		block, err := yamlBlock(map[string]any{name: value}, "  ")
		if err != nil {
			return nil, err
		}
		return []byte(strings.Join(lines, "") + section + ":\n" + block), nil
	}
	key, entries := root.Content[at], root.Content[at+1]
	empty := entries.Kind == yaml.ScalarNode && entries.Tag == "!!null" || entries.Kind == yaml.MappingNode && len(entries.Content) == 0
	switch {
	case empty:
		if value == nil {
			return content, nil
		}
		// Without the {} or null after its name.
		lines[key.Line-1] = strings.Repeat(" ", key.Column-1) + section + ":\n"
		block, err := yamlBlock(map[string]any{name: value}, strings.Repeat(" ", key.Column+1))
		if err != nil {
			return nil, err
		}
		lines = slices.Insert(lines, key.Line, block)
		return []byte(strings.Join(lines, "")), nil
	case entries.Kind != yaml.MappingNode || entries.Style&yaml.FlowStyle != 0:
		return nil, errors.New(section + " is not written as a block of entries")
	}
	indent := strings.Repeat(" ", entries.Content[0].Column-1)
	from, to := entries.Content[0].Line-1, entries.Content[0].Line-1 // before the first, if it is new
	if found := pairAt(entries, name); found >= 0 {
		from, to = entries.Content[found].Line-1, lastLine(entries.Content[found+1])
	}
	block := ""
	if value != nil {
		var err error
		if block, err = yamlBlock(map[string]any{name: value}, indent); err != nil {
			return nil, err
		}
	}
	return []byte(strings.Join(lines[:from], "") + block + strings.Join(lines[to:], "")), nil
}

// pairAt finds a key of a mapping.
func pairAt(m *yaml.Node, key string) int {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// lastLine is a node's last known line.
func lastLine(n *yaml.Node) int {
	last := n.Line
	for _, inner := range n.Content {
		last = max(last, lastLine(inner))
	}
	return last
}

// yamlBlock is a value as it stands in a block.
func yamlBlock(value any, indent string) (string, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(value); err != nil {
		return "", err
	}
	var block strings.Builder
	for line := range strings.Lines(b.String()) {
		block.WriteString(indent + line)
	}
	return block.String(), nil
}
