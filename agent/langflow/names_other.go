//go:build !unix || darwin

package langflow

import "context"

// systemLookup is nil on macOS and Windows: Go's resolver asks the system there,
// with cgo and without.
var systemLookup func(ctx context.Context, host string) ([]string, error)
