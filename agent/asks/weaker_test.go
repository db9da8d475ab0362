package asks

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestWeaker(t *testing.T) {
	own := func(modes ...Mode) map[string]Mode {
		all := map[string]Mode{}
		for i, m := range modes {
			if m != "" {
				all[string(rune('a'+i))] = m
			}
		}
		return all
	}
	for name, c := range map[string]struct {
		was, is Modes
		want    string
	}{
		"as it was":                  {Modes{ModeNew, own(ModeAlways)}, Modes{ModeNew, own(ModeAlways)}, "[]"},
		"stronger":                   {Modes{"", own(ModeNever)}, Modes{ModeNew, own(ModeAlways)}, "[]"},
		"off for all":                {Modes{ModeNew, nil}, Modes{ModeNever, nil}, "[{ new never}]"},
		"off by leaving it out":      {Modes{ModeAlways, nil}, Modes{"", nil}, "[{ always never}]"},
		"new rather than always":     {Modes{ModeAlways, nil}, Modes{ModeNew, nil}, "[{ always new}]"},
		"off for one":                {Modes{ModeNew, nil}, Modes{ModeNew, own(ModeNever)}, "[{a new never}]"},
		"its own, left out":          {Modes{ModeNew, own("", ModeAlways)}, Modes{ModeNew, nil}, "[{b always new}]"},
		"its own, and as all before": {Modes{ModeAlways, nil}, Modes{ModeNever, own(ModeAlways)}, "[{ always never}]"},
		"both":                       {Modes{ModeAlways, own(ModeAlways)}, Modes{ModeNew, own(ModeNever)}, "[{ always new} {a always never}]"},
	} {
		if got := fmt.Sprint(weaker(c.was, c.is)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A change made while no agent ran is told too, and so is that of a profile that was gone
// meanwhile.
func TestMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "asking.json")
	m := NewMemory(path)
	there := true
	look := func(want string, is Modes) {
		t.Helper()
		got, err := m.Look(is, func(string) bool { return !there })
		if fmt.Sprint(got) != want || err != nil {
			t.Errorf("%v, %v, want %s", got, err, want)
		}
	}
	look("[]", Modes{ModeNew, map[string]Mode{"prod": ModeAlways}})
	look("[]", Modes{ModeNew, map[string]Mode{"prod": ModeAlways}})
	m = NewMemory(path)
	look("[{ new never}]", Modes{ModeNever, map[string]Mode{"prod": ModeAlways}})
	look("[]", Modes{ModeNever, map[string]Mode{"prod": ModeAlways}})
	there = false
	look("[]", Modes{ModeNever, nil})
	m, there = NewMemory(path), true
	look("[{prod always never}]", Modes{ModeNever, nil})
	look("[]", Modes{ModeNever, nil})

	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	m = NewMemory(path)
	if got, err := m.Look(Modes{ModeNew, nil}, func(string) bool { return false }); len(got) != 0 || err == nil {
		t.Errorf("of a file that can't be read: %v, %v", got, err)
	}
	look("[{ new never}]", Modes{ModeNever, nil})
	if got, err := NewMemory("").Look(Modes{}, func(string) bool { return false }); len(got) != 0 || err != nil {
		t.Error(got, err)
	}
}
