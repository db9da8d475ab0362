package trials

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"langkeep/assets/casebook"
)

// trial is a case of a table in docs/attacks.md: the attempt in words, and the function
// that makes it. The function returns the table's words for the result, so that they
// stand beside the assertion.
type trial struct {
	tried string
	run   func(t *testing.T) (happened string)
}

// runTrials makes trials, and holds the table of the test to what they say.
func runTrials(t *testing.T, all []trial) {
	t.Helper()
	runTrialsAs(t, "what is tried", all)
}

// runTrialsAs is runTrials with a heading for the first column.
func runTrialsAs(t *testing.T, heading string, all []trial) {
	t.Helper()
	const document = "docs/attacks.md"
	name := t.Name() + " in cmd/trials"
	happened := make([]string, len(all))
	t.Cleanup(func() { // some run beside each other until now
		standing := casebook.Standing(t, document, name)
		var rows [][]string
		for i, one := range all {
			tried := strings.Join(strings.Fields(one.tried), " ")
			if stands := standing[tried]; happened[i] == "" && len(stands) == 2 {
				happened[i] = stands[1] // it was skipped, left out or has failed
			}
			rows = append(rows, []string{tried, happened[i]})
		}
		casebook.Table(t, document, name, []string{heading, "what happens"}, rows)
	})
	for i, one := range all {
		t.Run(one.tried, func(t *testing.T) {
			if happened[i] = one.run(t); happened[i] == "" {
				t.Error("the trial does not say what has happened")
			}
		})
	}
}

// answersSaid are the words for answers that are wanted, each the status and the
// problem of one, as answers gives them: "404 not-found, 401 unauthorized" is
// 404, then 401.
func answersSaid(wants ...string) string {
	var all []string
	for _, want := range wants {
		var statuses []string
		for one := range strings.SplitSeq(want, ", ") {
			status, _, _ := strings.Cut(one, " ")
			statuses = append(statuses, status)
		}
		if said := strings.Join(statuses, ", then "); !slices.Contains(all, said) {
			all = append(all, said)
		}
	}
	return strings.Join(slices.Sorted(slices.Values(all)), " or ")
}

// ends runs a command to its end, wants it to end with a code and says that. It
// returns what the command has written.
func ends(t *testing.T, cmd *exec.Cmd, want int) (happened string, out []byte) {
	t.Helper()
	out, _ = cmd.CombinedOutput() // its code tells
	if code := cmd.ProcessState.ExitCode(); code != want {
		t.Errorf("%.300q ends with %d, want %d: %s", cmd.Args[1:], code, want, out)
	}
	return fmt.Sprintf("exit code %d", want), out
}

// notes adds one to a list that lacks it.
func notes(list *[]string, one string) {
	if !slices.Contains(*list, one) {
		*list = append(*list, one)
	}
}

// because adds to what has happened why that is right, which may be empty.
func because(happened, why string) string {
	if why == "" {
		return happened
	}
	return happened + ": " + why
}

// attack is a trial of an agent that others share. It is a request, once for each {it}, or anything
// else.
type attack struct {
	tried   string
	way     string // in: "" is 127.0.0.1, else ::1 or the socket
	request string // \n is a line's end
	each    []string
	want    string            // the answers, in the order that they come; each closes what it must
	wants   map[string]string // in place of each and want: the answers by {it}
	why     string            // that is right, for the document
	run     func(t *testing.T, v *victim) (happened string)
}

// suffers tries attacks on one agent, and sees that nothing has come of them.
func suffers(t *testing.T, attacks []attack) {
	t.Helper()
	v := newVictim(t)
	var all []trial
	for _, a := range attacks {
		all = append(all, trial{a.tried, func(t *testing.T) string { return v.meets(t, a) }})
	}
	runTrials(t, all)
	if end := v.state(t); end != v.begin {
		t.Errorf("it was\n%s\nand is\n%s", v.begin, end)
	}
}

func (v *victim) meets(t *testing.T, a attack) (happened string) {
	t.Helper()
	if a.run != nil {
		return because(a.run(t, v), a.why)
	}
	for it, want := range a.wants {
		v.each(t, a.way, a.request, want, it)
	}
	if a.wants != nil {
		return because(answersSaid(slices.Collect(maps.Values(a.wants))...), a.why)
	}
	return because(v.each(t, a.way, a.request, a.want, append(a.each, "")[:max(1, len(a.each))]...), a.why)
}

// each sends a request once for each {it}, wants it to be answered so, and says
// it.
func (v *victim) each(t *testing.T, way, request, want string, its ...string) (happened string) {
	t.Helper()
	for _, it := range its {
		v.words["it"] = it
		if got := v.send(t, way, request, 1+strings.Count(want, ", ")); got != want {
			t.Errorf("%.200q is answered %s, want %s", it, got, want)
		}
	}
	return answersSaid(want)
}

// all is each for requests that have nothing in common.
func (v *victim) all(t *testing.T, want string, requests ...string) (happened string) {
	t.Helper()
	return v.each(t, "", "{it}", want, requests...)
}
