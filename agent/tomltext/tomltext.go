// Package tomltext writes settings as TOML: strings, true and false, whole numbers, lists of
// strings, and tables of strings on one line. go-toml reads them; its encoder would make the
// program 90 KB bigger.
package tomltext

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Lines are the fields of a struct, in their order, as "key = value". The tag toml has a
// field's key, and may go on with ",omitempty".
func Lines(settings any) []string {
	var lines []string
	v := reflect.ValueOf(settings)
	for i := range v.NumField() {
		key, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
		text, empty := value(v.Field(i).Interface())
		if !empty || options != "omitempty" {
			lines = append(lines, Key(key)+" = "+text)
		}
	}
	return lines
}

func value(v any) (text string, empty bool) {
	switch v := v.(type) {
	case string:
		return quoted(v), v == ""
	case bool:
		return strconv.FormatBool(v), !v
	case int:
		return strconv.Itoa(v), v == 0
	case []string:
		var items []string
		for _, item := range v {
			items = append(items, quoted(item))
		}
		return "[" + strings.Join(items, ", ") + "]", len(v) == 0
	case map[string]string:
		var items []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			items = append(items, Key(key)+" = "+quoted(v[key]))
		}
		return "{" + strings.Join(items, ", ") + "}", len(v) == 0
	}
	panic(fmt.Sprintf("tomltext: a setting is a %T", v))
}

// Key is a key, with quotes where it needs them.
func Key(key string) string {
	bare := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
	}
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return !bare(r) }) {
		return quoted(key)
	}
	return key
}

// quoted is a literal string, as people like to read it, or else a basic one.
func quoted(text string) string {
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	if !strings.Contains(text, "'") && !strings.ContainsFunc(text, control) {
		return "'" + strings.ToValidUTF8(text, "\ufffd") + "'"
	}
	b := []byte{'"'}
	for _, r := range text {
		switch {
		case control(r):
			b = fmt.Appendf(b, `\u%04X`, r)
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		default:
			b = append(b, string(r)...)
		}
	}
	return string(append(b, '"'))
}
