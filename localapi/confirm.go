package localapi

import (
	"cmp"
	"errors"
	"net/http"
	"slices"

	"langkeep/agent"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/proof"
)

// Every program of the person's can call langkeep open and use the page that it opens. So a
// page speaks for the person, as the tray does, only after they have typed into it a code
// that the desktop has shown them.

// unconfirmed is the problem of a page that does not speak for the person.
func unconfirmed() *client.Problem {
	p := client.NewProblem(client.TypeNotAllowedYet, "the person has not confirmed this page: POST /v1/page/confirm/code shows them a code for it")
	p.Words = "Confirm this page first, with the code that Langkeep shows you."
	return p
}

// confirmCode has the desktop show the person a code for the page that asks. The answer
// does not have it.
func (s *Server) confirmCode(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	token, err := ofPage(r)
	if err != nil {
		return err
	}
	if err := s.Pages.ShowCode(token, guard.FindProgram(r)); err != nil {
		return s.confirmProblem(err)
	}
	return answer(w, http.StatusCreated, client.ShownCode{ExpiresIn: wholeSeconds(guard.ShownLifetime)})
}

// confirm gives a page that has the code a token that speaks for the person.
func (s *Server) confirm(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	var body client.PageConfirm
	if err := read(r, &body); err != nil {
		return err
	}
	token, err := ofPage(r)
	if err != nil {
		return err
	}
	confirmed, err := s.Pages.Confirm(token, body.Code)
	if err != nil {
		return s.confirmProblem(err)
	}
	s.Log.Info("the person has confirmed a control page")
	return answerPage(w, confirmed)
}

// ofPage returns the token of the page that has sealed a request.
func ofPage(r *http.Request) (proof.Secret, error) {
	if token, ok := r.Context().Value(sealedKey{}).(proof.Secret); ok {
		return token, nil
	}
	return proof.Secret{}, client.NewProblem(client.TypeNotSupported, "only the control page asks for this, sealed: run langkeep open")
}

func (s *Server) confirmProblem(err error) error {
	var paused guard.ErrPaused
	var p *client.Problem
	switch {
	case errors.As(err, &paused):
		p = client.NewProblem(client.TypeTooManyRequests, "too many wrong codes: wait, or answer on the desktop")
		p.RetryAfter = new(wholeSeconds(paused.For) + 1)
		p.Words = "Too many wrong codes. Wait ten minutes, or answer in the notification or the tray's menu."
	case errors.Is(err, guard.ErrWrongCode):
		p = client.NewProblem(client.TypeForbidden, "this is not the code that is shown: type it again")
		p.Words = "This is not the code that is shown. Type it again."
	case errors.Is(err, guard.ErrNoShownCode):
		p = client.NewProblem(client.TypeConflict, "no code is shown for this page by now: have another one shown")
		p.Words = "That code is over. Have another one shown."
	case errors.Is(err, guard.ErrNoScreen):
		s.Log.Info("a code can't be shown", "reason", err)
		p = client.NewProblem(client.TypeNotSupported, "nothing here can show you a code: write the programs that may have something into "+s.answersFile())
		p.Words = "No desktop here can show you a code. Write the programs that may have something into " + s.answersFile() + "."
	default:
		return err
	}
	return p
}

// putAsks puts what programs ask on the page's stream.
func (s *Server) putAsks(out *eventWriter, confirmed bool) {
	list, err := s.asking()
	if err != nil {
		list.Answers = []client.Remembered{} // GET /v1/asks says why
	}
	page := client.PageAsks{Confirmed: confirmed, Asks: list}
	if s.asksSomewhere() && !confirmed && !s.Pages.HasScreen() {
		page.Advice = new("A program that wants a credential is refused, since no desktop here can ask you. Write those that may have one into " + s.answersFile() + ".")
	}
	out.put("asking", "", page)
}

// answersFile is where a person without a desktop writes their answers.
func (s *Server) answersFile() string { return cmp.Or(s.Asks.File, "allowed.json") }

// asksSomewhere tells whether a program is asked about anywhere.
func (s *Server) asksSomewhere() bool {
	all := s.Settings.Get().Ask
	on := func(ask string) bool { return ask != "" && ask != vocabulary.AskNever }
	return on(all) || slices.ContainsFunc(s.Agent.Profiles(), func(p agent.Snapshot) bool { return on(p.Ask) })
}

// attend has questions wait for a page that speaks for the person, until leave.
func (s *Server) attend(caller *guard.Caller) (leave func()) {
	s.shown.Add(1)
	if !caller.Confirmed {
		return func() { s.shown.Add(-1) }
	}
	_, left := s.Asks.Attend()
	s.attending.Add(1)
	return func() {
		left()
		s.attending.Add(-1)
		s.shown.Add(-1)
	}
}

// PageShown tells whether a control page is open.
func (s *Server) PageShown() bool { return s.shown.Load() > 0 }

// PageAnswers tells whether a page that speaks for the person is open.
func (s *Server) PageAnswers() bool { return s.attending.Load() > 0 }
