package gateway

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"langkeep/agent/paths"
)

// drain is the time that a program's own children get to close its stdout and stderr
// after its end.
const drain = 500 * time.Millisecond

// runProgram runs a program without a shell, till ctx ends.
func runProgram(ctx context.Context, argv []string) result {
	path, err := findProgram(argv[0], os.Getenv("PATH"))
	if err != nil {
		return result{err: err}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stdout, stderr := &firstBytes{limit: outLimit, full: cancel}, &lastBytes{limit: errLimit}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Env = paths.ForPrograms(os.Environ())
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = drain
	group, err := newGroup(cmd)
	if err != nil {
		return result{err: err}
	}
	defer group.close()
	cmd.Cancel = func() error { return group.kill(cmd.Process) }
	err = cmd.Start()
	if err == nil {
		group.add(cmd.Process)
		err = cmd.Wait()
	}
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil // a child of its own goes on, such as an agent that it has started
	case err != nil && ctx.Err() != nil:
		err = ctx.Err()
	}
	return result{stdout: stdout.data, overflow: stdout.overflow, stderr: stderr.data, err: err}
}

// findProgram finds a program by its full path, or by its name in the folders of PATH,
// but for those that depend on the current folder. Its errors go on after the program's
// name.
func findProgram(name, path string) (string, error) {
	if filepath.IsAbs(name) {
		found, err := exec.LookPath(name)
		if err != nil {
			return "", errors.New("is not there, or can't be executed")
		}
		return found, nil
	}
	if name == "" || name != filepath.Base(name) || filepath.VolumeName(name) != "" || name == "." || name == ".." {
		return "", errors.New("is neither a full path nor a name in PATH; give its full path")
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	return "", errors.New("is not found in PATH; give its full path")
}

// firstBytes keeps the first bytes that are written to it. It calls full when there are more.
type firstBytes struct {
	limit    int
	full     func()
	data     []byte
	overflow bool
}

func (h *firstBytes) Write(p []byte) (int, error) {
	room := h.limit - len(h.data)
	h.data = append(h.data, p[:min(len(p), room)]...)
	if len(p) > room && !h.overflow {
		h.overflow = true
		h.full()
	}
	return len(p), nil
}

// lastBytes keeps the last bytes that are written to it.
type lastBytes struct {
	limit int
	data  []byte
}

func (t *lastBytes) Write(p []byte) (int, error) {
	t.data = append(t.data, p[max(0, len(p)-t.limit):]...)
	if over := len(t.data) - t.limit; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
	return len(p), nil
}
