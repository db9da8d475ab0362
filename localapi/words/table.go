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

// column is one of the table's; the shorter a column may get, the later a
// reader misses what was cut.
type column struct {
	title string
	least int // never cut below this
	cut   func(string, int) string
}

// Table writes what `langkeep status` shows, at most width characters wide.
// Where that is too little, servers are shortened first, then names. The
// colours of state say nothing that its words don't.
func Table(w io.Writer, profiles []client.Profile, now time.Time, width int, colour bool) error {
	columns := []column{
		{"PROFILE", 8, middle},
		{"SERVER", 12, Server},
		{title: "STATE"},
		{title: "TOKEN"},
		{title: "SESSION"},
		{"NEXT", 8, end},
	}
	rows := make([][]string, 0, len(profiles)+1)
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	rows = append(rows, titles)
	for _, p := range profiles {
		rows = append(rows, []string{
			Safe(p.Name), Safe(p.ServerURL), State(p), TokenLeft(p, now), SessionLeft(p, now), Next(p, now),
		})
	}

	const gap = 2
	widths := make([]int, len(columns))
	total := gap * (len(columns) - 1)
	for i := range columns {
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		total += widths[i]
	}
	for _, i := range []int{1, 0, 5} {
		shorter := min(max(total-max(width, Width), 0), max(widths[i]-columns[i].least, 0))
		widths[i] -= shorter
		total -= shorter
	}

	var b strings.Builder
	for r, row := range rows {
		for i, cell := range row {
			if columns[i].cut != nil {
				cell = columns[i].cut(cell, widths[i])
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap)
			if i == len(row)-1 {
				pad = ""
			}
			if colour && r > 0 && columns[i].title == "STATE" {
				cell = paint(profiles[r-1].State, cell)
			}
			b.WriteString(cell)
			b.WriteString(pad)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
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

// Server shortens a URL to width characters: without https://, which goes
// without saying, then in its middle.
func Server(u string, width int) string {
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

// end cuts at the end.
func end(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}
