// Package doctor checks everything that Langkeep needs. Each check gives one sentence
// with its finding and one with advice. None of them has a secret.
package doctor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"langkeep/localapi/client"
)

// Verdict is the result of a check.
type Verdict = client.Verdict

// The verdicts.
const (
	OK      = client.CheckOK
	Warning = client.CheckWarning
	Failed  = client.CheckFailed
)

// Finding is a check's verdict and sentences.
type Finding struct {
	Verdict Verdict
	Found   string // a sentence: what is so
	Advice  string // a sentence: what to do; "" if nothing
}

// Check looks at one thing.
type Check struct {
	Name string // of the table: lower case, with dashes
	Look func(ctx context.Context) Finding
	// Blocks means that the checks after this one make no sense if it fails.
	Blocks bool
}

// Result is a check's name and what it found.
type Result struct {
	Check string
	Finding
}

// limit bounds one check.
const limit = 20 * time.Second

// Run makes the checks in order, up to a failed one that blocks the next. It writes the
// home folder as ~ in the findings.
func Run(ctx context.Context, home string, checks ...Check) []Result {
	var results []Result
	for _, c := range checks {
		limited, cancel := context.WithTimeout(ctx, limit)
		f := c.Look(limited)
		cancel()
		f.Found, f.Advice = tilde(f.Found, home), tilde(f.Advice, home)
		results = append(results, Result{c.Name, f})
		if c.Blocks && f.Verdict == Failed {
			break
		}
	}
	return results
}

// HomeFolder is the folder that Run writes as ~; "" if unknown.
func HomeFolder() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return home
}

// tilde replaces the home folder, where it is a whole part of a path.
func tilde(s, home string) string {
	home = strings.TrimRight(home, `/\`)
	if home == "" {
		return s
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, home)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if next, _ := utf8.DecodeRuneInString(after); unicode.IsLetter(next) || unicode.IsDigit(next) || next == '-' || next == '_' {
			b.WriteString(home)
		} else {
			b.WriteByte('~')
		}
		s = after
	}
}

func ok(format string, args ...any) Finding { return Finding{OK, fmt.Sprintf(format, args...), ""} }

func warning(advice, format string, args ...any) Finding {
	return Finding{Warning, found(format, args), advice}
}

func failed(advice, format string, args ...any) Finding {
	return Finding{Failed, found(format, args), advice}
}

// found formats a sentence that may end with an error's text; on Windows that text has
// a dot of its own.
func found(format string, args []any) string {
	s := fmt.Sprintf(format, args...)
	if strings.HasSuffix(s, "..") {
		return s[:len(s)-1]
	}
	return s
}
