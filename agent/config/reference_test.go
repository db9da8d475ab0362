package config

import (
	"fmt"
	"reflect"
	"testing"

	"langkeep/assets/casebook"
)

// docs/configuration.md describes the settings with the comments of their fields.
func TestConfigurationReference(t *testing.T) {
	comments := casebook.Comments(t, "config.go", "profile.go")
	const document = "docs/configuration.md"
	header := []string{"setting", "without it", "what it is"}
	casebook.Table(t, document, "TestConfigurationReference in agent/config: config.toml", header,
		append([][]string{{"`schema`", "`1`", comments["profileFile.Schema"]}}, reference(t, comments, "", reflect.ValueOf(Default()))...))
	casebook.Table(t, document, "TestConfigurationReference in agent/config: a profile", header,
		reference(t, comments, "", reflect.ValueOf(profileFile{Schema: 1})))
}

// reference has a row for each setting of a struct, whose values are the
// defaults; those of a struct in it are named with a dot.
func reference(t *testing.T, comments map[string]string, prefix string, v reflect.Value) [][]string {
	var rows [][]string
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := prefix + field.Tag.Get("toml")
		if field.Type.Kind() == reflect.Struct {
			rows = append(rows, reference(t, comments, key+".", v.Field(i))...)
			continue
		}
		what := comments[v.Type().Name()+"."+field.Name]
		if what == "" {
			t.Errorf("nothing says what %s is", key)
		}
		rows = append(rows, []string{"`" + key + "`", inTOML(v.Field(i)), what})
	}
	return rows
}

// inTOML writes a value as a file of settings does.
func inTOML(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("`%q`", v.String())
	case reflect.Slice:
		return "`[]`"
	default:
		return fmt.Sprintf("`%v`", v)
	}
}
