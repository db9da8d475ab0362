package connect

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A program starts if it says that it is Langkeep; another one, one that fails and one
// that is gone do not.
func TestAnswersVersion(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs are shell scripts")
	}
	program := filepath.Join(t.TempDir(), "langkeep")
	for _, tt := range [][2]string{
		{"[ \"$1\" = version ] && echo langkeep 1.2.3", ""},
		{"echo something else", "langkeep is another program"},
		{"echo langkeep 1.2.3; exit 1", "does not start: exit status 1"},
		{"", "is gone: connect again"},
	} {
		content, want := tt[0], tt[1]
		if content == "" {
			if err := os.Remove(program); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(program, []byte("#!/bin/sh\n"+content+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := answersVersion(t.Context(), program); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", content, err)
		}
	}
}
