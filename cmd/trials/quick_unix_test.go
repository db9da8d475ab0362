//go:build !windows

package trials

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestTokenBeforeTheRest has langkeep token print its token before Go initializes what the
// command does not use. An import of package quick, or a sentence of Go's specification, may
// have changed if it fails: the command is slower then, and nothing else.
func TestTokenBeforeTheRest(t *testing.T) {
	v := newVictim(t)
	initialized := func(args ...string) (names []string) {
		t.Helper()
		cmd := program(t, v.paths, args...)
		cmd.Env = append(cmd.Env, "GODEBUG=inittrace=1")
		var out, trace bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &trace
		if err := cmd.Run(); err != nil || out.String() != v.words["access"]+"\n" {
			t.Fatalf("%v: %v, %d bytes", args, err, out.Len())
		}
		for line := range strings.Lines(trace.String()) {
			if name, ok := strings.CutPrefix(line, "init "); ok {
				name, _, _ = strings.Cut(name, " ")
				names = append(names, name)
			}
		}
		return names
	}
	quick, whole := initialized("token", "prod"), initialized("token", "prod", "--min-valid", "1s")
	for _, name := range []string{"net/http", "regexp/syntax", "go.yaml.in/yaml/v3", "github.com/godbus/dbus/v5", "langkeep/localapi/proxy"} {
		if slices.Contains(quick, name) || !slices.Contains(whole, name) {
			t.Errorf("%s is initialized: %t; in the usual way: %t", name, slices.Contains(quick, name), slices.Contains(whole, name))
		}
	}
	if 3*len(quick) > 2*len(whole) {
		t.Errorf("%d packages are initialized, and %d in the usual way", len(quick), len(whole))
	}
}
