package paths

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Schema is what every file of Langkeep carries today, as "schema". A file
// that people write by hand may leave it out.
const Schema = 1

// ErrNewer is what CheckSchema says of a file that a newer Langkeep wrote. It
// must be left alone.
var ErrNewer = errors.New("was written by a newer langkeep; update this one")

// CheckSchema judges the schema that a file carries: older is true for one that
// is to be migrated, after a Backup. where names the file, and its line.
func CheckSchema(where string, found int) (older bool, err error) {
	switch {
	case found > Schema:
		return false, fmt.Errorf("%s: schema %d %w", where, found, ErrNewer)
	case found < 0:
		return false, fmt.Errorf("%s: schema %d does not exist; write %d", where, found, Schema)
	}
	return found < Schema, nil
}

// Backup keeps data, a file's old content, beside it with .bak appended to its
// name.
func Backup(path string, data []byte) error { return WriteFile(path+".bak", data) }

// ReadJSON reads a file of at most limit bytes of JSON into v, as ReadFile opens it: see
// adopt.
func ReadJSON(path string, limit int64, v any, todo string) error {
	data, err := ReadFile(path, limit)
	if err != nil {
		return err
	}
	return adopt(path, data, v, todo)
}

// WriteMark makes a file whose being there says it all.
func WriteMark(path string) error {
	return WriteFile(path, fmt.Appendf(nil, "{\"schema\":%d}\n", Schema))
}

// EncodeJSON is v as the content of a file.
func EncodeJSON(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "\t")
	return append(data, '\n'), err
}

// adopt reads a file's JSON into v. The schema comes first, since a newer file
// may have fields of other types; of an older one, which is written anew when
// something in it changes, it keeps a Backup. An error names the file and the
// line, and todo is what to do with one that can't be parsed.
func adopt(path string, data []byte, v any, todo string) error {
	var head struct {
		Schema int `json:"schema"`
	}
	err := json.Unmarshal(data, &head)
	if err == nil {
		older, wrong := CheckSchema(path, head.Schema)
		if wrong != nil {
			return wrong
		}
		if err = json.Unmarshal(data, v); err == nil && older {
			return Backup(path, data)
		}
	}
	if err != nil {
		end := int64(len(data))
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			end = min(end, syntax.Offset)
		} else if value, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			end = min(end, value.Offset)
		}
		return fmt.Errorf("%s:%d can't be parsed%s", path, 1+bytes.Count(data[:end], []byte("\n")), todo)
	}
	return nil
}
