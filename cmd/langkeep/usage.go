package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// takes refuses fewer or more arguments.
func takes(least, most int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return errors.New("something is missing")
		case len(args) > most:
			return fmt.Errorf("%q is one argument too many", args[most])
		}
		return nil
	}
}

// takesOne refuses what is none of the words that a command knows.
func takesOne(cmd *cobra.Command, args []string) error {
	if err := takes(1, 1)(cmd, args); err != nil {
		return err
	}
	if !slices.Contains(cmd.ValidArgs, args[0]) {
		return fmt.Errorf("%q is none of %s", args[0], strings.Join(cmd.ValidArgs, ", "))
	}
	return nil
}

// subcommand refuses what is none.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	all, advice := args[0], "langkeep alone lists them"
	if cmd.HasParent() {
		all, advice = cmd.Name()+" "+all, cmd.CommandPath()+" --help lists them"
	}
	if like := nearest(cmd, args[0]); like != "" {
		advice = "did you mean " + like + "?"
	}
	return fmt.Errorf("there is no command %q: %s", all, advice)
}

// nearest is the command below cmd that somebody may have meant; "" if none is near.
func nearest(cmd *cobra.Command, typed string) string {
	typed = strings.ToLower(typed)
	best, fewest := "", min(2, len(typed)/2)+1
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		for _, other := range c.SuggestFor {
			if typed == other {
				return c.Name()
			}
		}
		n := slips(typed, c.Name())
		if strings.HasPrefix(c.Name(), typed) {
			n = min(n, 1)
		}
		if n < fewest {
			best, fewest = c.Name(), n
		}
	}
	return best
}

// slips is how many letters were typed wrongly, left out, added, or swapped with the next.
func slips(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			if i == 0 || j == 0 {
				rows[i][j] = i + j
				continue
			}
			wrong := 1
			if a[i-1] == b[j-1] {
				wrong = 0
			}
			n := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+wrong)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				n = min(n, rows[i-2][j-2]+1)
			}
			rows[i][j] = n
		}
	}
	return rows[len(a)][len(b)]
}

// flagWords says without Go's words why a flag is refused.
func flagWords(err error) error {
	if value, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		switch value.GetFlag().Value.Type() {
		case "duration":
			return fmt.Errorf("--%s %q is no time: %s", value.GetFlag().Name, value.GetValue(), suchTimes)
		case "bool":
			return fmt.Errorf("--%s is given without a value, or with =true or =false", value.GetFlag().Name)
		}
		return fmt.Errorf("--%s can't be %q", value.GetFlag().Name, value.GetValue())
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("--%s needs a value", missing.GetFlag().Name)
	}
	return err
}

const suchTimes = "give one such as 90s, 45m, 8h or 30d"

// span is the value of a flag, a Go duration that may be in days: 30d.
type span time.Duration

// spanVar adds a flag; without it to stays as it is.
func spanVar(flags *pflag.FlagSet, to *span, name, usage string) {
	flags.Var(to, name, usage)
	flags.Lookup(name).DefValue = "" // for the usage to say
}

func (s *span) String() string { return time.Duration(*s).String() }
func (*span) Type() string     { return "duration" }
func (s *span) Set(text string) error {
	d, err := parseSpan(text)
	*s = span(d)
	return err
}

func parseSpan(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	if digits, ok := strings.CutSuffix(text, "d"); ok {
		if days, err := strconv.ParseInt(digits, 10, 64); err == nil && days > -math.MaxInt64/int64(day) && days < math.MaxInt64/int64(day) {
			return time.Duration(days) * day, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	return 0, errors.New(suchTimes)
}

// parseLifetime reads how long a client token lives.
func parseLifetime(text string) (time.Duration, error) {
	if d, err := parseSpan(text); err == nil && d >= time.Second && d <= 366*24*time.Hour {
		return d, nil
	}
	return 0, errors.New("give a time such as 45m, 8h or 30d, from 1s to 366d")
}
