// Package browser opens a page in the user's browser.
package browser

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"time"
)

// patience is how long Open waits for an opener's failure. Some openers end only with
// the browser.
const patience = 3 * time.Second

// Open hands a URL to the system, which opens it in the user's browser. The error names
// the missing program.
func Open(ctx context.Context, url string) error {
	name, args := opener(url)
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = detached() // the browser must outlive this program
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no %s to open the browser with", name)
		}
		return fmt.Errorf("can't open the browser: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("%s can't open a browser here (%w)", name, err)
		}
		return nil
	case <-limit.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
