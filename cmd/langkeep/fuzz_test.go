package main

import (
	"strings"
	"testing"
	"time"
)

// How long a token may live is as it was written, from a second to 366 days, or
// it is refused.
func FuzzParseDays(f *testing.F) {
	for _, s := range []string{"30d", "366d", "367d", "0d", "-1d", "1.5d", "+1d", "8h", "999ms", "1e3s", "8784h0m1s", "9223372036854775807ns", "30d1h", "d", "", "٣d", "1_0d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseLifetime(s)
		if err != nil {
			return
		}
		if d < time.Second || d > 366*24*time.Hour {
			t.Errorf("%q is %v", s, d)
		}
		if digits, ok := strings.CutSuffix(s, "d"); ok {
			if hours, err := time.ParseDuration(digits + "h"); err != nil || hours*24 != d {
				t.Errorf("%q is %v, %v", s, d, err)
			}
		} else if want, err := time.ParseDuration(s); err != nil || want != d {
			t.Errorf("%q is %v", s, d)
		}
	})
}
