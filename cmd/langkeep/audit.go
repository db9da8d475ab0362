package main

import (
	"context"
	"fmt"
	"path/filepath"
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
	follow, json bool
}

func newAudit(a *app) *cobra.Command {
	o := &auditOptions{app: a}
	cmd := a.needsAgent(&cobra.Command{
		Use:   "audit [--follow] [--json]",
		Short: "Show who asked for what",
		Long: `Show the last entries of the audit log: when, which client, which profile, what
for, and which program, where the system tells. What is refused is marked. The
first use is written at once, repeats of it as one line a minute with their count.

The whole log is audit.jsonl in the state folder, and four older files beside it.`,
		Example: `  langkeep audit
  langkeep audit --follow
  langkeep audit --json | jq 'select(.refused != null)'`,
		Args: takes(0, 0),
		RunE: a.onAgent(o.run),
	})
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
		var b strings.Builder
		for _, line := range lines {
			after = line.N
			if o.json {
				b.WriteString(line.JSON + "\n")
			} else {
				b.WriteString(auditLine(line.Entry) + "\n")
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
func auditLine(e audit.Entry) string {
	parts := []string{e.At.Local().Format("2006-01-02 15:04:05"), or(e.Client, "nobody known"), or(e.Profile, "-"), e.What}
	if e.Refused != "" {
		parts = append(parts, "refused: "+string(e.Refused))
	}
	if e.Count > 1 {
		parts = append(parts, fmt.Sprintf("%d times", e.Count))
	}
	if e.Process.PID != 0 {
		parts = append(parts, fmt.Sprintf("by %s (%d)", or(audit.Text(filepath.Base(string(e.Process.Exe))), "process"), e.Process.PID))
	}
	return words.Safe(strings.Join(parts, "  "))
}

func or(t audit.Text, other string) string {
	if t == "" || t == "." {
		return other
	}
	return string(t)
}
