package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// row is a line of the table.
type row struct {
	what   string
	ours   string
	beside string // what it is compared with
	ratio  string
	goal   string // "" if there is none
	met    bool
}

func (b *bench) add(r row) {
	b.rows = append(b.rows, r)
	fmt.Fprintln(b.say, "bench:  ", strings.Join(r.cells(), " | "))
}

func (r row) cells() []string {
	met := ""
	if r.goal != "" {
		met = "no"
		if r.met {
			met = "yes"
		}
	}
	return []string{r.what, r.ours, r.beside, r.ratio, r.goal, met}
}

// printTable writes the rows as Markdown.
func printTable(w io.Writer, rows []row) {
	lines := [][]string{{"what", "Langkeep", "beside it", "ratio", "goal", "met"}}
	for _, r := range rows {
		lines = append(lines, r.cells())
	}
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, cell := range l {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for n, l := range lines {
		for i, cell := range l {
			fmt.Fprintf(w, "| %-*s ", width[i], cell)
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for i := range l {
				fmt.Fprint(w, "|", strings.Repeat("-", width[i]+2))
			}
			fmt.Fprintln(w, "|")
		}
	}
}

// median is the value in the middle; 0 of none.
func median[T cmp.Ordered](values []T) T {
	return quantile(slices.Sorted(slices.Values(values)), 0.5)
}

// quantile is that of sorted values; 0 of none.
func quantile[T cmp.Ordered](sorted []T, q float64) T {
	if len(sorted) == 0 {
		var none T
		return none
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// ratios divides each value by the one beside it.
func ratios(a, b []float64) []float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / b[i]
	}
	return all
}

// exact is a duration in three figures.
func exact(d time.Duration) string {
	switch a := d.Abs(); {
	case a < 10*time.Microsecond:
		return d.Round(10 * time.Nanosecond).String()
	case a < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case a < 100*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
