package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"langkeep/agent/paths"
)

// fileLimit is the most that a file may have, in bytes.
const fileLimit = 1 << 20

// document is a TOML file as it was read.
type document struct {
	path string
	data []byte
}

// load reads the file at path into v, whose fields are the settings that are
// known, "schema" among them. A file without a schema counts as one of today's,
// since people write them by hand; schema 0 has the same settings, and is
// migrated. A missing file is fs.ErrNotExist; every other error names the file,
// and the line if there is one.
func load(path string, v any) (*document, error) {
	data, err := paths.ReadFile(path, fileLimit)
	if err != nil {
		return nil, err
	}
	d := &document{path, data}
	// The schema first: a newer file may have settings that are not known.
	head := struct {
		Schema int `toml:"schema"`
	}{paths.Schema}
	if err := toml.Unmarshal(data, &head); err != nil {
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
		d.set("schema", fmt.Sprint("schema = ", paths.Schema))
		if err := paths.WriteFile(path, d.data); err != nil {
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
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		line, _ := first.Position()
		return fmt.Errorf("%s:%d: unknown setting %q; correct or remove it", d.path, line, strings.Join(first.Key(), "."))
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, _ := bad.Position()
		return fmt.Errorf("%s:%d: %s", d.path, line, strings.TrimPrefix(bad.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w", d.path, err)
}

// check puts the file and the line before the first of the errors of settings.
func (d *document) check(settings map[string]error) error {
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if err := settings[key]; err != nil {
			return fmt.Errorf("%s: %s: %w", d.where(key), key, err)
		}
	}
	return nil
}

// where is the file and the line of a setting at the top level; only the file
// if it isn't there.
func (d *document) where(key string) string {
	from, _, ok := d.find(key)
	if !ok {
		return d.path
	}
	return fmt.Sprintf("%s:%d", d.path, 1+bytes.Count(d.data[:from], []byte("\n")))
}

// find tells from where to where "key = value" stands at the top level.
func (d *document) find(key string) (from, to int, ok bool) {
	var p unstable.Parser
	p.Reset(d.data)
	for p.NextExpression() {
		node := p.Expression()
		if node.Kind != unstable.KeyValue {
			break // a table: the top level has ended
		}
		// go-toml takes keys in any case.
		keys := node.Key()
		if keys.Next() && keys.IsLast() && strings.EqualFold(string(keys.Node().Data), key) {
			from = int(node.Raw.Offset)
			return from, from + int(node.Raw.Length), true
		}
	}
	return 0, 0, false
}

// set puts line, "key = value", in the place of the key's old one, or at the
// end; all else, comments too, stays as it is. It is for files without tables.
func (d *document) set(key, line string) {
	if from, to, ok := d.find(key); ok {
		d.data = slices.Concat(d.data[:from], []byte(line), d.data[to:])
		return
	}
	if n := len(d.data); n > 0 && d.data[n-1] != '\n' {
		d.data = append(d.data, '\n')
	}
	d.data = append(d.data, line+"\n"...)
}
