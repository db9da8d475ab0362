package main

import (
	"cmp"
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/audit"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// followEvery is between two looks at the log.
const followEvery = 500 * time.Millisecond

type auditOptions struct {
	*app
	follow, json, all bool
}

func newAudit(a *app) *cobra.Command {
	o := &auditOptions{app: a}
	cmd := a.needsAgent(&cobra.Command{
		Use:   "audit [--all] [--follow] [--json]",
		Short: "Show who asked for what",
		Long: `Show the last entries of the audit log in the order of their times: when, who and by
which program, where the system tells, which profile, what for, and whether it was
refused. The first use is written at once, repeats of it as one line a minute with
their count. Your own looks at how things are, such as langkeep status, are left out,
but for --all. --json has the routes of the local API, and all entries.

The whole log is audit.jsonl in the state folder, and four older files beside it.`,
		Example: `  langkeep audit
  langkeep audit --follow
  langkeep audit --json | jq 'select(.refused != null)'`,
		Args: takes(0, 0),
		RunE: a.onAgent(o.run),
	})
	cmd.Flags().BoolVar(&o.all, "all", false, "show your own looks at how things are too")
	cmd.Flags().BoolVar(&o.follow, "follow", false, "go on with what happens, until Ctrl-C")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON lines, as they are in the file")
	return cmd
}

func (o *auditOptions) run(ctx context.Context, c *client.Client, _ []string) error {
	for after := int64(0); ; {
		lines, err := c.Audit(ctx, after)
		if err != nil {
			return err
		}
		for _, line := range lines {
			after = line.N
		}
		if !o.json { // the line of repeats has the time of the first
			sort.SliceStable(lines, func(i, j int) bool { return lines[i].At.Before(lines[j].At) })
		}
		var b strings.Builder
		for _, line := range lines {
			switch {
			case o.json:
				b.WriteString(line.JSON + "\n")
			case o.all || !words.OwnLook(line.Use):
				b.WriteString(auditLine(line.Entry, o.clock.Now()) + "\n")
			}
		}
		if err := o.result(b.String()); err != nil {
			return err
		}
		if !o.follow {
			return nil
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// auditLine is an entry as people see it.
func auditLine(e audit.Entry, now time.Time) string {
	at := e.At.In(now.Location())
	when := at.Format(time.TimeOnly)
	if at.YearDay() != now.YearDay() || at.Year() != now.Year() {
		when = at.Format(time.DateTime)
	}
	who, did := lower(words.Who(e.Use)), words.Did(e.Use)
	if program := words.By(e.Process); program != "" {
		who += " · " + program
	}
	if e.Count > 1 {
		did += fmt.Sprintf(", %d times", e.Count)
	}
	return fmt.Sprintf("%s  %-22s  %-8s  %s", when, who, cmp.Or(words.Safe(string(e.Profile)), words.None), did)
}
