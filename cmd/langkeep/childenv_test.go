package main

import "testing"

func TestWithLoopback(t *testing.T) {
	for want, lists := range map[string][]string{
		"127.0.0.1,localhost,::1":       {""},
		"*":                             {"a,*"},
		"a,b,c,127.0.0.1,localhost,::1": {"a, b", "c,a"},
		"localhost,a,127.0.0.1,::1":     {"localhost a"},
	} {
		if got := withLoopback(lists...); got != want {
			t.Errorf("%q: %q, want %q", lists, got, want)
		}
	}
}
