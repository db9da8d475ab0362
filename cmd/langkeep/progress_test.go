package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		want  string
	}{
		"a short wait": {900 * time.Millisecond, ""},
		"a long one":   {2500 * time.Millisecond, "\rsigning in… 1 s\x1b[K\rsigning in… 2 s\x1b[K\r\x1b[K"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			done := progress(&b, "signing in")
			time.Sleep(c.takes)
			done()
			done()
			if b.String() != c.want {
				t.Errorf("%s shows %q, want %q", name, b.String(), c.want)
			}
		})
	}
}

func TestSayLater(t *testing.T) {
	for takes, want := range map[time.Duration]string{900 * time.Millisecond: "", time.Minute: "langkeep: finish there\n"} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			done := (&app{stderr: &b}).sayLater("finish there")
			time.Sleep(takes)
			done()
			if b.String() != want {
				t.Errorf("after %v it says %q, want %q", takes, b.String(), want)
			}
		})
	}
}

// Programs see nothing of it.
func TestNoProgressIntoAPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		a := &app{stderr: &b, getenv: func(string) string { return "" }}
		done := a.waiting("signing in")
		time.Sleep(time.Minute)
		done()
		if b.Len() != 0 {
			t.Errorf("a pipe got %q", b.String())
		}
	})
}
