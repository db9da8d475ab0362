package sse

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
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
