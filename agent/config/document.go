package config

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"langkeep/agent/paths"
)

// fileLimit is the greatest size of a file, in bytes.
const fileLimit = 1 << 20

// document is a TOML file as it was read.
type document struct {
	path string
	data []byte // without the mark
	mark []byte // a byte order mark, as some editors on Windows begin a file with; else empty
}

// byteOrderMark is U+FEFF in UTF-8, which TOML 1.0 does not know.
const byteOrderMark = "\xef\xbb\xbf"

// write writes the file, with its mark, through a symbolic link.
func (d *document) write() error { return paths.WriteThrough(d.path, slices.Concat(d.mark, d.data)) }

// newline is the file's line ending.
func (d *document) newline() string {
	if i := bytes.IndexByte(d.data, '\n'); i > 0 && d.data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// load reads the file at path into v, whose fields are the known settings, "schema"
// among them. A file without a schema counts as current, since people write files by
// hand. Schema 0 has the same settings, and is migrated. A missing file is
// fs.ErrNotExist; every other error names the file, and the line if there is one.
func load(path string, v any) (*document, error) {
	data, err := paths.ReadFile(path, fileLimit)
	if err != nil {
		return nil, err
	}
	d := &document{path: path, data: data}
	if rest, marked := bytes.CutPrefix(data, []byte(byteOrderMark)); marked {
		d.data, d.mark = rest, data[:len(byteOrderMark)]
	}
	// Read the schema first: a newer file may have unknown settings.
	head := struct {
		Schema int `toml:"schema"`
	}{paths.Schema}
	if err := toml.Unmarshal(d.data, &head); err != nil {
		return nil, d.explain(err)
	}
	older, err := paths.CheckSchema(d.where("schema"), head.Schema)
	if err != nil {
		return nil, err
	}
	if older {
		if err := paths.Backup(path, data); err != nil {
			return nil, err
		}
		d.set("schema", fmt.Sprint(paths.Schema))
		if err := d.write(); err != nil {
			return nil, err
		}
	}
	if err := toml.NewDecoder(bytes.NewReader(d.data)).DisallowUnknownFields().Decode(v); err != nil {
		return nil, d.explain(err)
	}
	return d, nil
}

// explain puts the file and the line before an error of go-toml.
func (d *document) explain(err error) error {
	if unknown, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		line, _ := first.Position()
		return fmt.Errorf("%s:%d: unknown setting %q; correct or remove it", d.path, line, strings.Join(first.Key(), "."))
	}
	if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ := bad.Position()
		fault := strings.TrimPrefix(bad.Error(), "toml: ")
		if mismatch := typeMismatch.FindStringSubmatch(fault); mismatch != nil {
			fault = fmt.Sprintf("%s: a value of the type %s stands where %s belongs", strings.Join(bad.Key(), "."), mismatch[1], expected(mismatch[2]))
		}
		return fmt.Errorf("%s:%d: %s", d.path, line, fault)
	}
	return fmt.Errorf("%s: %w", d.path, err)
}

// typeMismatch finds TOML's type and Go's in an error of go-toml, which names the fields
// of structs too.
var typeMismatch = regexp.MustCompile(`^cannot (?:decode TOML|store an?) (.+?) in(?:to)? (?:.* of type |an? )?(\S+)$`)

// expected says how a value of a type of Go's is written in TOML.
func expected(goType string) string {
	switch goType {
	case "string":
		return "a string in quotes"
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	case "[]string":
		return `a list of strings, such as ["a", "b"],`
	default:
		return "a table"
	}
}

// check puts the file and the line before the first of the errors of settings.
func (d *document) check(settings map[string]error) error {
	key, err := firstFault(settings)
	if err != nil {
		return fmt.Errorf("%s: %w", d.where(key), err)
	}
	return nil
}

// firstFault is the first of the errors of settings, and its key.
func firstFault(settings map[string]error) (key string, err error) {
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if err := settings[key]; err != nil {
			return key, fmt.Errorf("%s: %w", key, err)
		}
	}
	return "", nil
}

// where is the file and the line of a setting; only the file if it isn't there.
func (d *document) where(key string) string {
	from, _, ok := d.find(key)
	if !ok {
		return d.path
	}
	return fmt.Sprintf("%s:%d", d.path, 1+bytes.Count(d.data[:from], []byte("\n")))
}

// find returns the range of "key = value". For a setting in a table the key is dotted,
// however the file writes it.
func (d *document) find(key string) (from, to int, ok bool) {
	for at := range d.settings() {
		// go-toml takes keys in any case.
		if strings.EqualFold(at.key, key) {
			return at.from, at.to, true
		}
	}
	return 0, 0, false
}

// setting is the place of a "key = value" in a file.
type setting struct {
	key      string // in full
	table    string // the part of the key from the [table] above; "" at the top level
	from, to int
}

// settings yields the file's settings in order. A [table] comes as a setting without a
// key.
func (d *document) settings() iter.Seq[setting] {
	return func(yield func(setting) bool) {
		var p unstable.Parser
		p.Reset(d.data)
		table := ""
		for p.NextExpression() {
			node := p.Expression()
			var parts []string
			for keys := node.Key(); keys.Next(); {
				parts = append(parts, string(keys.Node().Data))
			}
			name := strings.Join(parts, ".")
			at := setting{table: table, from: int(node.Raw.Offset), to: int(node.Raw.Offset + node.Raw.Length)}
			switch node.Kind {
			case unstable.KeyValue:
				at.key = name
				if table != "" {
					at.key = table + "." + name
				}
			case unstable.Table, unstable.ArrayTable:
				table = name
				at.table = name
				// The parser gives no place for a table, but one for its name.
				keys := node.Key()
				keys.Next()
				at.from = int(keys.Node().Raw.Offset)
			default:
				continue
			}
			if !yield(at) {
				return
			}
		}
	}
}

// set gives a setting a value, both as TOML. It replaces the old value, or adds a line
// at the end of the setting's table or of the top level. The rest of the file, comments
// too, stays.
func (d *document) set(key, value string) {
	table, name := "", key
	if i := strings.LastIndex(key, "."); i >= 0 {
		table, name = key[:i], key[i+1:]
	}
	end := -1 // of the table that the setting belongs to
	top := len(d.data)
	for at := range d.settings() {
		if at.key == "" && top == len(d.data) {
			top = bytes.LastIndexByte(d.data[:at.from], '\n') + 1
		}
		switch {
		case strings.EqualFold(at.key, key):
			if at.table == "" {
				name = key // dotted, if it is in a table
			}
			d.data = slices.Concat(d.data[:at.from], []byte(name+" = "+value), d.data[at.to:])
			return
		case table != "" && strings.EqualFold(at.table, table):
			end = lineEnd(d.data, max(at.from, at.to))
		}
	}
	if end < 0 { // no such table: a dotted key at the top level will do
		end, name = top, key
	}
	line := name + " = " + value + d.newline()
	if end > 0 && d.data[end-1] != '\n' {
		line = d.newline() + line
	}
	d.data = slices.Concat(d.data[:end], []byte(line), d.data[end:])
}

// lineEnd is where the line at i ends, its line feed included.
func lineEnd(data []byte, i int) int {
	if n := bytes.IndexByte(data[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(data)
}
