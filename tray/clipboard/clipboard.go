// Package clipboard puts a secret on the clipboard for a short while.
package clipboard

import (
	"errors"
	"sync"
	"time"

	"langkeep/agent/secret"
)

// Keep is how long a secret stays on the clipboard, if nothing else is copied
// meanwhile.
const Keep = 30 * time.Second

const closeLimit = 2 * time.Second // for the display to answer at the end

// ErrUnavailable means that there is no clipboard that can be cleared again.
var ErrUnavailable = errors.New("no clipboard that can be cleared again")

// ErrNoXwayland means that Xwayland, once installed, makes one available.
var ErrNoXwayland = errors.New("the compositor has neither data control nor an X server; install Xwayland")

// Clipboard holds at most one secret.
type Clipboard struct {
	put putter

	mu    sync.Mutex // protects the following
	take  func()     // removes the last secret
	timer *time.Timer
	count int // secrets copied so far
}

// putter puts a secret on the clipboard. take removes it, if it is still there, and may
// be called once.
type putter func(secret.Text) (take func(), err error)

// Check returns the error that New would.
func Check(getenv func(string) string) error {
	_, err := system(getenv)
	return err
}

// New finds the desktop's clipboard, or returns ErrUnavailable.
func New(getenv func(string) string) (*Clipboard, error) {
	put, err := system(getenv)
	if err != nil {
		return nil, err
	}
	return &Clipboard{put: put}, nil
}

// Copy puts a secret on the clipboard, and removes it after Keep.
func (c *Clipboard) Copy(s secret.Text) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	take, err := c.put(s)
	if err != nil {
		return err
	}
	c.take = take
	c.count++
	mine := c.count
	c.timer = time.AfterFunc(Keep, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.count == mine {
			c.clear()
		}
	})
	return nil
}

// Close removes a secret that is still there. It does not wait for a hanging display,
// which loses the secret with the process' connection.
func (c *Clipboard) Close() {
	cleared := make(chan struct{})
	go func() {
		defer close(cleared)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.clear()
	}()
	select {
	case <-cleared:
	case <-time.After(closeLimit):
	}
}

// clear is called with mu held.
func (c *Clipboard) clear() {
	if c.take != nil {
		c.timer.Stop()
		c.take()
		c.take = nil
	}
}
