package words

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"langkeep/localapi/client"
)

// Width is the width of a terminal whose width is unknown, in characters.
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

// Table writes the table of `langkeep status`, at most width characters wide where that is
// possible; 0 is no limit, for programs. Where there is too little room it leaves out the
// columns TOKEN and NEXT, cuts the ends of servers, then their schemes, then names. The
// colours repeat the state's words.
func Table(w io.Writer, profiles []client.Profile, now time.Time, width int, colour bool) error {
	rows := [][columns]string{{"PROFILE", "SERVER", "STATE", "TOKEN", "SESSION", "NEXT"}}
	for _, p := range profiles {
		rows = append(rows, [columns]string{
			Safe(p.Name), Safe(p.ServerURL), State(p), TokenLeft(p, now), SessionLeft(p, now), Next(p, now),
		})
	}
	shown := []int{profileColumn, serverColumn, stateColumn, tokenColumn, sessionColumn, nextColumn}
	widths, over := measure(rows, shown, width)
	for _, column := range []int{tokenColumn, nextColumn} {
		if over > 0 {
			shown = slices.DeleteFunc(shown, func(c int) bool { return c == column })
			widths, over = measure(rows, shown, width)
		}
	}
	shrink := func(column, least int) {
		by := max(min(over, widths[column]-least), 0)
		widths[column] -= by
		over -= by
	}
	shrink(serverColumn, len("https://")+leastServer)
	scheme := over <= 0
	shrink(serverColumn, leastServer)
	shrink(profileColumn, leastName)

	var b strings.Builder
	for r, row := range rows {
		row[profileColumn] = middle(row[profileColumn], widths[profileColumn])
		row[serverColumn] = server(row[serverColumn], widths[serverColumn], scheme)
		for n, i := range shown {
			cell := row[i]
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap)
			if n == len(shown)-1 {
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

// measure returns how wide each column is, and by how much those shown are over width.
func measure(rows [][columns]string, shown []int, width int) (widths [columns]int, over int) {
	over = gap*(len(shown)-1) - width
	for _, i := range shown {
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		over += widths[i]
	}
	if width == 0 {
		over = 0
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

// server shortens a URL to width characters: a host is known by its start. Without room
// for schemes it drops this one's.
func server(u string, width int, scheme bool) string {
	if _, rest, is := strings.Cut(u, "://"); is && !scheme {
		u = rest
	}
	if r := []rune(u); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return u
}

// middle cuts in the middle, the least telling part of names.
func middle(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	head := width / 2
	return string(r[:head]) + "…" + string(r[len(r)-(width-1-head):])
}
