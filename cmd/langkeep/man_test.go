package main

import (
	"strings"
	"testing"
	"time"
)

// Every command that people see has a page, with all that a page has.
func TestManPages(t *testing.T) {
	root := newRoot(&app{getenv: func(string) string { return "" }})
	n := 0
	for c := range commands(root) {
		if !c.IsAvailableCommand() {
			continue
		}
		n++
		page := manPage(c, time.Unix(0, 0))
		if c.Long == "" {
			t.Errorf("%s says nothing of itself", c.CommandPath())
		}
		for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "SEE ALSO"} {
			if strings.Count(page, "\n.SH "+section+"\n") != 1 {
				t.Errorf("%s has no section %s", c.CommandPath(), section)
			}
		}
	}
	if n < 25 {
		t.Errorf("%d commands", n)
	}
}

func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		"a\\nb --x ~/.y": `a\enb \-\-x \(ti/.y`,
		".TH\n'x\n.y":    "\\&.TH\n\\&'x\n\\&.y",
		"\n\n..":         "\n\n\\&..",
	} {
		if got := roff(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
