//go:build real

package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
)

var writes = os.Getenv("LANGKEEP_WRITE_DOCS") != ""

// TestRoutesOfReal holds the lists in testdata to the code of each Langflow that is
// installed, and the table to the document of each that runs. With
// LANGKEEP_WRITE_DOCS it writes the lists.
func TestRoutesOfReal(t *testing.T) {
	for _, version := range append(real.Versions(), "") {
		name := version
		if name == "" {
			name = "1.13.0"
		}
		list := filepath.Join("testdata", "routes-"+name+".txt")
		if _, err := os.Stat(list); err != nil && !writes {
			t.Logf("%s is left out: there is no list of its routes", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("code", func(t *testing.T) { testRoutesOfCode(t, version, list) })
			t.Run("document", func(t *testing.T) { testRoutesOfDocument(t, version, name) })
		})
	}
}

func testRoutesOfCode(t *testing.T, version, file string) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, real.Python(t, version), filepath.Join("testdata", "routes.py"), t.TempDir())
	cmd.Stderr = &strings.Builder{}
	has, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, cmd.Stderr)
	}
	if writes {
		if err := os.WriteFile(file, has, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, texts := range map[string][2]string{"has, and the list has not": {string(has), string(listed)}, "has not, and the list has": {string(listed), string(has)}} {
		for line := range strings.Lines(texts[0]) {
			if !strings.Contains("\n"+texts[1], "\n"+line) {
				t.Errorf("it %s %s", name, strings.TrimSpace(line))
			}
		}
	}
}

func testRoutesOfDocument(t *testing.T, version, name string) {
	server := real.Start(t, real.Options{Version: version})
	res, err := http.Get(server.URL + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&document); err != nil || len(document.Paths) < 50 {
		t.Fatalf("the document has %d paths: %v", len(document.Paths), err)
	}
	n := 0
	for path, methods := range document.Paths {
		for method := range methods {
			s := served{strings.ToUpper(method), path}
			if segments := split(s.asked()); find(s.method, segments) == nil && !isForbidden(s.method, segments, name) {
				t.Errorf("routes.txt lacks %s %s", s.method, s.path)
			}
			n++
		}
	}
	t.Logf("%s has %d routes in its document", name, n)
}
