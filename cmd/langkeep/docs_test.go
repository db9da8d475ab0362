package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// said is a command that a document tells its reader to run.
type said struct {
	document string
	text     string
	inline   bool // in the middle of a sentence, and perhaps not whole
}

var inlineCode = regexp.MustCompile("`(langkeep [^`]+)`")

// documented are the commands in README.md and docs/, in their order: the lines
// of blocks of sh, and those after "$ " in blocks of console.
func documented(t *testing.T) []said {
	t.Helper()
	root := filepath.Join("..", "..")
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all []said
	for _, file := range append([]string{filepath.Join(root, "README.md")}, files...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		document := strings.TrimPrefix(filepath.ToSlash(file), "../../")
		for i, part := range strings.Split("\n"+string(text), "\n```") {
			language, block, _ := strings.Cut(part, "\n")
			if i%2 == 0 {
				for _, m := range inlineCode.FindAllStringSubmatch(strings.ReplaceAll(part, "\n", " "), -1) {
					all = append(all, said{document, m[1], true})
				}
				continue
			}
			switch language {
			case "sh", "console":
				for _, command := range commandsOf(block, language == "console") {
					all = append(all, said{document, command, false})
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

// Every langkeep command in the documents is one that there is, with flags that
// it has. TestTools runs those that stand in blocks.
func TestDocumentedCommandsAreThere(t *testing.T) {
	n := 0
	for _, c := range documented(t) {
		for _, args := range langkeepArgs(c.text) {
			n++
			root := newRoot(&app{})
			command, rest, err := root.Find(args)
			if err == nil && command == root && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				t.Errorf("%s: there is no %q", c.document, c.text)
				continue
			}
			if err == nil {
				err = checkArgs(command, rest, c.inline)
			}
			if err != nil {
				t.Errorf("%s: %q: %v", c.document, c.text, err)
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

// langkeepArgs are the arguments of each langkeep command in a shell's text.
func langkeepArgs(text string) (all [][]string) {
	text = regexp.MustCompile(`(?m)\s#.*$`).ReplaceAllString(strings.ReplaceAll(text, "\\\n", " "), "")
	for _, part := range regexp.MustCompile(`\$\(|[|;&()]`).Split(text, -1) {
		words := strings.Fields(strings.Trim(part, `"`))
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
