package words

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"langkeep/localapi/client"
)

// Width is the least width of a table in characters, for a terminal that is narrower or
// whose width is unknown.
const Width = 80

// The columns of the table.
const (
	profileColumn = iota
	serverColumn
	stateColumn
	tokenColumn
	sessionColumn
	nextColumn
	columns
)

const (
	gap         = 2  // between two columns
	leastServer = 12 // the least width of a server's address
	leastName   = 8
)

// Table writes the table of `langkeep status`, at most width characters wide. If that
// is too little it shortens servers first, then the column NEXT, then names. The
// colours repeat the state's words.
func Table(w io.Writer, profiles []client.Profile, now time.Time, width int, colour bool) error {
	rows := [][columns]string{{"PROFILE", "SERVER", "STATE", "TOKEN", "SESSION", "NEXT"}}
	for _, p := range profiles {
		rows = append(rows, [columns]string{
			Safe(p.Name), Safe(p.ServerURL), State(p), TokenLeft(p, now), SessionLeft(p, now), Next(p, now),
		})
	}
	widths, over := measure(rows, max(width, Width))
	if over > widths[serverColumn]-leastServer {
		for i := range rows {
			// The name is in the first column too.
			if name, is := strings.CutPrefix(rows[i][nextColumn], login); is {
				_, flag, _ := strings.Cut(name, " ")
				rows[i][nextColumn] = strings.TrimSpace(login + flag)
			}
		}
		widths, over = measure(rows, max(width, Width))
	}
	shrink := func(column, least int) {
		by := max(min(over, widths[column]-least), 0)
		widths[column] -= by
		over -= by
	}
	shrink(serverColumn, leastServer)
	shrink(profileColumn, leastName)

	var b strings.Builder
	for r, row := range rows {
		row[profileColumn] = middle(row[profileColumn], widths[profileColumn])
		row[serverColumn] = server(row[serverColumn], widths[serverColumn])
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap)
			if i == nextColumn {
				pad = ""
			}
			if colour && r > 0 && i == stateColumn {
				cell = paint(profiles[r-1], cell)
			}
			b.WriteString(cell + pad)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// measure returns how wide each column is, and by how much all are over width.
func measure(rows [][columns]string, width int) (widths [columns]int, over int) {
	over = gap*(columns-1) - width
	for i := range columns {
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		over += widths[i]
	}
	return widths, max(over, 0)
}

// paint colours a state: green for well, yellow for a state that mends itself, red for
// one that needs a person.
func paint(p client.Profile, cell string) string {
	code := 31
	switch {
	case p.State == client.SignedOut:
		return cell
	case p.State == client.Fresh:
		code = 32
	case !NeedsYou(p):
		code = 33
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, cell)
}

// server shortens a URL to width characters: it drops https:// first, then cuts in the
// middle.
func server(u string, width int) string {
	if utf8.RuneCountInString(u) <= width {
		return u
	}
	return middle(strings.TrimPrefix(u, "https://"), width)
}

// middle cuts in the middle, the least telling part of names and addresses.
func middle(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	head := width / 2
	return string(r[:head]) + "…" + string(r[len(r)-(width-1-head):])
}
