package words

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"langkeep/agent/asks"
)

// wanted are the wants in words.
var wanted = map[asks.Want]string{
	asks.Token: "an access token", asks.Key: "an API key", asks.Lease: "to use the account while it runs", asks.Client: "a token of its own for later",
}

// Program names a program that asks: its script, or its file.
func Program(p asks.Program) string {
	switch {
	case p.Exe == "":
		return "A program that can't be told"
	case p.Script != "":
		return Safe(filepath.Base(p.Script))
	}
	return Safe(filepath.Base(p.Exe))
}

// Asks is a question as a sentence.
func Asks(q asks.Question) string {
	who := Program(q.Program)
	switch {
	case q.Program.Terminal:
		who += ", in a terminal,"
	case q.Program.Script != "":
		who += " (" + Safe(filepath.Base(q.Program.Exe)) + ")"
	}
	said := fmt.Sprintf("%s wants %s for %s.", who, wanted[q.Want], Safe(q.Profile))
	if q.Proposed != "" {
		said += fmt.Sprintf(" A command says %q: confirm it.", q.Proposed)
	}
	return said
}

// Choice is an answer that a person is offered.
type Choice struct {
	Answer asks.Answer
	Label  string
}

// Choices are the answers to a question: those that would count, or the one that a command
// has proposed, and a no.
func Choices(q asks.Question) []Choice {
	inSession := "Allow in this session"
	if q.Program.Terminal {
		inSession = "Allow in this terminal"
	}
	all := []Choice{{asks.Once, "Allow once"}, {asks.InSession, inSession}, {asks.AlwaysAllow, "Always"}, {asks.Deny, "Deny"}}
	return slices.DeleteFunc(all, func(c Choice) bool {
		switch {
		case c.Answer == asks.Deny:
			return false
		case q.Proposed != "":
			return c.Answer != q.Proposed
		}
		return q.Program.Exe == "" && c.Answer != asks.Once // no other would count a second time
	})
}

// Remembered is an answer that still counts, as a sentence.
func Remembered(a asks.Remembered) string {
	verb := "may have"
	if a.Answer == asks.Deny || a.Answer == asks.AlwaysDeny {
		verb = "is denied"
	}
	return fmt.Sprintf("%s %s %s for %s.", Program(asks.Program{Exe: a.Program, Script: a.Script}), verb, wanted[a.Want], Safe(a.Profile))
}

// ShownCode is what a person reads beside a code: its title, and a text.
func ShownCode(code string, p asks.Program) (title, text string) {
	page := "the control page that you have open"
	if p.Exe != "" {
		page = "the control page in " + Program(p)
	}
	return "Code for the control page: " + code[:len(code)/2] + " " + code[len(code)/2:],
		"Type it into " + page + ", and nowhere else: it lets that page answer programs and add apps for you. If you have not asked for it, a program has: let it be."
}

// Weakened says that programs are asked about less: a title, and a text.
func Weakened(all []asks.Weakened) (title, text string) {
	for _, w := range all {
		of := "all profiles"
		if w.Profile != "" {
			of = Safe(w.Profile)
		}
		text += fmt.Sprintf("For %s: %s, was %s. ", of, w.Is, w.Was)
	}
	return "Programs are asked about less", text + "If you have not changed the settings, a program has: langkeep audit says when."
}

// AddedApp says that a control page has added a client: a title, and a text.
func AddedApp(name string, scopes, profiles []string, ends, now time.Time) (title, text string) {
	return "App added: " + Safe(name), fmt.Sprintf("It may %s, of %s, until %s. If you have not added it on the control page, a program has: revoke it under Apps.",
		May(scopes), Safe(strings.Join(profiles, ", ")), Clock(ends, now))
}

// NotAllowed says why a program gets nothing: lower case, with what to do.
func NotAllowed(err error, r asks.Wish) string {
	who := lowerArticle(Program(r.Program))
	switch {
	case errors.Is(err, asks.ErrDenied):
		return fmt.Sprintf("profile %q: you have denied %s %s: langkeep asks lists what you have answered", r.Profile, who, wanted[r.Want])
	case errors.Is(err, asks.ErrTooMany):
		return fmt.Sprintf("profile %q: too many programs ask at once: answer them, and let %s ask again", r.Profile, who)
	}
	return fmt.Sprintf("profile %q: nobody has allowed %s %s: answer the notification, or turn asking off", r.Profile, who, wanted[r.Want])
}
