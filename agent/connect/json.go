package connect

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// jsonFormat is JSON, with comments and trailing commas where the file has them.
type jsonFormat struct{}

func (jsonFormat) read(content []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return map[string]any{}, nil
	}
	standard := content
	if !json.Valid(content) { // most files are, and big ones take a while
		var err error
		if standard, err = hujson.Standardize(slices.Clone(content)); err != nil { // it writes into it
			return nil, err
		}
	}
	d := json.NewDecoder(bytes.NewReader(standard))
	d.UseNumber()
	var tree map[string]any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	if tree == nil {
		return nil, errors.New("it is no object")
	}
	return tree, nil
}

func (jsonFormat) put(content []byte, section, name string, value any) ([]byte, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		content = []byte("{\n}\n")
	}
	doc, err := hujson.Parse(content)
	if err != nil {
		return nil, err
	}
	root, ok := doc.Value.(*hujson.Object)
	if !ok {
		return nil, errors.New("it is no object")
	}
	unit := "  "
	if in, ok := indentOf(root); ok && in != "" {
		unit = in
	}
	at := memberAt(root, section)
	if at < 0 {
		if value == nil {
			return content, nil
		}
		addMember(root, section, []byte("{}"), unit, "")
		at = len(root.Members) - 1
	}
	inner, ok := root.Members[at].Value.Value.(*hujson.Object)
	if !ok {
		return nil, errors.New(section + " is no object")
	}
	found := memberAt(inner, name)
	if value == nil {
		if found >= 0 {
			removeMember(inner, found)
		}
		return doc.Pack(), nil
	}
	outer, multiline := indentOf(root)
	if !multiline {
		outer = unit
	}
	indent, multiline := indentOf(inner)
	if !multiline {
		indent = outer + unit
	}
	text, err := json.MarshalIndent(value, indent, unit)
	if err != nil {
		return nil, err
	}
	if found >= 0 {
		parsed, err := hujson.Parse(text)
		if err != nil {
			return nil, err
		}
		inner.Members[found].Value.Value = parsed.Value
		return doc.Pack(), nil
	}
	addMember(inner, name, text, indent, outer)
	return doc.Pack(), nil
}

// memberAt finds the last member of that name, which is the one that counts.
func memberAt(o *hujson.Object, name string) int {
	for i, m := range slices.Backward(o.Members) {
		if l, ok := m.Name.Value.(hujson.Literal); ok && l.String() == name {
			return i
		}
	}
	return -1
}

// indentOf returns the indent of an object's members, if they have lines of their own.
func indentOf(o *hujson.Object) (indent string, multiline bool) {
	if len(o.Members) == 0 {
		return "", false
	}
	before := string(o.Members[0].Name.BeforeExtra)
	i := strings.LastIndexByte(before, '\n')
	line := before[i+1:]
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))], i >= 0
}

// addMember adds a member at the end of an object, after all its comments.
func addMember(o *hujson.Object, name string, text []byte, indent, closing string) {
	parsed, err := hujson.Parse(text)
	if err != nil {
		return // it was written by encoding/json
	}
	m := hujson.ObjectMember{
		Name:  hujson.Value{Value: hujson.String(name)},
		Value: hujson.Value{BeforeExtra: hujson.Extra(" "), Value: parsed.Value},
	}
	m.Name.BeforeExtra = append(bytes.TrimRight(o.AfterExtra, " \t\r\n"), "\n"+indent...)
	o.AfterExtra = hujson.Extra("\n" + closing)
	if n := len(o.Members); n > 0 && o.Members[n-1].Value.AfterExtra != nil {
		m.Value.AfterExtra = hujson.Extra{} // a comma at the end, as before
	}
	o.Members = append(o.Members, m)
}

// removeMember removes a member. A comment before it stays.
func removeMember(o *hujson.Object, i int) {
	m := o.Members[i]
	o.Members = slices.Delete(o.Members, i, i+1)
	comments := bytes.TrimRight(m.Name.BeforeExtra, " \t\r\n")
	next := &o.AfterExtra
	if i < len(o.Members) {
		next = &o.Members[i].Name.BeforeExtra
	} else if i > 0 {
		before := &o.Members[i-1].Value
		if m.Value.AfterExtra == nil {
			before.AfterExtra = nil // nor has it a comma
		} else if before.AfterExtra == nil {
			before.AfterExtra = hujson.Extra{}
		}
	}
	*next = append(slices.Clone(comments), *next...)
	if len(o.Members) == 0 && len(comments) == 0 {
		o.AfterExtra = nil
	}
}
