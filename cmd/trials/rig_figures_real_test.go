//go:build real && linux

package trials

import (
	"fmt"
	"slices"
	"strings"
)

// figures are a sample of what must not grow.
type figures [4]float64

const (
	goroutines = iota
	files
	resident
	live
)

// figureNames are the names of the figures, here and in /metrics, and the bounds of their
// growth.
var figureNames = [len(figures{})]struct {
	name, metric  string
	factor, spare float64
}{
	{"goroutines", "go_goroutines", 1.05, 10},
	{"open files", "process_open_fds", 1.05, 10},
	{"resident kB", "process_resident_memory_bytes", 1.10, 8 << 10},
	{"heap limit kB", "go_memstats_next_gc_bytes", 1.10, 8 << 10}, // twice the live heap
}

func (f figures) String() string {
	var parts []string
	for i, name := range figureNames {
		parts = append(parts, fmt.Sprintf("%.0f %s", f[i], name.name))
	}
	return strings.Join(parts, ", ")
}

func column(samples []figures, i int) []float64 {
	var all []float64
	for _, f := range samples {
		all = append(all, f[i])
	}
	slices.Sort(all)
	return all
}

func median(samples []figures, i int) float64 { return column(samples, i)[len(samples)/2] }

func least(samples []figures, i int) float64 { return column(samples, i)[0] }

func most(samples []figures, i int) float64 { return column(samples, i)[len(samples)-1] }
