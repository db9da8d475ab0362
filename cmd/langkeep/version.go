package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    `Print the version of this program and of the Go that built it, on one line.`,
		Example: `  langkeep version`,
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return a.result(versionLine())
		},
	}
}

func versionLine() string {
	return fmt.Sprintf("langkeep %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
