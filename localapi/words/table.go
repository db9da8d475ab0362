package words

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"langkeep/localapi/client"
)

// Width is how many characters a table may have where the terminal does not
// say, or says less.
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
	leastServer = 12 // what a server's address is never cut below
	leastName   = 8
)

// Table writes what `langkeep status` shows, at most width characters wide.
// Where that is too little, servers are shortened first, then what to do next,
// then names. The colours of state say nothing that its words don't.
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
			if strings.HasPrefix(rows[i][nextColumn], login) {
				rows[i][nextColumn] = strings.TrimSpace(login)
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
				cell = paint(profiles[r-1].State, cell)
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

// paint colours a state: green all is well, yellow it sees to itself, red a
// person is needed.
func paint(s client.State, cell string) string {
	code := 31
	switch s {
	case client.Fresh:
		code = 32
	case client.Retrying, client.Stale:
		code = 33
	case client.SignedOut:
		return cell
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, cell)
}

// server shortens a URL to width characters: without https://, which goes
// without saying, then in its middle.
func server(u string, width int) string {
	if utf8.RuneCountInString(u) <= width {
		return u
	}
	return middle(strings.TrimPrefix(u, "https://"), width)
}

// middle cuts in the middle, where names and addresses say the least.
func middle(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	head := width / 2
	return string(r[:head]) + "…" + string(r[len(r)-(width-1-head):])
}
