package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"langkeep/cmd/trials/documents"
)

// Every langkeep command in the documents is one that there is, with flags that
// it has. TestTools runs those that stand in blocks.
func TestDocumentedCommandsAreThere(t *testing.T) {
	n := 0
	for _, c := range documents.Commands(t, filepath.Join("..", "..")) {
		for _, args := range c.Langkeep() {
			n++
			root := newRoot(&app{})
			command, rest, err := root.Find(args)
			if err == nil && command == root && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				t.Errorf("%s: there is no %q", c.Document, c.Text)
				continue
			}
			if err == nil {
				err = checkArgs(command, rest, c.Inline)
			}
			if err != nil {
				t.Errorf("%s: %q: %v", c.Document, c.Text, err)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d commands were found", n)
	}
}

// checkArgs parses what follows a command. In a sentence it need not be whole.
func checkArgs(command *cobra.Command, rest []string, inline bool) error {
	if err := command.ParseFlags(rest); err != nil || inline {
		return err
	}
	return command.ValidateArgs(command.Flags().Args())
}
