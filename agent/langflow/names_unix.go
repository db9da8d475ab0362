//go:build unix && !darwin

package langflow

import (
	"context"
	"os/exec"
	"time"
)

// systemLookup asks the C library by way of getent, which glibc, musl and the BSDs
// bring along. Where there is none, Go's resolver has the last word.
func systemLookup(ctx context.Context, host string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "getent", "ahosts", host)
	cmd.WaitDelay = time.Second // musl's is a script, whose children may hold the output open
	out, err := cmd.Output()
	return parseHosts(string(out)), err
}
