package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
	"langkeep/localapi/client"
)

func TestMain(m *testing.M) {
	testscript.Main(tidied{m}, map[string]func(){"langkeep": main, "fetch": fetch})
}

// tidied are this package's tests, which leave nothing of the program behind.
type tidied struct{ *testing.M }

func (m tidied) Run() int {
	code := m.M.Run()
	if exe, err := exec.LookPath("langkeep"); err == nil && onWindows && strings.HasPrefix(exe, os.TempDir()) {
		// testscript deletes its own, which Windows does not let it while an agent
		// that was told to stop has not quite ended.
		for limit := time.Now().Add(10 * time.Second); os.Remove(exe) != nil && time.Now().Before(limit); {
			time.Sleep(100 * time.Millisecond)
		}
	}
	return code
}

// fetch is a program that knows nothing of Langkeep: fetch KEY URL prints the
// answer's status, type and body.
func fetch() {
	req, err := http.NewRequest(http.MethodGet, os.Args[2], nil)
	if err == nil {
		req.Header.Set("X-Api-Key", os.Args[1])
		req.Header.Set("Authorization", "Bearer "+os.Args[1])
		var res *http.Response
		if res, err = http.DefaultClient.Do(req); err == nil {
			fmt.Println(res.StatusCode, res.Header.Get("Content-Type"))
			_, err = io.Copy(os.Stdout, res.Body)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestScript runs the real commands and agents, each script with a
// LANGKEEP_HOME of its own, against stand-ins for Langflow. Beside testscript's
// own commands there are:
//
//	langflow NAME [autologin] [version=V] [root=/a/b] [token=D]
//	    starts a server, whose URL is $NAME; its user is admin
//	server NAME stop|start|slow|rotate|autologin|refresh-token|api-key|count PATH N
//	    stops it, starts it again, delays its next answer by 1.5 s, changes its secret key, has auto login, puts a
//	    secret of it into the file NAME.secret, or checks how often a path was asked
//	code N langkeep ARG...
//	    is exec for a command that must end with the exit code N
//	waitfor PATTERN langkeep ARG...
//	    runs a command until its output matches
//	waitfile PATTERN FILE
//	    waits until a file does
//	killagent
//	    ends the agent with SIGKILL
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"langflow":  cmdLangflow,
			"server":    cmdServer,
			"code":      cmdCode,
			"waitfor":   cmdWaitFor,
			"waitfile":  cmdWaitFile,
			"append":    cmdAppend,
			"killagent": cmdKillAgent,
		},
	})
}

// servers are a script's stand-ins by name.
type servers struct {
	byName map[string]*langflowtest.Server
}

func setup(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	// A program with the race detector would sleep for a second at its end.
	env.Vars = append(env.Vars, "LANGKEEP_HOME="+home, "GORACE=atexit_sleep_ms=0",
		"DBUS_SESSION_BUS_ADDRESS=unix:path="+filepath.Join(env.WorkDir, "no-bus")) // nor its desktop
	// The password of the stand-in's user, to be typed or piped.
	if err := os.WriteFile(filepath.Join(env.WorkDir, "password"), []byte(langflowtest.Admin().Password+"\n"), 0o600); err != nil {
		return err
	}
	// Agents that commands start must not touch this computer's agent or keychain
	// either.
	if err := os.MkdirAll(filepath.Join(home, "config"), 0o700); err != nil {
		return err
	}
	config := "schema = 1\nlisten = '127.0.0.1:0'\nstore = 'memory'\n"
	if err := os.WriteFile(filepath.Join(home, "config", "config.toml"), []byte(config), 0o600); err != nil {
		return err
	}
	all := &servers{byName: map[string]*langflowtest.Server{}}
	env.Values["servers"] = all
	env.Defer(func() {
		stop := exec.Command("langkeep", "stop")
		stop.Env = append(os.Environ(), "LANGKEEP_HOME="+home, "LANGKEEP_URL=", "LANGKEEP_TOKEN=")
		if out, err := stop.CombinedOutput(); err != nil {
			env.T().Log("stop the agent: ", err, string(out))
		}
		for _, s := range all.byName {
			s.Close()
		}
	})
	return nil
}

func cmdLangflow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: langflow NAME [autologin] [version=V] [root=/a/b] [token=D]")
	}
	var o langflowtest.Options
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "autologin":
			o.AutoLogin = true
		case "version":
			o.Version = value
		case "root":
			o.RootPath = value
		case "token":
			d, err := time.ParseDuration(value)
			ts.Check(err)
			o.AccessLifetime = d
		default:
			ts.Fatalf("unknown option %s", arg)
		}
	}
	s := langflowtest.New(o)
	ts.Value("servers").(*servers).byName[args[0]] = s
	ts.Setenv(args[0], s.URL)
}

func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: server NAME stop|start|slow|rotate|autologin|refresh-token|api-key|count PATH N")
	}
	s := ts.Value("servers").(*servers).byName[args[0]]
	if s == nil {
		ts.Fatalf("no server %s", args[0])
	}
	secretFile := ts.MkAbs(args[0] + ".secret")
	switch args[1] {
	case "stop":
		s.Stop()
	case "start":
		s.Start()
	case "slow":
		s.Fault("", langflowtest.Fault{Times: 1, Delay: 1500 * time.Millisecond})
	case "rotate":
		s.RotateSecret()
	case "autologin":
		s.SetAutoLogin(true)
	case "api-key":
		ts.Check(os.WriteFile(secretFile, []byte(s.AddAPIKey(langflowtest.Admin().Name).Reveal()), 0o600))
	case "refresh-token":
		res, err := http.PostForm(s.URL+"/api/v1/login", url.Values{
			"username": {langflowtest.Admin().Name}, "password": {langflowtest.Admin().Password},
		})
		ts.Check(err)
		defer res.Body.Close()
		var pair struct {
			RefreshToken string `json:"refresh_token"`
		}
		ts.Check(json.NewDecoder(res.Body).Decode(&pair))
		ts.Check(os.WriteFile(secretFile, []byte(pair.RefreshToken), 0o600))
	case "count":
		if got := strconv.Itoa(s.Count(args[2])); got != args[3] {
			ts.Fatalf("%s was asked for %s times, not %s", args[2], got, args[3])
		}
	default:
		ts.Fatalf("unknown %s", args[1])
	}
}

func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// patience is how long a script waits for what happens by itself.
const patience = 20 * time.Second

// poll tries until it is true.
func poll(ts *testscript.TestScript, what string, try func() bool) {
	limit := time.Now().Add(patience)
	for !try() {
		if time.Now().After(limit) {
			ts.Fatalf("%s: not within %v", what, patience)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: waitfor PATTERN COMMAND ARG...")
	}
	pattern, err := regexp.Compile(`(?m)` + args[0])
	ts.Check(err)
	poll(ts, fmt.Sprintf("%q of %v", args[0], args[1:]), func() bool {
		_ = ts.Exec(args[1], args[2:]...) // its output decides
		return pattern.MatchString(ts.ReadFile("stdout")) || pattern.MatchString(ts.ReadFile("stderr"))
	})
}

// cmdAppend appends a line to a file: append FILE LINE.
func cmdAppend(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: append FILE LINE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(ts.ReadFile(args[0])+args[1]+"\n"), 0o600))
}

func cmdWaitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfile PATTERN FILE")
	}
	pattern, err := regexp.Compile(`(?m)` + args[0])
	ts.Check(err)
	poll(ts, fmt.Sprintf("%q in %s", args[0], args[1]), func() bool {
		data, err := os.ReadFile(ts.MkAbs(args[1]))
		return err == nil && pattern.Match(data)
	})
}

func cmdKillAgent(ts *testscript.TestScript, neg bool, args []string) {
	home := ts.Getenv("LANGKEEP_HOME")
	p := paths.Paths{State: filepath.Join(home, "state")}
	running, err := client.ReadRunning(p)
	ts.Check(err)
	process, err := os.FindProcess(running.PID)
	ts.Check(err)
	ts.Check(process.Kill())
	poll(ts, "the end of the agent", func() bool { return p.LockFree() })
}
