package paths

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestResolve(t *testing.T) {
	const uid = 1000
	for name, tc := range map[string]struct {
		goos    string
		env     map[string]string
		private []string // folders that are this user's alone
		want    Paths
		err     string
	}{
		"linux": {
			goos: "linux", env: map[string]string{"HOME": "/home/ann"},
			want: Paths{Config: "/home/ann/.config/langkeep", State: "/home/ann/.local/state/langkeep", Run: "/home/ann/.local/state/langkeep/run"},
		},
		"linux with everything set": {
			goos:    "linux",
			env:     map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"},
			private: []string{"/r", "/run/user/1000"},
			want:    Paths{Config: "/c/langkeep", State: "/s/langkeep", Run: "/r/langkeep"},
		},
		"linux, relative paths count as unset": {
			goos:    "linux",
			env:     map[string]string{"HOME": "/home/ann", "XDG_CONFIG_HOME": "c", "XDG_STATE_HOME": "./s", "XDG_RUNTIME_DIR": "r"},
			private: []string{"r"},
			want:    Paths{Config: "/home/ann/.config/langkeep", State: "/home/ann/.local/state/langkeep", Run: "/home/ann/.local/state/langkeep/run"},
		},
		"linux, another user's runtime folder": {
			goos:    "linux",
			env:     map[string]string{"HOME": "/home/ann", "XDG_RUNTIME_DIR": "/run/user/0"},
			private: []string{"/run/user/1000"},
			want:    Paths{Config: "/home/ann/.config/langkeep", State: "/home/ann/.local/state/langkeep", Run: "/run/user/1000/langkeep"},
		},
		"linux without HOME":       {goos: "linux", err: "HOME must be set"},
		"linux, HOME relative":     {goos: "linux", env: map[string]string{"HOME": "ann"}, err: "HOME must be set"},
		"linux without state":      {goos: "linux", env: map[string]string{"XDG_CONFIG_HOME": "/c"}, err: "HOME must be set"},
		"darwin without HOME":      {goos: "darwin", err: "HOME must be set"},
		"windows without AppData":  {goos: "windows", env: map[string]string{"LocalAppData": `C:\L`}, err: "AppData must be set"},
		"windows without Local":    {goos: "windows", env: map[string]string{"AppData": `C:\R`}, err: "LocalAppData must be set"},
		"windows, AppData partial": {goos: "windows", env: map[string]string{"AppData": `C:R`, "LocalAppData": `C:\L`}, err: "AppData must be set"},
		"darwin": {
			goos: "darwin", env: map[string]string{"HOME": "/Users/ann", "XDG_CONFIG_HOME": "/c", "XDG_RUNTIME_DIR": "/r"}, private: []string{"/r"},
			want: Paths{
				Config: "/Users/ann/Library/Application Support/langkeep",
				State:  "/Users/ann/Library/Application Support/langkeep/state",
				Run:    "/Users/ann/Library/Application Support/langkeep/run",
			},
		},
		"windows": {
			goos: "windows", env: map[string]string{"AppData": `C:\Users\ann\AppData\Roaming`, "LocalAppData": `\\srv\ann\Local`},
			want: Paths{
				Config: `C:\Users\ann\AppData\Roaming\langkeep`, State: `\\srv\ann\Local\langkeep`, Run: `\\srv\ann\Local\langkeep\run`,
			},
		},
		"LANGKEEP_HOME": {
			goos: runtime.GOOS, env: map[string]string{"HOME": "/home/ann", "XDG_CONFIG_HOME": "/c", "LANGKEEP_HOME": "/srv//a/../keep/"},
			want: under(abs("/srv/keep")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			private := func(dir string) bool {
				for _, p := range tc.private {
					if dir == p {
						return true
					}
				}
				return false
			}
			got, err := resolve(tc.goos, func(k string) string { return tc.env[k] }, uid, private)
			if tc.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.err) {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if tc.goos != runtime.GOOS {
				// package filepath joins as this system does.
				got, tc.want = slashes(got), slashes(tc.want)
			}
			if err != nil || got != tc.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
}

// abs is an absolute path, which begins with a drive on Windows.
func abs(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		panic(err)
	}
	return path
}

// under are the folders below a LANGKEEP_HOME.
func under(dir string) Paths {
	return Paths{
		Home: dir, Config: filepath.Join(dir, "config"), State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run"),
	}
}

func slashes(p Paths) Paths {
	for _, s := range []*string{&p.Config, &p.State, &p.Run, &p.Home} {
		*s = strings.ReplaceAll(*s, `\`, "/")
	}
	return p
}

func TestHomeIsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Resolve(func(k string) string { return map[string]string{"LANGKEEP_HOME": "keep"}[k] })
	if err != nil || p.Home != filepath.Join(wd, "keep") || p.Run != filepath.Join(wd, "keep", "run") {
		t.Errorf("got %+v, %v", p, err)
	}
}

// TestFiles is contract: the names of all files.
func TestFiles(t *testing.T) {
	p := Paths{Config: "/c", State: "/s", Run: "/r"}
	for got, want := range map[string]string{
		p.ConfigFile(): "/c/config.toml", p.ProfilesDir(): "/c/profiles", p.ProfileFile("prod"): "/c/profiles/prod.toml",
		p.Lock(): "/s/lock", p.Agent(): "/s/agent.json", p.Clients(): "/s/clients.json", p.Audit(): "/s/audit.jsonl",
		p.Log(): "/s/log", p.Secrets(): "/s/secrets.age", p.Token(): "/r/token", p.Socket(): "/r/agent.sock",
	} {
		if filepath.ToSlash(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestKeychainService(t *testing.T) {
	if got := (Paths{}).KeychainService(); got != "langkeep" {
		t.Error(got)
	}
	// printf %s /srv/keep | sha256sum | cut -c -8
	if got := (Paths{Home: "/srv/keep"}).KeychainService(); got != "langkeep-f853f39b" {
		t.Error(got)
	}
}

func TestSDDL(t *testing.T) {
	const sid = "S-1-5-21-1-2-3-1001"
	if got, want := sddl(sid, true), "D:P(A;OICI;FA;;;S-1-5-21-1-2-3-1001)"; got != want {
		t.Errorf("a folder: %s", got)
	}
	if got, want := sddl(sid, false), "D:P(A;;FA;;;S-1-5-21-1-2-3-1001)"; got != want {
		t.Errorf("a file: %s", got)
	}
}

func TestCheckSchema(t *testing.T) {
	for found, want := range map[int]struct {
		older bool
		err   bool
	}{-1: {false, true}, 0: {true, false}, 1: {false, false}, 2: {false, true}} {
		older, err := CheckSchema("/c/x.toml:3", found)
		if older != want.older || (err != nil) != want.err || errors.Is(err, ErrNewer) != (found > 1) {
			t.Errorf("schema %d: %v, %v", found, older, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "/c/x.toml:3: ") {
			t.Errorf("the error does not name the file: %v", err)
		}
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if _, err := ReadFile(path, 5); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), path+": ") {
		t.Errorf("a missing file: %v", err)
	}
	if err := WriteFile(filepath.Join(path, "g"), nil); !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), path) != 1 {
		t.Errorf("a missing folder: %v", err)
	}
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadFile(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("got %q, %v", data, err)
	}
	if data, err := ReadFile(path, 4); !errors.Is(err, errTooLarge) || data != nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file too large: %q, %v", data, err)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, data := range []string{"one", "", "three"} {
		if err := WriteFile(path, []byte(data)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != data {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if err := WriteFile(filepath.Join(dir, "no", "f"), nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join("no", "f")) {
		t.Errorf("without its folder: %v", err)
	}
	// A folder can't be replaced by a file.
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "folder"), nil); err == nil {
		t.Error("a folder was replaced")
	}
	if names := list(t, dir); strings.Join(names, " ") != "f folder" {
		t.Errorf("left behind: %v", names)
	}
}

// A reader of a file, as commands are of the agent's, keeps nobody from replacing it.
func TestWriteFileThatIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteFile(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(50*time.Millisecond, func() { reader.Close() })
	defer timer.Stop()
	if err := WriteFile(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "new" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWriteFileRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := WriteFile("f", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if names := list(t, "."); strings.Join(names, " ") != "f" {
		t.Error(names)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestAdopt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clients.json")
	for data, want := range map[string]string{
		`{"schema":1,"clients":["a"]}`:     "",
		`{"schema":0,"clients":["a"]}`:     "", // and a backup
		`{"schema":2,"clients":{"a":"b"}}`: "newer",
		`{"schema":-1}`:                    "schema -1",
		`{"schema":1,"clients":{}}`:        "can't be parsed, alas",
		`{"schema":1,`:                     "can't be parsed, alas",
		`[]`:                               ":1 can't be parsed, alas",
		``:                                 ":1 can't be parsed, alas",
		"{\n\"schema\":1,\n\"clients\":7}": ":3 can't be parsed, alas",
	} {
		_ = os.Remove(path + ".bak") // of the case before
		var v struct{ Clients []string }
		err := adopt(path, []byte(data), &v, ", alas")
		if want == "" && (err != nil || len(v.Clients) != 1) ||
			want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path)) {
			t.Errorf("%s: %+v, %v", data, v, err)
		}
		backup, err := os.ReadFile(path + ".bak")
		if strings.Contains(data, `"schema":0`) != (err == nil) || err == nil && string(backup) != data {
			t.Errorf("%s: the backup is %q, %v", data, backup, err)
		}
	}
}

func TestAbs(t *testing.T) {
	home := t.TempDir()
	getenv := func(name string) string {
		if name == "HOME" || name == "USERPROFILE" {
			return home
		}
		return ""
	}
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"~": home, "~/": home, "~/lk": filepath.Join(home, "lk"), "~//a/../lk": filepath.Join(home, "lk"),
		"lk": filepath.Join(cwd, "lk"), "./~": filepath.Join(cwd, "~"), "a/~": filepath.Join(cwd, "a", "~"), home: home,
	} {
		if got, err := Abs(path, getenv); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", path, got, err, want)
		}
	}
	if got, err := Abs("~ann/lk", getenv); err == nil {
		t.Errorf("another user's home folder is %s", got)
	}
	if got, err := Abs("~/lk", func(string) string { return "" }); err == nil {
		t.Errorf("without a home folder it is %s", got)
	}
	p, err := Resolve(func(name string) string {
		if name == "LANGKEEP_HOME" {
			return "~/lk"
		}
		return getenv(name)
	})
	if err != nil || p.Home != filepath.Join(home, "lk") {
		t.Errorf("LANGKEEP_HOME is %s, %v", p.Home, err)
	}
}
