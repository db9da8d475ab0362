//go:build !windows && !darwin

package clipboard

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"langkeep/agent/secret"
)

// system chooses Wayland's clipboard where there is Wayland: there an X11
// selection is only seen while an X11 window has the focus.
func system(getenv func(string) string) (putter, error) {
	switch {
	case getenv("WAYLAND_DISPLAY") != "":
		program, err := exec.LookPath("wl-copy")
		if err != nil {
			return nil, ErrUnavailable
		}
		return func(s secret.Text) (func(), error) { return runCopy(program, s) }, nil
	case getenv("DISPLAY") != "":
		return ownSelection, nil
	}
	return nil, ErrUnavailable
}

// runCopy lets wl-copy (of wl-clipboard) own the clipboard: in the foreground it
// ends as soon as another program copies, and its end clears the clipboard.
func runCopy(program string, s secret.Text) (func(), error) {
	cmd := exec.Command(program, "--foreground", "--type", "text/plain")
	cmd.Stdin = strings.NewReader(s.Reveal())
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("copy with wl-copy: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it was killed, or another program has copied
		close(ended)
	}()
	return sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
	}), nil
}
