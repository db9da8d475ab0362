//go:build real && linux

package trials

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// steps are what an agent does that outlives it: each change of a file of its
// own, seen from outside with ptrace, and each request to its server, as it
// comes and when it is served. The agent can be killed ahead of any of them.
type steps struct {
	dir    string // whose files count
	server http.Handler

	mu      sync.Mutex // protects the following
	pid     int        // of the agent
	armed   bool
	kill    string // the step ahead of which it is killed; "" lets it live
	killed  bool
	counted map[string]int
	seen    []string
}

// arm begins to count, and has the agent killed ahead of a step.
func (s *steps) arm(kill string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed, s.kill, s.killed, s.counted, s.seen = true, kill, false, map[string]int{}, nil
}

// list are the steps so far.
func (s *steps) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

// at notes a step, and tells whether the agent is dead.
func (s *steps) at(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.armed || s.killed {
		return s.killed
	}
	if s.counted[name]++; s.counted[name] > 1 {
		name = fmt.Sprintf("%s (%d)", name, s.counted[name])
	}
	s.seen = append(s.seen, name)
	if name == s.kill {
		s.killed = true
		_ = syscall.Kill(s.pid, syscall.SIGKILL)
	}
	return s.killed
}

// ServeHTTP is the server, as the agent sees it.
func (s *steps) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1")
	counts := r.URL.Path != "/api/v1/version" // which changes nothing, and comes at any time
	if id := "/api/v1/api_key/"; strings.HasPrefix(r.URL.Path, id) && len(r.URL.Path) > len(id) {
		what = r.Method + " /api_key/ID"
	}
	if counts && s.at("before the server gets "+what) {
		panic(http.ErrAbortHandler)
	}
	answer := httptest.NewRecorder()
	s.server.ServeHTTP(answer, r)
	if counts && s.at("before the answer to "+what) {
		panic(http.ErrAbortHandler)
	}
	for key, values := range answer.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// start starts the agent, which is traced until it ends; that closes ended. Only
// root may look into one, since it is closed to its user.
func (s *steps) start(t *testing.T, cmd *exec.Cmd) (ended <-chan struct{}) {
	t.Helper()
	done, started := make(chan struct{}), make(chan error)
	go func() {
		defer close(done)
		// Its tracer is a thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		// A group of its own, to be waited for apart from this thread's other children.
		cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true}
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		pid := cmd.Process.Pid
		s.mu.Lock()
		s.pid = pid
		s.mu.Unlock()
		var ws unix.WaitStatus
		_, err := unix.Wait4(pid, &ws, unix.WALL, nil) // for its exec
		if err == nil {
			err = unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_EXITKILL)
		}
		if err == nil {
			err = unix.PtraceSyscall(pid, 0)
		}
		if started <- err; err == nil {
			s.trace(pid)
		}
		_ = cmd.Process.Release() // it was waited for
	}()
	if err := <-started; err != nil {
		t.Fatal("trace the agent: ", err)
	}
	return done
}

// trace stops at every system call of every thread until the process ends.
func (s *steps) trace(pid int) {
	known := map[int]bool{pid: true}
	for {
		var ws unix.WaitStatus
		tid, err := unix.Wait4(-pid, &ws, unix.WALL|unix.WNOTHREAD, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || tid == pid && (ws.Exited() || ws.Signaled()) {
			return
		}
		if !ws.Stopped() {
			continue // a thread ended
		}
		pass := 0
		switch sig := ws.StopSignal(); {
		case sig == unix.SIGTRAP|0x80:
			if name := s.describe(tid); name != "" && s.at(name) {
				continue // never to go on
			}
		case sig == unix.SIGTRAP && ws.TrapCause() > 0: // a clone
		case sig == unix.SIGSTOP && !known[tid]: // a new thread begins
		default:
			pass = int(sig)
		}
		known[tid] = true
		_ = unix.PtraceSyscall(tid, pass) // an error: it has just been killed
	}
}

// describe names the step that a system call begins, "" for none.
func (s *steps) describe(tid int) string {
	// struct ptrace_syscall_info, whose entry has the number and the arguments.
	var info struct {
		Op   uint8
		_    [3]uint8
		_    uint32
		_    [2]uint64
		Nr   uint64
		Args [6]uint64
	}
	const entry = 1
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || info.Op != entry {
		return ""
	}
	switch info.Nr {
	case unix.SYS_OPENAT:
		if info.Args[2]&unix.O_CREAT != 0 && info.Args[2]&unix.O_EXCL != 0 {
			return s.named("before %s is begun", text(tid, info.Args[1]))
		}
	case unix.SYS_WRITE:
		return s.named("before %s is written", opened(tid, info.Args[0]))
	case unix.SYS_FSYNC:
		if path := opened(tid, info.Args[0]); filepath.Ext(path) != "" {
			return s.named("before %s is synced", path)
		} else {
			return s.named("before the folder %s is synced", path)
		}
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		return s.named("before %s is replaced", text(tid, info.Args[3]))
	case unix.SYS_UNLINKAT:
		return s.named("before %s is deleted", text(tid, info.Args[1]))
	}
	return ""
}

// unfinished is the name of a file that is being written.
var unfinished = regexp.MustCompile(`^\.tmp-(.+)\.[0-9]+$`)

// named names a step with a file or folder of ours; logs, to which whole lines
// are added, and the run folder are none.
func (s *steps) named(format, path string) string {
	rest, ours := strings.CutPrefix(path, s.dir+"/")
	name := unfinished.ReplaceAllString(filepath.Base(rest), "$1")
	if !ours || strings.HasPrefix(rest, "run/") || name == "log" || name == "audit.jsonl" || name == "history.jsonl" || name == "lock" {
		return ""
	}
	return fmt.Sprintf(format, name)
}

// opened is the path of an open file.
func opened(tid int, fd uint64) string {
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int(fd)))
	return path
}

// text reads a string of the agent's.
func text(tid int, at uint64) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", tid))
	if err != nil {
		return ""
	}
	defer f.Close()
	data := make([]byte, 512)
	n, _ := f.ReadAt(data, int64(at)) // as far as it goes
	data, _, _ = bytes.Cut(data[:n], []byte{0})
	return string(data)
}

// quietLog is for a server whose answers are cut off on purpose.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
