//go:build !linux

package langflow

import "net"

// acknowledged is false: these systems do not tell.
func acknowledged(net.Conn) (bytes uint64, ok bool) { return 0, false }
