package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// commit and date are what the program was made of, its name and its time in RFC 3339.
// They are set when a release is built, with -ldflags -X; else go build writes them down.
var commit, date string

type versionOptions struct {
	*app
	verbose, json bool
}

func newVersion(a *app) *cobra.Command {
	o := &versionOptions{app: a}
	cmd := &cobra.Command{
		Use:   "version [--verbose|--json]",
		Short: "Print the version",
		Long: `Print the version of this program and of the Go that built it, on one line. With
--verbose the lines below have the commit that it was made of, that commit's date,
how it was installed, and its file. unknown stands for a fact that can't be told.`,
		Example: `  langkeep version
  langkeep version --verbose`,
		Args: takes(0, 0),
		PreRunE: func(*cobra.Command, []string) error {
			if o.json && o.verbose {
				return usagef("--json has all of it: leave out --verbose")
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return o.run() },
	}
	cmd.Flags().BoolVar(&o.verbose, "verbose", false, "print the commit, its date and how it was installed too")
	cmd.Flags().BoolVar(&o.json, "json", false, "print all of it for programs")
	return cmd
}

func versionLine() string {
	return fmt.Sprintf("langkeep %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// build describes this program. A fact that can't be told is null.
type build struct {
	Version   string  `json:"version"`
	Commit    *string `json:"commit"`
	Changed   *bool   `json:"changed"` // whether files differed from the commit's
	Date      *string `json:"date"`    // the commit's, in RFC 3339
	Go        string  `json:"go"`
	OS        string  `json:"os"`
	Arch      string  `json:"arch"`
	Installed *string `json:"installed"`
	Program   string  `json:"program"` // its file, without symbolic links
}

func (o *versionOptions) run() error {
	if !o.verbose && !o.json {
		return o.result(versionLine())
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	b := thisBuild()
	b.Program = exe
	if how := installedBy(exe, date == ""); how != "" {
		b.Installed = &how
	}
	if o.json {
		body, err := json.Marshal(b)
		if err != nil {
			return err
		}
		return o.result(string(body) + "\n")
	}
	told := func(s *string) string {
		if s == nil {
			return "unknown"
		}
		return *s
	}
	changed := ""
	if b.Changed != nil && *b.Changed {
		changed = ", with changes"
	}
	return o.result(versionLine() + fmt.Sprintf("commit     %s%s\ndate       %s\ninstalled  %s\nprogram    %s\n",
		told(b.Commit), changed, told(b.Date), told(b.Installed), exe))
}

// thisBuild is what the linker or go build has written into the program.
func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	from := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			from[s.Key] = s.Value
		}
	}
	if name := cmp.Or(commit, from["vcs.revision"]); name != "" {
		b.Commit = &name
	}
	if when := cmp.Or(date, from["vcs.time"]); when != "" {
		b.Date = &when
	}
	if changed := from["vcs.modified"] == "true"; commit == "" && b.Commit != nil {
		b.Changed = &changed
	}
	return b
}
