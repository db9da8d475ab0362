package autostart

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestDesktopEntry(t *testing.T) {
	for name, tc := range map[string]struct{ program, home, exec string }{
		"plain":       {"/usr/bin/langkeep", "", `/usr/bin/langkeep run`},
		"a home":      {"/usr/bin/langkeep", "/srv/keep", `/usr/bin/langkeep run --home /srv/keep`},
		"blanks":      {"/opt/my tools/langkeep", "/srv/my keep", `"/opt/my tools/langkeep" run --home "/srv/my keep"`},
		"separators":  {"/opt/a;b&c/langkeep", "/srv/(1)", `"/opt/a;b&c/langkeep" run --home "/srv/(1)"`},
		"field code":  {"/usr/bin/langkeep", "/srv/%f", `/usr/bin/langkeep run --home /srv/%%f`},
		"not ASCII":   {"/opt/é/langkeep", "", `/opt/é/langkeep run`},
		"home with =": {"/usr/bin/langkeep", "/srv/a=b", `/usr/bin/langkeep run --home /srv/a=b`},
	} {
		got, err := desktopEntry(&Entry{name: "langkeep", program: tc.program, home: tc.home})
		if err != nil || !strings.Contains(got, "\nExec="+tc.exec+"\n") || !strings.HasPrefix(got, "[Desktop Entry]\nType=Application\n") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func TestSwitchedOff(t *testing.T) {
	entry, err := desktopEntry(&Entry{name: "langkeep", program: "/usr/bin/langkeep"})
	if err != nil {
		t.Fatal(err)
	}
	for add, want := range map[string]bool{
		"": false, "Hidden=true\n": true, "Hidden=false\n": false, "X-GNOME-Autostart-enabled=false\n": true,
		"X-GNOME-Autostart-enabled = false\n": true, "X-GNOME-Autostart-enabled=true\n": false,
	} {
		if got := switchedOff(entry + add); got != want {
			t.Errorf("%q: %v", add, got)
		}
	}
}

func TestUnit(t *testing.T) {
	for name, tc := range map[string]struct{ program, home, exec string }{
		"plain":     {"/usr/bin/langkeep", "", `"/usr/bin/langkeep" "run" "--headless"`},
		"a home":    {"/usr/bin/langkeep", "/srv/my keep", `"/usr/bin/langkeep" "run" "--headless" "--home" "/srv/my keep"`},
		"specifier": {"/usr/bin/langkeep", "/srv/%h", `"/usr/bin/langkeep" "run" "--headless" "--home" "/srv/%%h"`},
	} {
		got, err := unit(&Entry{name: "langkeep", program: tc.program, home: tc.home})
		if err != nil || !strings.Contains(got, "\nExecStart="+tc.exec+"\n") || !strings.Contains(got, "\nWantedBy=default.target\n") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func TestPlist(t *testing.T) {
	got, err := plist(&Entry{name: "langkeep-12345678", program: "/Applications/A & B/<langkeep>", home: `/Users/ann/"keep"`})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	d := xml.NewDecoder(strings.NewReader(got))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if text, ok := token.(xml.CharData); ok && strings.TrimSpace(string(text)) != "" {
			texts = append(texts, string(text))
		}
	}
	want := []string{
		"Label", "langkeep-12345678", "ProgramArguments", "/Applications/A & B/<langkeep>", "run", "--home", `/Users/ann/"keep"`, "RunAtLoad",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("got %q", texts)
	}
}

func TestRunValue(t *testing.T) {
	for name, tc := range map[string]struct{ program, home, want string }{
		"plain":          {`C:\langkeep.exe`, "", `"C:\langkeep.exe" start`},
		"blanks":         {`C:\Program Files\Langkeep\langkeep.exe`, "", `"C:\Program Files\Langkeep\langkeep.exe" start`},
		"a home":         {`C:\langkeep.exe`, `D:\my keep`, `"C:\langkeep.exe" start --home "D:\my keep"`},
		"a drive's root": {`C:\langkeep.exe`, `D:\`, `"C:\langkeep.exe" start --home "D:\\"`},
	} {
		got, err := runValue(&Entry{name: "langkeep", program: tc.program, home: tc.home})
		if err != nil || got != tc.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	long := `C:\` + strings.Repeat("x", 247) // with two quotes and " start", 258
	if _, err := runValue(&Entry{program: long + "xx"}); err != nil {
		t.Errorf("260 characters: %v", err)
	}
	if _, err := runValue(&Entry{program: long + "xxx"}); err == nil || !strings.Contains(err.Error(), "261") {
		t.Errorf("261 characters: %v", err)
	}
}

func TestOddPaths(t *testing.T) {
	makers := map[string]func(*Entry) (string, error){"desktop": desktopEntry, "unit": unit, "plist": plist, "run": runValue}
	for _, e := range []*Entry{
		{program: "/opt/a\nHidden=true/langkeep"}, {program: "/opt/langkeep", home: "/srv/a\r"}, {program: "/opt/\x1b[2J"},
	} {
		for name, make := range makers {
			if got, err := make(e); err == nil {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	for _, e := range []*Entry{
		{program: "/opt/a=b/langkeep"}, {program: "/opt/%h/langkeep"}, {program: `/opt/a\b/langkeep`}, {program: `/opt/"a"/langkeep`},
		{program: "/opt/a'b/langkeep"}, {program: "/opt/$a/langkeep"}, {program: "/opt/a`b/langkeep"},
		{program: "/opt/langkeep", home: "/srv/$a"}, {program: "/opt/langkeep", home: `/srv/a\b`}, {program: "/opt/langkeep", home: `/srv/"a"`},
	} {
		for name, make := range map[string]func(*Entry) (string, error){"desktop": desktopEntry, "unit": unit} {
			if got, err := make(e); err == nil || !strings.Contains(err.Error(), "move it") {
				t.Errorf("%s: %s, %v", name, got, err)
			}
		}
	}
}
