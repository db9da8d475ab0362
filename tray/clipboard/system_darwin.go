package clipboard

import (
	"fmt"
	"os/exec"
	"strings"

	"langkeep/agent/secret"
)

// system uses the two programs that come with macOS.
func system(func(string) string) (putter, error) {
	return func(s secret.Text) (func(), error) {
		if err := paste(s.Reveal()); err != nil {
			return nil, fmt.Errorf("copy with pbcopy: %w", err)
		}
		return func() {
			if there, err := exec.Command("/usr/bin/pbpaste").Output(); err == nil && string(there) == s.Reveal() {
				_ = paste("") // on an error the secret stays; nothing else can be done
			}
		}, nil
	}, nil
}

func paste(s string) error {
	cmd := exec.Command("/usr/bin/pbcopy")
	cmd.Stdin = strings.NewReader(s)
	return cmd.Run()
}
