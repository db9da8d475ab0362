package main

import (
	"slices"
	"testing"

	"github.com/spf13/pflag"
)

// TestFlagsAlike holds each flag to one short form and one kind of value, whatever the
// command, and has none show a type of Go's.
func TestFlagsAlike(t *testing.T) {
	type form struct{ short, value string }
	first := map[string]form{}
	for c := range commands(newRoot(&app{})) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			value, _ := pflag.UnquoteUsage(f)
			is := form{f.Shorthand, value}
			if was, seen := first[f.Name]; seen && was != is {
				t.Errorf("%s --%s is %+v, and %+v elsewhere", c.CommandPath(), f.Name, is, was)
			}
			first[f.Name] = is
			if slices.Contains([]string{"string", "strings", "stringArray", "int"}, value) {
				t.Errorf("%s --%s wants a %s: name it with backquotes in the usage", c.CommandPath(), f.Name, value)
			}
		})
	}
	if first["yes"].short != "y" {
		t.Errorf("--yes is -%s", first["yes"].short)
	}
}
