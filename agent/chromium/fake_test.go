package chromium

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// behaviour names the variable that makes the test's program one of the programs below.
const behaviour = "FAKE_BROWSER"

// hidden is in everything that must not come out.
const hidden = "hunter2-hunter2"

func TestMain(m *testing.M) {
	switch name := os.Getenv(behaviour); name {
	case "":
		os.Exit(m.Run())
	case "opener":
		openAndWait()
	case "writer":
		writeOn()
	default:
		fakes[name](newFake())
	}
}

// fake is a browser in the form that the tests need: it speaks the protocol, and has no
// window.
type fake struct {
	commands *bufio.Reader
	answers  io.WriteCloser
	profile  string
}

type command struct {
	ID     int    `json:"id"`
	Method string `json:"method"`
}

func newFake() *fake {
	in, out := fakePipes()
	f := &fake{commands: bufio.NewReader(in), answers: out, profile: profileArgument()}
	if err := os.MkdirAll(f.profile, 0o700); err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(f.profile, "Cookies"), []byte(hidden), 0o600); err != nil {
		panic(err)
	}
	return f
}

func profileArgument() string {
	for _, arg := range os.Args {
		if profile, ok := strings.CutPrefix(arg, "--user-data-dir="); ok {
			return profile
		}
	}
	panic("no profile is named")
}

// next is the next command; the browser ends with its pipe, as Chromium does.
func (f *fake) next() command {
	text, err := f.commands.ReadBytes(0)
	if err != nil {
		os.Exit(0)
	}
	var c command
	if err := json.Unmarshal(text[:len(text)-1], &c); err != nil {
		panic(err)
	}
	return c
}

func (f *fake) say(text string) { _, _ = f.answers.Write(append([]byte(text), 0)) }

func (f *fake) answer(id int, result any) {
	text, err := json.Marshal(map[string]any{"id": id, "result": result})
	if err != nil {
		panic(err)
	}
	f.say(string(text))
}

// handle does what a browser does with a command.
func (f *fake) handle(c command) {
	switch c.Method {
	case "Browser.close":
		f.answer(c.ID, struct{}{})
		os.Exit(0)
	case "Target.setDiscoverTargets":
		f.say(`{"method":"Target.targetCreated","params":{"targetInfo":{"targetId":"A","type":"tab"}}}`)
		f.answer(c.ID, struct{}{})
	case "Storage.getCookies":
		f.answer(c.ID, map[string]any{"cookies": []map[string]any{
			about("args", strings.Join(os.Args[1:], " ")),
			about("env", strings.Join(os.Environ(), " ")),
		}})
	default:
		f.answer(c.ID, map[string]string{"product": "Fake/1"})
	}
}

func about(name, value string) map[string]any {
	return map[string]any{"name": name, "value": value, "domain": "127.0.0.1", "path": "/", "expires": -1, "session": true}
}

// serve handles commands for ever.
func (f *fake) serve() {
	for {
		f.handle(f.next())
	}
}

// hang stays, and reads nothing.
func hang() {
	for {
		time.Sleep(time.Hour)
	}
}

// started answers until the window is open.
func (f *fake) started() {
	for {
		c := f.next()
		f.handle(c)
		if c.Method == "Target.setDiscoverTargets" {
			return
		}
	}
}

// fakes are the browsers by name.
var fakes = map[string]func(*fake){
	"good": (*fake).serve,
	"hangs at once": func(*fake) {
		hang()
	},
	"hangs later": func(f *fake) {
		f.started()
		hang()
	},
	"hears, says nothing": func(f *fake) {
		for {
			f.next()
		}
	},
	"ends at once": func(*fake) {
		os.Exit(1)
	},
	"crashes later": func(f *fake) {
		f.started()
		f.next()
		os.Exit(3)
	},
	"forbidden": func(*fake) {
		fmt.Fprintln(os.Stderr, "\nDevTools remote debugging is disallowed by the system admin.")
		hang()
	},
	"no display": func(*fake) {
		fmt.Fprintln(os.Stderr, "[1:1:1128/1.2:ERROR:ui/ozone/platform/x11/ozone_platform_x11.cc:256] Missing X server or $DISPLAY")
		fmt.Fprintln(os.Stderr, "[1:1:1128/1.2:ERROR:ui/aura/env.cc:246] The platform failed to initialize.  Exiting.")
		os.Exit(1)
	},
	"no sandbox": func(*fake) {
		fmt.Fprintln(os.Stderr, "[1:1:FATAL:content/browser/zygote_host/zygote_host_impl_linux.cc:128] No usable sandbox! If you are running on Ubuntu 23.10+ …")
		os.Exit(1)
	},
	"garbage": func(f *fake) {
		f.say("HTTP/1.1 200 OK " + hidden)
		hang()
	},
	"another JSON": func(f *fake) {
		f.say(`{"` + hidden + `":1}`)
		hang()
	},
	"no end": func(f *fake) {
		piece := []byte(strings.Repeat(hidden, 10000))
		for {
			if _, err := f.answers.Write(piece); err != nil {
				hang()
			}
		}
	},
	"closes its pipe": func(f *fake) {
		f.started()
		f.answers.Close()
		hang()
	},
	"refuses": func(f *fake) {
		f.started()
		for {
			f.say(fmt.Sprintf(`{"id":%d,"error":{"code":-32601,"message":"'Storage.getCookies' wasn't found"}}`, f.next().ID))
		}
	},
	"cookies in another form": func(f *fake) {
		f.started()
		f.answer(f.next().ID, map[string]any{"cookies": hidden})
		f.serve()
	},
	"closes its window": func(f *fake) { // and goes on, as on macOS
		f.started()
		f.say(`{"method":"Target.targetCreated","params":{"targetInfo":{"targetId":"B","type":"tab"}}}`)
		f.say(`{"method":"Target.targetDestroyed","params":{"targetId":"A"}}`)
		f.say(`{"method":"Target.targetDestroyed","params":{"targetId":"never seen"}}`)
		f.handle(f.next()) // the window is open still
		f.say(`{"method":"Target.targetDestroyed","params":{"targetId":"B"}}`)
		f.serve()
	},
	"out of order": func(f *fake) {
		f.started()
		first, second := f.next(), f.next()
		f.say(`{"method":"Network.requestWillBeSent","params":{"id":1}}`)
		f.say(`{"method":"Target.targetInfoChanged","params":[1,2]}`)
		f.answer(99, struct{}{})
		for _, c := range []command{second, first, second} {
			f.answer(c.ID, map[string]any{"cookies": []any{about("id", fmt.Sprint(c.ID))}})
		}
		f.serve()
	},
	"many cookies": func(f *fake) {
		f.started()
		var all []any
		for n := range 3300 {
			all = append(all, about(fmt.Sprint(n), strings.Repeat(`"`, 4096)))
		}
		f.answer(f.next().ID, map[string]any{"cookies": all})
		f.serve()
	},
	"loud": func(f *fake) {
		f.started()
		fmt.Fprint(os.Stderr, strings.Repeat(hidden, 100_000)+"\n"+strings.Repeat(hidden+"\n", 10_000))
		f.serve()
	},
	"leaves a child": func(f *fake) {
		child := exec.Command(os.Args[0], "--user-data-dir="+f.profile)
		child.Env = append(os.Environ(), behaviour+"=writer")
		if err := child.Start(); err != nil {
			panic(err)
		}
		for { // until the child is at work
			if _, err := os.Stat(filepath.Join(f.profile, "0")); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		f.started()
		f.next()
		os.Exit(3)
	},
}

// writeOn is a child of a browser that does not end with it, and writes into its folder.
func writeOn() {
	profile := profileArgument()
	for n := 0; ; n++ {
		_ = os.MkdirAll(profile, 0o700) // an error: it is being deleted
		_ = os.WriteFile(filepath.Join(profile, fmt.Sprint(n)), []byte(hidden), 0o600)
	}
}

// openAndWait is a process that opens a window, and is killed. Its arguments are the
// folder, and the behaviour of a fake browser or else "real", a browser, an address and the
// browser's further arguments.
func openAndWait() {
	dir, behaves, browser, address, extra := os.Args[1], os.Args[2], program(), "http://127.0.0.1:1/", []string(nil)
	if behaves == "real" {
		browser, address, extra = os.Args[3], os.Args[4], os.Args[5:]
	}
	if err := os.Setenv(behaviour, behaves); err != nil {
		panic(err)
	}
	w, err := Open(context.Background(), browser, dir, address, extra...)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("open")
	<-w.Closed()
}

// program is the test's own.
func program() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}
