package words

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"langkeep/localapi/client"
)

// Whatever a server says, what people read of it is one line of characters that
// can be seen, and moves neither the cursor nor the direction of writing.
func FuzzSafe(f *testing.F) {
	for _, s := range []string{
		"1.13.0", "\x1b[2J\x1b]0;pwned\x07", "\u009b31mred", "a\r\nlangkeep: all is well", "\u202egnp.exe", "\u2066a\u2069", "\u200b", "\xff\xfe", "\u2028x\u2029", "\t\v\f\x00", "\U000e0041",
	} {
		f.Add(s)
	}
	now := time.Unix(1760000000, 0)
	f.Fuzz(func(t *testing.T, said string) {
		p := client.Profile{
			Name: "prod", ServerURL: "https://x.test/" + said, State: client.Stale, Username: &said, Reason: &said, ReasonDetail: &said, ServerVersion: &said,
			ProxyReason: &said, KeyReason: &said,
		}
		lines := []string{Safe(said), Long(p, now), Short(p, now), State(p), Next(p, now), Host(p), Reason(p), Sentence(said), Proxy(p), Change(client.Profile{State: client.Fresh}, p)}
		p.State = client.State(said)
		lines = append(lines, Long(p, now), State(p))
		problem := client.NewProblem(client.TypeServerUnreachable, said)
		problem.Reason = said
		lines = append(lines, Problem(problem), Failure(problem, said, said), Refused(problem))
		for _, line := range lines {
			if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) && r != ' ' }); i >= 0 || !utf8.ValidString(line) {
				t.Errorf("%q is said as %q", said, line)
			}
		}
		var table strings.Builder
		p.State = client.Stale
		if err := Table(&table, []client.Profile{p, p}, now, 80, false); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(table.String(), "\n"); n != 3 {
			t.Errorf("a table of two has %d lines: %q", n, table.String())
		}
		if i := strings.IndexFunc(table.String(), func(r rune) bool { return r != '\n' && (!unicode.IsGraphic(r) || unicode.IsSpace(r) && r != ' ') }); i >= 0 {
			t.Errorf("%q is in a table as %q", said, table.String())
		}
	})
}
