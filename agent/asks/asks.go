// Package asks asks the person whether a program may have a credential, and remembers the
// answers. It knows neither how a program is found nor how a person is asked: requests
// bring the first, and a Desk's Open and Answer are for what does the second.
package asks

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/vocabulary"
)

// Mode says when a program is asked about.
type Mode string

// The modes.
const (
	ModeNever  Mode = vocabulary.AskNever
	ModeNew    Mode = vocabulary.AskNew
	ModeAlways Mode = vocabulary.AskAlways
)

// Want is what a program wants.
type Want string

// The wants.
const (
	Token  Want = "token"
	Key    Want = "key"
	Lease  Want = "lease"  // a token of its own for as long as it runs
	Client Want = "client" // one for later
)

// Program is who asks; the zero Program can't be told.
type Program struct {
	Exe    string // the path of its file
	Script string // the path of the script that it runs, for an interpreter
	// Session is the terminal or desktop session that it belongs to, as Config.Alive knows
	// it; "" is not known.
	Session  string
	Terminal bool // the session is a terminal
}

func (p Program) known() bool { return p.Exe != "" }

// Wish is what a program wants.
type Wish struct {
	Program Program
	Profile string
	Want    Want
}

// Request is a wish, and when to ask about it.
type Request struct {
	Mode Mode
	Wish
}

// Answer is the person's.
type Answer string

// The answers.
const (
	Once        Answer = "once"
	InSession   Answer = "session" // until the program's terminal or session ends, 12 h at most
	AlwaysAllow Answer = "always"
	Deny        Answer = "deny" // and don't ask about it for 10 min
	AlwaysDeny  Answer = "deny-always"
)

func (a Answer) allows() bool { return a == Once || a == InSession || a == AlwaysAllow }

const (
	patience = time.Minute      // how long a question waits for an answer
	quiet    = 10 * time.Minute // after a no
	longest  = 12 * time.Hour   // of an answer for a session
	most     = 100              // questions at a time; further ones are refused
)

// The errors of Ask.
var (
	ErrDenied   = errors.New("the person has denied it")
	ErrNobody   = errors.New("nobody has allowed it")
	ErrTooMany  = errors.New("too many programs ask")
	ErrNoSuch   = errors.New("there is no such question: it was answered, or is over")
	ErrProposed = errors.New("nobody has confirmed the answer")
)

// Question is one that waits for an answer.
type Question struct {
	ID string
	Wish
	Until    time.Time
	Proposed Answer // by a command in a terminal, for the person to confirm; "" is none
}

// question is a Question with those who wait for its answer.
type question struct {
	Question
	waiting  int           // who waits for the answer
	answered chan struct{} // closed with the answer, or without one at the end
	answer   Answer        // "" if there was none
}

// subject is what an answer is about.
type subject struct {
	exe, script, profile string
	want                 Want
}

func (w Wish) subject() subject { return subject{w.Program.Exe, w.Program.Script, w.Profile, w.Want} }

// inSession is an answer for a terminal or session.
type inSession struct {
	subject
	session string
}

// Config is what a Desk is made from.
type Config struct {
	Clock clock.Clock
	Log   *slog.Logger
	// File keeps the answers for ever; "" keeps them in memory.
	File string
	// Alive tells whether a Program's session goes on.
	Alive func(session string) bool
	// Answered, if it is not nil, is told each answer of a person. It must not wait.
	Answered func(Wish, Answer)
}

// Desk is where programs wait for a person's answer. Nobody is asked before Attend.
type Desk struct {
	Config

	mu        sync.Mutex // protects the following
	last      int
	questions []*question
	sessions  map[inSession]time.Duration // clock.Elapsed when each ends
	denied    map[subject]time.Duration   // the same
	once      map[subject]time.Duration   // answers whose askers had left, the same
	kept      file
	attending map[chan struct{}]struct{} // whoever can ask a person; each receives after a change
}

// New makes a desk.
func New(c Config) *Desk {
	return &Desk{
		Config: c, sessions: map[inSession]time.Duration{}, denied: map[subject]time.Duration{}, once: map[subject]time.Duration{},
		kept: file{path: c.File}, attending: map[chan struct{}]struct{}{},
	}
}

// Attend says that a person can be asked from now on: something shows the questions. It
// returns a channel that receives after they have changed, and the end of it.
func (d *Desk) Attend() (changes <-chan struct{}, leave func()) {
	changed := make(chan struct{}, 1)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.attending[changed] = struct{}{}
	return changed, sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.attending, changed)
	})
}

func (d *Desk) changedLocked() {
	for c := range d.attending {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Ask returns nil if the program may have what it wants, perhaps after the person has
// said so. The error is ErrDenied, ErrNobody, ErrTooMany, the kept answers' file's or
// ctx's.
func (d *Desk) Ask(ctx context.Context, r Request) error {
	if r.Mode == ModeNever || r.Mode == "" {
		return nil
	}
	q, err := d.ask(r)
	if q == nil {
		return err
	}
	select {
	case <-q.answered:
	case <-ctx.Done():
		d.mu.Lock()
		defer d.mu.Unlock()
		q.waiting-- // the question stays: the program may ask again
		return ctx.Err()
	}
	switch {
	case q.answer.allows():
		return nil
	case q.answer == "":
		return ErrNobody
	}
	return ErrDenied
}

// ask answers from memory, or returns the question to wait for.
func (d *Desk) ask(r Request) (*question, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	subject, now := r.subject(), d.Clock.Elapsed()
	if r.Program.known() {
		if d.denied[subject] > now {
			return nil, ErrDenied
		}
		kept, err := d.kept.answer(subject)
		if err != nil {
			return nil, err
		}
		switch {
		case kept == AlwaysDeny:
			return nil, ErrDenied
		case d.once[subject] > now:
			delete(d.once, subject)
			return nil, nil
		case r.Mode == ModeNew && (kept == AlwaysAllow || d.sessions[inSession{subject, r.Program.Session}] > now && d.Alive(r.Program.Session)):
			return nil, nil
		}
	}
	for _, q := range d.questions {
		if q.Wish == r.Wish && (q.waiting == 0 || r.Mode == ModeNew && r.Program.known()) {
			q.waiting++
			return q, nil
		}
	}
	switch {
	case len(d.attending) == 0:
		return nil, ErrNobody
	case len(d.questions) >= most:
		return nil, ErrTooMany
	}
	d.last++
	q := &question{waiting: 1, answered: make(chan struct{}), Question: Question{
		ID: strconv.Itoa(d.last), Wish: r.Wish, Until: d.Clock.Now().Add(patience),
	}}
	d.questions = append(d.questions, q)
	time.AfterFunc(patience, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.endLocked(q, "")
	})
	d.Log.Info("a program asks", "exe", r.Program.Exe, "script", r.Program.Script, "profile", r.Profile, "want", r.Want)
	d.changedLocked()
	return q, nil
}

// endLocked answers a question, unless it is over.
func (d *Desk) endLocked(q *question, a Answer) {
	i := slices.Index(d.questions, q)
	if i < 0 {
		return
	}
	d.questions = slices.Delete(d.questions, i, i+1)
	q.answer = a
	close(q.answered)
	d.changedLocked()
}

// Open are the questions that wait for an answer, the oldest first.
func (d *Desk) Open() []Question {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Question
	for _, q := range d.questions {
		all = append(all, q.Question)
	}
	return all
}

// Answer gives a person's answer. An answer for ever that can't be written down is an
// error, and answers nothing.
func (d *Desk) Answer(id string, a Answer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.findLocked(id)
	if q == nil {
		return ErrNoSuch
	}
	subject, now := q.subject(), d.Clock.Elapsed()
	if q.Program.known() {
		switch a {
		case Once:
			if q.waiting == 0 {
				d.once[subject] = now + patience
			}
		case InSession:
			if q.Program.Session != "" {
				d.sessions[inSession{subject, q.Program.Session}] = now + longest
			}
		case Deny:
			d.denied[subject] = now + quiet
		case AlwaysAllow, AlwaysDeny:
			if err := d.kept.put(subject, a, d.Clock.Now()); err != nil {
				return err
			}
		}
	}
	d.Log.Info("a person has answered", "exe", q.Program.Exe, "profile", q.Profile, "want", q.Want, "answer", a)
	if d.Answered != nil {
		d.Answered(q.Wish, a)
	}
	d.endLocked(q, a)
	return nil
}

// Dismiss ends all questions without an answer: they can't be shown.
func (d *Desk) Dismiss() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.questions) > 0 {
		d.endLocked(d.questions[0], "")
	}
}

// Propose has the person confirm an answer that a command has given, and waits for that.
func (d *Desk) Propose(ctx context.Context, id string, a Answer) error {
	d.mu.Lock()
	q := d.findLocked(id)
	if q != nil {
		q.Proposed = a
		d.changedLocked()
	}
	d.mu.Unlock()
	if q == nil {
		return ErrNoSuch
	}
	select {
	case <-q.answered:
	case <-ctx.Done():
		return ctx.Err()
	}
	if q.answer == a || q.answer.allows() && a.allows() {
		return nil
	}
	return ErrProposed
}

func (d *Desk) findLocked(id string) *question {
	i := slices.IndexFunc(d.questions, func(q *question) bool { return q.ID == id })
	if i < 0 {
		return nil
	}
	return d.questions[i]
}

// Remembered is an answer that is still good.
type Remembered struct {
	Program, Script, Profile string
	Want                     Want
	Answer                   Answer
	Session                  string    // for InSession
	Until                    time.Time // zero: until it is taken back
}

// Remembered are the answers that still count, by program.
func (d *Desk) Remembered() ([]Remembered, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all, err := d.kept.all()
	if err != nil {
		return nil, err
	}
	now := d.Clock.Elapsed()
	at := func(end time.Duration) time.Time { return d.Clock.Now().Add(end - now).Truncate(time.Second) }
	maps.DeleteFunc(d.sessions, func(s inSession, end time.Duration) bool { return end <= now || !d.Alive(s.session) })
	maps.DeleteFunc(d.denied, func(_ subject, end time.Duration) bool { return end <= now })
	for s, end := range d.sessions {
		all = append(all, Remembered{s.exe, s.script, s.profile, s.want, InSession, s.session, at(end)})
	}
	for s, end := range d.denied {
		all = append(all, Remembered{s.exe, s.script, s.profile, s.want, Deny, "", at(end)})
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		return cmp.Or(cmp.Compare(a.Program, b.Program), cmp.Compare(a.Script, b.Script), cmp.Compare(a.Profile, b.Profile),
			cmp.Compare(a.Want, b.Want), cmp.Compare(a.Answer, b.Answer), cmp.Compare(a.Session, b.Session)) < 0
	})
	return all, nil
}

// Forget takes back what was allowed to a program's file, or to everything with "", and
// with noes what was denied too. It returns the number of answers.
func (d *Desk) Forget(program string, noes bool) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.kept.forget(program, noes)
	if err != nil {
		return 0, err
	}
	before := len(d.sessions) + len(d.once) + len(d.denied)
	maps.DeleteFunc(d.sessions, func(s inSession, _ time.Duration) bool { return program == "" || s.exe == program })
	maps.DeleteFunc(d.once, func(s subject, _ time.Duration) bool { return program == "" || s.exe == program })
	maps.DeleteFunc(d.denied, func(s subject, _ time.Duration) bool { return noes && (program == "" || s.exe == program) })
	return n + before - len(d.sessions) - len(d.once) - len(d.denied), nil
}
