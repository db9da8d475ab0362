package words

import (
	"errors"
	"fmt"
	"path/filepath"

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

// NotAllowed says why a program gets nothing: lower case, with what to do.
func NotAllowed(err error, r asks.Request) string {
	who := Program(r.Program)
	if r.Program.Exe == "" {
		who = "a program that can't be told"
	}
	switch {
	case errors.Is(err, asks.ErrDenied):
		return fmt.Sprintf("profile %q: you have denied %s %s: langkeep asks lists what you have answered", r.Profile, who, wanted[r.Want])
	case errors.Is(err, asks.ErrTooMany):
		return fmt.Sprintf("profile %q: too many programs ask at once: answer them, and let %s ask again", r.Profile, who)
	}
	return fmt.Sprintf("profile %q: nobody has allowed %s %s: answer the notification, or turn asking off", r.Profile, who, wanted[r.Want])
}
