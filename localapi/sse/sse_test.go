package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestRead(t *testing.T) {
	for in, want := range map[string][]string{
		"":                                   nil,
		"data: a\n\n":                        {"/a"},
		"data:a\r\n\r\n":                     {"/a"},
		"data:  a\r\rdata\r\r":               {"/ a", "/"},
		"event: x\ndata: a\ndata: b\n\n":     {"x/a\nb"},
		": comment\n\nid: 7\n\ndata: c\n\n":  {"/c"},
		"event: x\n\ndata: a\n\n":            {"/a"},
		"data: a\n\nevent: y\ndata: cut off": {"/a"},
		"\ufeffdata: a\n\ndata: b\n\n":       {"/a", "/b"},
		"\r\ndata: a\r\n\r\ndata: b\n\r":     {"/a", "/b"},
		"retry: 5\nfoo: bar\ndata: a: b\n\n": {"/a: b"},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "by bytes": iotest.OneByteReader(strings.NewReader(in))} {
			var got []string
			var last error
			for e, err := range Read(r, 100) {
				if last = err; err == nil {
					got = append(got, e.Name+"/"+string(e.Data))
				}
			}
			if !slices.Equal(got, want) || last != io.EOF {
				t.Errorf("%s, %q: %q, %v, want %q", name, in, got, last, want)
			}
		}
	}
	for _, in := range []string{"data: " + strings.Repeat("a", 200), strings.Repeat("data: aaaaaaaaaa\n", 20)} {
		for _, err := range Read(strings.NewReader(in), 100) {
			if !errors.Is(err, bufio.ErrTooLong) {
				t.Errorf("%.20q...: %v", in, err)
			}
		}
	}
}

// An event is there with the last byte of its empty line, also where that is a
// carriage return: the next byte may be hours away.
func TestReadWaitsForNoByte(t *testing.T) {
	r, w := io.Pipe()
	go func() { _, _ = io.WriteString(w, "data: a\r\r") }()
	for e, err := range Read(r, 100) {
		if err != nil || string(e.Data) != "a" {
			t.Errorf("%q, %v", e.Data, err)
		}
		break
	}
	_ = r.Close()
}

// chunks gives a stream in pieces, as a network does.
type chunks struct {
	r    io.Reader
	size int
}

func (c chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.size)]) }

// A line's end is found wherever it is.
func TestLineEnd(t *testing.T) {
	for _, size := range []int{1, 255, 256, 257, 300, 5000} {
		for _, at := range []int{0, size / 2, size - 1} {
			for _, end := range []string{"\r", "\n", "\r\n"} {
				text := strings.Repeat("a", at) + end + strings.Repeat("a\n", size-at)
				if got := lineEnd([]byte(text)); got != at {
					t.Errorf("%q after %d bytes is found at %d", end, at, got)
				}
			}
		}
		if got := lineEnd(bytes.Repeat([]byte("a"), size)); got != -1 {
			t.Errorf("none is found at %d", got)
		}
	}
}

// BenchmarkRead reads events of 1 MB and 20 MB that come in pieces of 4 KB, and
// has how much longer that takes than copying the same pieces does. The ratio is
// the same for both sizes where reading is linear.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{1 << 20, 20 << 20} {
		b.Run(fmt.Sprintf("%dMB", size>>20), func(b *testing.B) {
			stream := "data: " + strings.Repeat("a", size) + "\n\n"
			pieces := func() io.Reader { return chunks{strings.NewReader(stream), 4 << 10} }
			b.SetBytes(int64(size))
			var plain time.Duration
			for b.Loop() {
				b.StopTimer()
				begin := time.Now()
				if n, err := bytes.NewBuffer(nil).ReadFrom(pieces()); err != nil || n != int64(len(stream)) {
					b.Fatal(n, err)
				}
				plain += time.Since(begin)
				b.StartTimer()
				for e, err := range Read(pieces(), 64<<20) {
					if err != io.EOF && (err != nil || len(e.Data) != size) {
						b.Fatal(len(e.Data), err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(plain), "x/copy")
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add("event: x\r\ndata: a\n\rdata\n\n")
	f.Fuzz(func(t *testing.T, in string) {
		for e, err := range Read(strings.NewReader(in), 50) {
			if err == nil && len(e.Data) > 2*50 {
				t.Errorf("%d bytes", len(e.Data))
			}
		}
	})
}
