package guard

import "testing"

func TestScriptOf(t *testing.T) {
	exists := func(path string) bool { return path == "x" || path == "/opt/x.py" }
	for _, tt := range []struct {
		args   []string
		script string
		told   bool
	}{
		{[]string{"/usr/bin/curl", "-s", "x"}, "", true},
		{[]string{"/usr/bin/python3.13", "/opt/x.py", "a"}, "/opt/x.py", true},
		{[]string{"/usr/bin/python3", "-u", "-W", "ignore", "x"}, "x", true},
		{[]string{"/usr/bin/python3", "-m", "http.server"}, "-m http.server", true},
		{[]string{"/usr/bin/python3", "-c", "print(1)"}, "", false},
		{[]string{"/usr/bin/python3", "-"}, "", false},
		{[]string{"/usr/bin/node", "--enable-source-maps", "x"}, "x", true},
		{[]string{"/usr/bin/node", "-e", "1"}, "", false},
		{[]string{"/usr/bin/bun", "run", "x"}, "x", true},
		{[]string{"/usr/bin/bash", "-c", "x"}, "", false},
		{[]string{"/usr/bin/bash", "x"}, "x", true},
		{[]string{"/usr/bin/bash"}, "", true}, // a person's shell
		{[]string{"/usr/bin/bash", "--login"}, "", true},
		{[]string{"/usr/bin/zsh", "-i"}, "", true},
		{[]string{"/usr/bin/python3", "gone.py"}, "", false},
	} {
		script, told := scriptOf(tt.args[0], tt.args, exists)
		if script != tt.script || told != tt.told {
			t.Errorf("%q: %q, %v; want %q, %v", tt.args, script, told, tt.script, tt.told)
		}
	}
}
