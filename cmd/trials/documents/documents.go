// Package documents reads the repository's documents for tests that hold them to
// what is so.
package documents

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Command is what a document tells its reader to run.
type Command struct {
	Document string // its path, as in Document
	Text     string
	Inline   bool // in the middle of a sentence, and perhaps not whole
}

var inlineCode = regexp.MustCompile("`(langkeep [^`]+)`")

// Document is a file, with its path below the repository's folder, in slashes.
type Document struct{ Path, Text string }

// Read reads the files that the patterns name, which are below root, the
// repository's folder. A pattern without a file fails the test.
func Read(t testing.TB, root string, patterns ...string) (all []Document) {
	t.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("there is no %s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, document(t, root, file, text))
		}
	}
	return all
}

func document(t testing.TB, root, file string, text []byte) Document {
	t.Helper()
	path, err := filepath.Rel(root, file)
	if err != nil {
		t.Fatal(err)
	}
	return Document{filepath.ToSlash(path), string(text)}
}

// Commands are those in README.md, docs/ and .github/, in their order: the lines
// of blocks of sh, and those after "$ " in blocks of console.
func Commands(t testing.TB, root string) []Command {
	t.Helper()
	var all []Command
	for _, d := range Read(t, root, "README.md", "docs/*.md", ".github/*.md") {
		document := d.Path
		for i, part := range strings.Split("\n"+d.Text, "\n```") {
			language, block, _ := strings.Cut(part, "\n")
			if i%2 == 0 {
				for _, m := range inlineCode.FindAllStringSubmatch(strings.ReplaceAll(part, "\n", " "), -1) {
					all = append(all, Command{document, m[1], true})
				}
				continue
			}
			switch language {
			case "sh", "console":
				for _, command := range commandsOf(block, language == "console") {
					all = append(all, Command{document, command, false})
				}
			default:
				if strings.Contains("\n"+block, "\nlangkeep ") {
					t.Errorf("%s: a block of commands has to be one of sh:\n%s", document, block)
				}
			}
		}
	}
	return all
}

// commandsOf takes a block apart: a command goes on where a line ends with a
// backslash or a pipe. If what is printed is shown too, only what follows a "$ "
// is a command.
func commandsOf(block string, printed bool) (commands []string) {
	goesOn := false
	for line := range strings.SplitSeq(block, "\n") {
		typed, isTyped := strings.CutPrefix(line, "$ ")
		switch {
		case goesOn:
			commands[len(commands)-1] += "\n" + line
		case strings.TrimSpace(line) == "", strings.HasPrefix(line, "#"), printed && !isTyped:
			continue
		default:
			commands = append(commands, typed)
		}
		goesOn = strings.HasSuffix(line, `\`) || strings.HasSuffix(line, "|")
	}
	return commands
}

// word is a word of a shell, which may have quoted parts.
var word = regexp.MustCompile(`(?:"[^"]*"|'[^']*'|\S)+`)

// Langkeep are the arguments of each langkeep command in it.
func (c Command) Langkeep() (all [][]string) {
	text := regexp.MustCompile(`(?m)\s#.*$`).ReplaceAllString(strings.ReplaceAll(c.Text, "\\\n", " "), "")
	for _, part := range regexp.MustCompile(`\$\(|[|;&()]`).Split(text, -1) {
		part = strings.TrimSpace(part)
		if strings.Count(part, `"`)%2 == 1 {
			part = strings.Trim(part, `"`) // of what stands around $( )
		}
		words := word.FindAllString(part, -1)
		for len(words) > 0 && strings.Contains(words[0], "=") {
			words = words[1:] // a variable
		}
		if len(words) > 0 && (words[0] == "langkeep" || words[0] == "./langkeep") {
			args := words[1:]
			for i, arg := range args {
				if strings.HasPrefix(arg, ">") {
					args = args[:i]
					break
				}
				args[i] = strings.Trim(arg, `"'`)
			}
			all = append(all, args)
		}
	}
	return all
}
