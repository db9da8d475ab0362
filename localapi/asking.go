package localapi

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"time"

	"langkeep/agent/asks"
	"langkeep/agent/audit"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
)

// mayHave returns nil if the program that sent a request may have a profile's credential:
// a client that the owner made, and a page that the person has confirmed, always; else as
// the person says, whom it asks where the settings say so.
func (s *Server) mayHave(r *http.Request, caller *guard.Caller, profile string, want asks.Want) error {
	if !caller.Owner && !caller.Page || caller.Confirmed {
		return nil
	}
	ask, err := s.Agent.AskOf(profile)
	if err != nil {
		return err
	}
	mode := asks.Mode(cmp.Or(ask, s.Settings.Get().Ask))
	switch {
	case mode == "" || mode == asks.ModeNever:
		return nil
	case caller.Page:
		return unconfirmed()
	}
	if err := s.Agent.LockedError(profile); err != nil {
		return err // nobody is asked for what would be refused, least of all before a locked screen
	}
	wish := asks.Wish{Program: guard.FindProgram(r), Profile: profile, Want: want}
	err = s.Asks.Ask(r.Context(), asks.Request{Mode: mode, Wish: wish})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, asks.ErrDenied), errors.Is(err, asks.ErrNobody), errors.Is(err, asks.ErrTooMany):
		problem := client.NewProblem(client.TypeNotAllowedYet, words.NotAllowed(err, wish))
		problem.Words = words.Sentence(problem.Detail)
		return problem
	}
	return err
}

// noteAnswer notes a person's answer, wherever they gave it.
func (s *Server) noteAnswer(w asks.Wish, a asks.Answer) {
	s.Audit.Note(audit.Use{
		Client: "owner", Profile: audit.Text(w.Profile), What: "answer: " + string(a) + ", " + string(w.Want),
		About: audit.Text(strings.TrimSpace(w.Program.Exe + " " + w.Program.Script)),
	}, nil)
}

// listAsks answers with the questions that wait for a person, and what is remembered.
func (s *Server) listAsks(w http.ResponseWriter, _ *http.Request, _ *guard.Caller, _ string) error {
	list, err := s.asking()
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, list)
}

// asking are the questions and the answers. With an error it has the questions alone.
func (s *Server) asking() (client.Asks, error) {
	list := client.Asks{Asks: []client.Question{}, Answers: []client.Remembered{}} // never null
	for _, q := range s.Asks.Open() {
		question := client.Question{
			ID: q.ID, Program: known(q.Program.Exe), Script: known(q.Program.Script), Terminal: q.Program.Terminal, Profile: q.Profile,
			Want: string(q.Want), Until: *moment(q.Until), Proposed: known(string(q.Proposed)), Words: words.Asks(q),
		}
		for _, c := range words.Choices(q) {
			question.Choices = append(question.Choices, client.Choice{Answer: string(c.Answer), Label: c.Label})
		}
		list.Asks = append(list.Asks, question)
	}
	remembered, err := s.Asks.Remembered()
	for _, a := range remembered {
		list.Answers = append(list.Answers, client.Remembered{
			Program: a.Program, Script: known(a.Script), Profile: a.Profile, Want: string(a.Want), Answer: string(a.Answer), Until: moment(a.Until), Words: words.Remembered(a),
		})
	}
	return list, err
}

// confirmTime is longer than a question waits for its answer.
const confirmTime = 90 * time.Second

// answerAsk takes an answer. A no is in force at once, and so is every answer of a page
// that the person has confirmed. A command's waits until the person has confirmed it on the
// desktop, since every program of theirs can run a command.
func (s *Server) answerAsk(w http.ResponseWriter, r *http.Request, caller *guard.Caller, id string) error {
	var body client.AskAnswer
	if err := read(r, &body); err != nil {
		return err
	}
	a := asks.Answer(body.Answer)
	var err error
	switch a {
	case asks.Deny, asks.AlwaysDeny:
		err = s.Asks.Answer(id, a)
	case asks.Once, asks.InSession, asks.AlwaysAllow:
		switch {
		case caller.Confirmed:
			err = s.Asks.Answer(id, a)
		case caller.Page:
			err = unconfirmed()
		default:
			err = s.propose(w, r, id, a)
		}
	default:
		return client.NewProblem(client.TypeBadRequest, "answer must be once, session, always, deny or deny-always")
	}
	switch {
	case errors.Is(err, asks.ErrNoSuch):
		return client.NewProblem(client.TypeNotFound, "there is no question "+id+": it was answered, or is over")
	case errors.Is(err, asks.ErrProposed):
		return client.NewProblem(client.TypeNotAllowedYet, "the answer to question "+id+" was not confirmed on the desktop")
	case err != nil:
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// propose has the person confirm an answer, and waits for that.
func (s *Server) propose(w http.ResponseWriter, r *http.Request, id string, a asks.Answer) error {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(confirmTime)) // a failure shows in the answer
	return s.Asks.Propose(r.Context(), id, a)
}

// forgetAnswers takes back what was allowed to ?program=, or to all. A no is the person's
// shield against a program that asks again and again, so only a page that the person has
// confirmed takes it back.
func (s *Server) forgetAnswers(w http.ResponseWriter, r *http.Request, caller *guard.Caller, _ string) error {
	program := r.URL.Query().Get("program")
	n, err := s.Asks.Forget(program, caller.Confirmed)
	if err != nil {
		return err
	}
	if n == 0 && program != "" { // most likely misspelt
		return client.NewProblem(client.TypeNotFound, "nothing is allowed to "+program+": langkeep asks lists what is")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
