package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"langkeep/agent/asks"
	"langkeep/agent/clients"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
)

// Asking is the subject of the message that asks about programs; no profile has such a
// name.
const Asking = "programs that ask"

// Confirming is the subject of the message with the code for the control page, as Asking.
const Confirming = "the code for the control page"

// Code is the message with a code for the control page.
func Code(c guard.ShownCode) Message {
	title, text := words.ShownCode(c.Code.Reveal(), c.Program)
	return Message{Subject: Confirming, Title: title, Text: text, Urgent: true, Passing: true}
}

// Weakening is the subject of the message that programs are asked about less, as Asking.
const Weakening = "when programs are asked about"

// Weakened is the message that programs are asked about less.
func Weakened(all []asks.Weakened) Message {
	m := Message{Subject: Weakening, Urgent: true, Buttons: []Button{Open}}
	m.Title, m.Text = words.Weakened(all)
	return m
}

// Adding is the subject of the messages that a control page has added an app, as Asking.
const Adding = "apps that a page adds"

// Added is the message that a control page has added an app.
func Added(c clients.Client, now time.Time) Message {
	m := Message{Subject: Adding, Urgent: true, Buttons: []Button{Open}}
	m.Title, m.Text = words.AddedApp(c.Name, c.Scopes, c.Profiles, c.Expires, now)
	return m
}

// listed is the most questions that a message lists.
const listed = 5

// Ask shows the questions that wait at a desk, as one message, until ctx ends. Those that
// can't be shown, or only without buttons, are dismissed unless a person sees them elsewhere.
func Ask(ctx context.Context, desk *asks.Desk, show func(Message) error, elsewhere func() bool, log *slog.Logger) {
	changes, leave := desk.Attend()
	defer leave()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		}
		if err := show(asked(desk.Open())); err != nil {
			log.Info("a question can't be shown as a notification", "error", err)
			if !elsewhere() {
				desk.Dismiss()
			}
		}
	}
}

// asked is the message for the questions that wait. Its buttons name the questions that it
// shows: another may come before one is pressed.
func asked(all []asks.Question) Message {
	m := Message{Subject: Asking, Urgent: true}
	switch len(all) {
	case 0:
		return Message{Subject: Asking, Over: true}
	case 1:
		q := all[0]
		m.Title, m.Text = words.Program(q.Program)+" asks", words.Asks(q)
		m.Buttons = answers(q)
		return m
	}
	var ids, lines []string
	for i, q := range all {
		ids = append(ids, q.ID)
		if i < listed {
			lines = append(lines, words.Asks(q))
		}
	}
	if more := len(all) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("And %d more.", more))
	}
	m.Title, m.Text = fmt.Sprintf("%d programs ask", len(all)), strings.Join(lines, " ")
	m.Buttons = []Button{does(asks.Once, "Allow all once", ids...), does(asks.Deny, "Deny all", ids...)}
	return m
}

// answers are the buttons for one question.
func answers(q asks.Question) []Button {
	var buttons []Button
	for _, c := range words.Choices(q) {
		label := c.Label
		if c.Answer == q.Proposed {
			label = "Confirm"
		}
		buttons = append(buttons, does(c.Answer, label, q.ID))
	}
	return buttons
}

func does(a asks.Answer, label string, ids ...string) Button {
	return Button{string(a) + " " + strings.Join(ids, " "), label}
}

// Answer does what a button of that message says. A click on its text does nothing: the
// questions have no page.
func Answer(desk *asks.Desk, do string) error {
	if do == Open.Do {
		return nil
	}
	words := strings.Fields(do)
	var errs []error
	for _, id := range words[1:] {
		if err := desk.Answer(id, asks.Answer(words[0])); !errors.Is(err, asks.ErrNoSuch) { // answered elsewhere meanwhile
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
