package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain lets the tests' program be a child, as bench itself is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && children[os.Args[1]] != nil {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestEveryPart measures everything once, for a moment: the figures mean nothing,
// but there must be some.
func TestEveryPart(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it reads /proc, which only Linux has")
	}
	langkeep := filepath.Join(t.TempDir(), "langkeep")
	if out, err := exec.Command("go", "build", "-o", langkeep, "langkeep/cmd/langkeep").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o := options{
		rounds: 1, slice: 5 * time.Millisecond, starts: 1, idle: 120 * time.Millisecond, valid: 200 * time.Millisecond,
		many: 3, only: regexp.MustCompile(""), cache: "../../.cache",
	}
	var table, said bytes.Buffer
	if err := run(t.Context(), o, langkeep, &table, &said); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	for _, what := range []string{
		"program", "empty Go program", "oidc-token", "from the keychain", "from the file", "a token, 16 connections", "over the socket",
		"of 3 profiles", "through the proxy, 1 connection", "through the proxy, 16 connections", "an event's way", "200 streams",
		"beside mcp-proxy", "beside mcp-remote", "beside curl through the proxy",
		"each tried on the server", "while those are refreshed", "idle for 120ms with 1 sessions", "idle for 120ms with 10 sessions",
	} {
		if !strings.Contains(table.String(), what) {
			t.Errorf("the table says nothing of %q:\n%s", what, table.String())
		}
	}
}
