package connect

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"langkeep/agent/tomltext"
)

// tomlFormat is TOML with a [section.name] for each entry.
type tomlFormat struct{}

func (tomlFormat) read(content []byte) (map[string]any, error) {
	tree := map[string]any{}
	return tree, toml.Unmarshal(content, &tree)
}

func (f tomlFormat) put(content []byte, section, name string, value any) ([]byte, error) {
	from, to, err := findTable(content, section, name)
	if err != nil {
		return nil, err
	}
	var block []byte
	if value != nil {
		head := "[" + tomltext.Key(section) + "." + tomltext.Key(name) + "]"
		block = []byte(head + "\n" + strings.Join(tomltext.Lines(value), "\n") + "\n")
	}
	switch {
	case from >= 0 && block == nil:
		// With the blank line before it.
		return slices.Concat(append(bytes.TrimRight(content[:from], "\n"), newline(from)...), content[to:]), nil
	case from >= 0:
		return slices.Concat(content[:from], block, content[to:]), nil
	case block == nil:
		return content, nil
	}
	if kept := bytes.TrimRight(content, "\n"); len(kept) > 0 {
		content = slices.Concat(kept, []byte("\n\n"))
	}
	return slices.Concat(content, block), nil
}

// newline ends the line before i, if there is one.
func newline(i int) string {
	if i == 0 {
		return ""
	}
	return "\n"
}

// findTable returns the range of [section.name] with its settings and the tables in it,
// -1 if it is absent. The caller finds out whether there are more elsewhere.
func findTable(content []byte, section, name string) (from, to int, err error) {
	var p unstable.Parser
	p.Reset(content)
	from = -1
	inside := false
	for p.NextExpression() {
		node := p.Expression()
		switch node.Kind {
		case unstable.Table, unstable.ArrayTable:
			var parts []string
			first := -1
			for keys := node.Key(); keys.Next(); {
				parts = append(parts, string(keys.Node().Data))
				if first < 0 {
					first = int(keys.Node().Raw.Offset)
				}
			}
			of := len(parts) >= 2 && slices.Equal(parts[:2], []string{section, name})
			inside = of && (inside || from < 0)
			if inside {
				if from < 0 {
					from = bytes.LastIndexByte(content[:first], '\n') + 1
				}
				to = lineEnd(content, first)
			}
		case unstable.KeyValue:
			if inside {
				to = lineEnd(content, int(node.Raw.Offset+node.Raw.Length))
			}
		}
	}
	if p.Error() != nil {
		return 0, 0, errors.New("it can't be parsed")
	}
	return from, to, nil
}

// lineEnd is where the line at i ends, its line feed included.
func lineEnd(content []byte, i int) int {
	if n := bytes.IndexByte(content[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(content)
}
