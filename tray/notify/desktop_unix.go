//go:build !windows && !darwin

package notify

import (
	"context"
	"time"

	"langkeep/agent/sessionbus"
)

// reachable looks for a session bus, since beeep would start one.
func reachable() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	conn, err := sessionbus.Connect(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}
