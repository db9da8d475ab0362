package connect

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlFormat is YAML with a block of entries below the section's name.
type yamlFormat struct {
	// list is the section whose entries are a list of objects with a name; "" if they
	// are a mapping.
	list string
}

func (f yamlFormat) read(content []byte) (map[string]any, error) {
	tree := map[string]any{}
	if err := yaml.Unmarshal(content, &tree); err != nil {
		return nil, err
	}
	if items, ok := tree[f.list].([]any); ok && f.list != "" {
		named, nameless := map[string]any{}, []any{}
		for _, item := range items {
			entry, _ := item.(map[string]any)
			name, ok := entry["name"].(string)
			if _, twice := named[name]; !ok || twice {
				nameless = append(nameless, item)
				continue
			}
			named[name] = item
		}
		if len(nameless) > 0 {
			named[""] = nameless
		}
		tree[f.list] = named
	}
	return tree, nil
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
	kind, none := yaml.MappingNode, "{}"
	if f.list != "" {
		kind, none = yaml.SequenceNode, "[]"
	}
	// block is the entry as it stands in the section.
	block := func(indent int) (string, error) {
		switch {
		case value == nil:
			return "", nil
		case f.list != "":
			return yamlBlock([]any{value}, indent)
		}
		return yamlBlock(map[string]any{name: value}, indent)
	}
	at := pairAt(root, section)
	if at < 0 {
		if value == nil {
			return content, nil
		}
		text, err := block(2)
		return []byte(strings.Join(lines, "") + section + ":\n" + text), err
	}
	key, entries := root.Content[at], root.Content[at+1]
	if entries.Kind == yaml.ScalarNode && entries.Tag == "!!null" || entries.Kind == kind && len(entries.Content) == 0 {
		if value == nil {
			return content, nil
		}
		var err error
		if lines[key.Line-1], err = withoutNone(lines[key.Line-1]); err != nil {
			return nil, err
		}
		text, err := block(key.Column + 1)
		return []byte(strings.Join(slices.Insert(lines, key.Line, text), "")), err
	}
	if entries.Kind != kind || entries.Style&yaml.FlowStyle != 0 {
		return nil, errors.New(section + " is not written as a block of entries")
	}
	indent := entries.Content[0].Column - 1
	if f.list != "" {
		indent = entries.Column - 1 // where the dashes are
	}
	from, to := key.Line, key.Line // a new one goes before the others and their comments
	if first, last := f.entryAt(entries, name); first != nil {
		from, to = first.Line-1, lastLine(last)
	}
	text, err := block(indent)
	if err != nil {
		return nil, err
	}
	head, tail := strings.Join(lines[:from], ""), strings.Join(lines[to:], "")
	after := []byte(head + text + tail)
	if value != nil || from == to {
		return after, nil
	}
	// Some tools take no section without a value.
	if tree, err := f.read(after); err == nil && tree[section] == nil {
		lines[key.Line-1] = strings.Replace(lines[key.Line-1], ":", ": "+none, 1)
		after = []byte(strings.Join(lines[:from], "") + tail)
	}
	return after, nil
}

// entryAt is the first and the last node of an entry; nil if there is none.
func (f yamlFormat) entryAt(entries *yaml.Node, name string) (first, last *yaml.Node) {
	if f.list == "" {
		if i := pairAt(entries, name); i >= 0 {
			return entries.Content[i], entries.Content[i+1]
		}
		return nil, nil
	}
	for _, item := range entries.Content {
		if i := pairAt(item, "name"); item.Kind == yaml.MappingNode && i >= 0 && item.Content[i+1].Value == name {
			return item, item
		}
	}
	return nil, nil
}

// withoutNone is the line of a section without entries, without its {}, [] or null; a
// comment stays.
func withoutNone(line string) (string, error) {
	name, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), ":")
	rest = strings.TrimSpace(rest)
	for _, none := range []string{"{}", "[]", "null", "~"} {
		rest = strings.TrimSpace(strings.TrimPrefix(rest, none))
	}
	switch {
	case rest == "":
		return name + ":\n", nil
	case rest[0] == '#':
		return name + ": " + rest + "\n", nil
	}
	return "", errors.New("it is not written as a block of entries")
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

// yamlBlock is a value as it stands in a block; indent is in spaces.
func yamlBlock(value any, indent int) (string, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(value); err != nil {
		return "", err
	}
	var block strings.Builder
	for line := range strings.Lines(b.String()) {
		block.WriteString(strings.Repeat(" ", indent) + line)
	}
	return block.String(), nil
}
