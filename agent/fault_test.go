package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/vocabulary"
	"langkeep/assets/casebook"
)

// fault is a row of docs/faults.md: something goes wrong around a session, and has an
// effect.
type fault struct {
	what    string
	server  langflowtest.Options
	signIn  func(f *faulty) // nil: with a password, which is not remembered
	happens func(f *faulty) // from its beginning to its end, which takes its time
	signsIn [2]string       // the name and password with which a person can repair it; "": the same as before
	after   func(f *faulty) // what else must be so once all is well; may be nil
	want    outcome
}

// outcome is what a fault comes to.
type outcome struct {
	shown string // states but a plain fresh, in the order in which they first come
	ends  string // the exit codes of `langkeep token`, likewise
	lost  string
	heals time.Duration // how long after its end at most; 0: it is never ill; aPerson: not by itself
	asked time.Duration // the same while something asks for a token, if that is sooner
}

const aPerson time.Duration = -1

// The losses.
const (
	nothing     = "nothing"
	silently    = "; it signs in by itself"
	theSession  = "the session"
	thePassword = "the remembered password, till a sign-in"
	deadTokens  = "the server refuses the tokens that are given out before the next refresh"
)

// faulty is a rig to which a fault happens.
type faulty struct {
	*rig
	asleep atomic.Int64 // how long the computer has slept, which no timer noticed
	asks   bool         // a program asks for a token every minute

	ca      *langflowtest.Authority         // of the server, if it speaks TLS
	cert    atomic.Pointer[tls.Certificate] // that it has now
	dial    atomic.Pointer[dialFault]       // instead of a connection; nil is none
	http2   *pipeListener                   // of a gateway that speaks HTTP/2; nil: HTTP/1
	silence atomic.Pointer[atomic.Bool]     // of the connections that there are to that gateway

	codes   []string // that `langkeep token` ended with
	refused bool     // the server would not have taken one of those tokens

	mu    sync.Mutex // protects the following
	seen  []string   // states and reasons
	leave context.CancelFunc
	gone  sync.WaitGroup
}

const prod = "prod" // the one profile

// exitCodes are those of cmd/langkeep for the kinds of error that a reader can
// get; TestFaultsOfLangflow there sees the program end with them.
var exitCodes = map[ErrorKind]string{SigningInRequired: "3", ServerUnreachable: "4", KeychainBlocked: "6"}

// read asks for a token as `langkeep token` does.
func (f *faulty) read() error {
	f.t.Helper()
	grant, err := f.Token(f.t.Context(), prod, AnyLifetime)
	code := "0"
	if e := new(Error); errors.As(err, &e) {
		code = exitCodes[e.Kind]
	} else if err != nil {
		f.t.Fatal(err)
	}
	if code == "" {
		f.t.Fatalf("a reader got %v", err)
	}
	if !slices.Contains(f.codes, code) {
		f.codes = append(f.codes, code)
	}
	if err == nil && !f.server.Accepts(grant.Token) {
		f.refused = true
	}
	return err
}

// pass lets time go by.
func (f *faulty) pass(d time.Duration) {
	f.t.Helper()
	if !f.asks {
		time.Sleep(d)
		return
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		_ = f.read()
		time.Sleep(min(time.Minute, time.Until(end)))
	}
}

// suspend is a sleep of the computer, in which its timers stand still.
func (f *faulty) suspend(d time.Duration) {
	f.asleep.Add(int64(d))
	f.clock.Jump(d)
}

// watch begins to note the states that are shown.
func (f *faulty) watch() {
	synctest.Wait()
	changes, agent := f.Subscribe(), f.Agent
	ctx, cancel := context.WithCancel(context.Background())
	f.leave = func() {
		cancel()
		f.gone.Wait()
		agent.Unsubscribe(changes)
	}
	f.gone.Go(func() {
		for {
			select {
			case <-changes.Ready():
			case <-ctx.Done():
				return
			}
			f.mu.Lock()
			for _, e := range changes.Take() {
				shown := "`" + string(e.State) + "`"
				if e.Reason != "" {
					shown += " " + e.Reason
				}
				if e.State != Fresh && !slices.Contains(f.seen, shown) {
					f.seen = append(f.seen, shown)
				}
			}
			f.mu.Unlock()
		}
	})
}

// restarted starts the agent again.
func (f *faulty) restarted() {
	f.leave()
	f.restart()
	f.watch()
}

// well tells whether the session is as it should be.
func (f *faulty) well() bool {
	synctest.Wait()
	snap, held := f.snapshot(f.all()[prod]), f.all()[prod].known.Load().pair.Access
	return snap.State == Fresh && snap.Reason == "" && f.server.Accepts(held)
}

// silent counts the sign-ins that nobody asked for.
func (f *faulty) silent() int {
	n := -1 // the first
	for _, q := range f.server.Requests() {
		if (q.Path == "/login" || q.Path == "/auto_login") && q.Status == http.StatusOK {
			n++
		}
	}
	return n
}

// healed waits until all is well, and returns how long that took; aPerson if it
// did not come by itself.
func (f *faulty) healed(limit time.Duration) time.Duration {
	f.t.Helper()
	if limit == aPerson {
		limit = long
	}
	step := max(time.Second, limit/100)
	for begin := time.Now(); time.Since(begin) <= limit+slack; time.Sleep(step) {
		if (!f.asks || f.read() == nil) && f.well() {
			return time.Since(begin)
		}
	}
	return aPerson
}

// run has the fault happen and returns what came of it.
func (c fault) run(t *testing.T, asks bool) outcome {
	t.Helper()
	got := outcome{}
	f := &faulty{asks: asks}
	o := c.server
	o.Now = func() time.Time { return time.Now().Add(time.Duration(f.asleep.Load())) }
	bubble(t, o, func(r *rig) {
		f.rig = r
		r.halt()
		r.way = f.pipes
		r.keysFile = filepath.Join(r.dir, "keys.json")
		r.start()
		if c.signIn != nil {
			c.signIn(f)
		} else {
			r.signIn(prod, false)
		}
		time.Sleep(10*time.Minute + 7*time.Second)
		f.watch()
		c.happens(f)
		took := f.healed(c.want.limit(asks))
		f.leave()
		got.ends, got.heals = strings.Join(f.codes, ", then "), took
		if len(f.seen) > 1 { // till the first attempt there is no reason yet
			f.seen = slices.DeleteFunc(f.seen, func(shown string) bool { return shown == "`stale`" })
		}
		got.shown = strings.Join(f.seen, ", then ")
		if got.shown == "" {
			got.shown = "`fresh`"
		}
		var lost []string
		if took == aPerson {
			lost = append(lost, theSession)
		}
		if item, err := r.store.Get(r.t.Context(), "prod/password"); err == nil && !item.ExpiresAt.IsZero() {
			lost = append(lost, thePassword)
		}
		if f.refused {
			lost = append(lost, deadTokens)
		}
		if lost == nil {
			lost = append(lost, nothing)
		}
		got.lost = strings.Join(lost, "; ")
		if f.silent() > 0 {
			got.lost += silently
		}
		if took == aPerson {
			admin := langflowtest.Admin()
			name, password := admin.Name, admin.Password
			if c.signsIn[0] != "" {
				name, password = c.signsIn[0], c.signsIn[1]
			}
			if err := r.logIn(r.t.Context(), prod, name, password); err != nil {
				t.Errorf("a person could not sign in again: %v", err)
			}
		}
		before := f.silent()
		time.Sleep(2 * time.Hour)
		r.mustToken(prod)
		if s := r.is(prod, Fresh); s.Reason != "" || !s.Saved || !s.FailingSince.IsZero() {
			t.Errorf("afterwards: %+v", s)
		}
		if n := f.silent() - before; n != 0 {
			t.Errorf("%d more sign-ins afterwards", n)
		}
		if c.after != nil {
			c.after(f)
		}
	})
	return got
}

// tryFaults has each fault happen, with nobody asking for a token and with
// somebody who does, and compares the document with what came of them.
func tryFaults(t *testing.T, name string, faults []fault, more ...[]string) {
	var rows [][]string
	for _, c := range faults {
		t.Run(c.what, func(t *testing.T) {
			got := c.run(t, false)
			if got.shown != c.want.shown {
				t.Errorf("it shows %s, want %s", got.shown, c.want.shown)
			}
			c.inTime(t, got, c.want.limit(false))
			got = c.run(t, true)
			if got.ends != c.want.ends || got.lost != c.want.lost {
				t.Errorf("a reader's exit codes are %s, want %s; lost is %s, want %s", got.ends, c.want.ends, got.lost, c.want.lost)
			}
			c.inTime(t, got, c.want.limit(true))
		})
		rows = append(rows, []string{c.what, c.want.shown, c.want.ends, c.want.lost, c.want.healing()})
	}
	casebook.Table(t, "docs/faults.md", name+" in agent",
		[]string{"what goes wrong", "state, reason", "`langkeep token` ends with", "what is lost", "when it heals"}, append(rows, more...))
}

// inTime checks how long it took to be well again.
func (c fault) inTime(t *testing.T, got outcome, limit time.Duration) {
	t.Helper()
	if (got.heals == aPerson) != (limit == aPerson) || got.heals > max(limit, 0)+slack {
		t.Errorf("it was well again after %v, want %v", got.heals, limit)
	}
	if limit == 0 && got.shown != "`fresh`" {
		t.Errorf("it showed %s, so there was something to heal", got.shown)
	}
}

// limit is how long it may take.
func (o outcome) limit(asks bool) time.Duration {
	if asks && o.asked > 0 {
		return o.asked
	}
	return o.heals
}

// healing is the cell that tells when it heals.
func (o outcome) healing() string {
	switch {
	case o.heals == aPerson:
		return "with a sign-in"
	case o.heals == 0:
		return "nothing to heal"
	case o.asked > 0:
		return "in " + span(o.heals) + "; in " + span(o.asked) + " where something asks"
	}
	return "in " + span(o.heals)
}

// span is a time in words.
func span(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// dialFault is why there is no connection, told after some time.
type dialFault struct {
	after time.Duration
	err   error
}

// pipes is the way to the stand-in as it is to real servers, with a name to
// look up, but for the sockets; and with TLS if it has a certificate.
func (f *faulty) pipes(ca []byte) (http.RoundTripper, error) {
	t, err := langflow.NewTransport(ca)
	if err != nil {
		return nil, err
	}
	straight := f.server.RoundTripper().(*http.Transport).DialContext
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if fault := f.dial.Load(); fault != nil {
			time.Sleep(fault.after)
			return nil, &net.OpError{Op: "dial", Net: network, Err: fault.err}
		}
		there, err := straight(ctx, network, address)
		if err != nil || f.ca == nil {
			return there, err
		}
		here, outside := net.Pipe()
		if f.http2 != nil {
			_ = there.Close() // the gateway asks the stand-in itself
			f.http2.conns <- &silenced{newBuffered(outside), f.silence.Load()}
			return here, nil
		}
		go f.endTLS(newBuffered(outside), there)
		return here, nil
	}
	t.Proxy, t.DialContext = nil, dial
	if f.ca == nil {
		t.DialTLSContext = dial
	}
	return t, nil
}

// endTLS stands before the stand-in as a TLS gateway does.
func (f *faulty) endTLS(outside, inside net.Conn) {
	conn := tls.Server(outside, &tls.Config{Certificates: []tls.Certificate{*f.cert.Load()}})
	go func() {
		_, _ = io.Copy(conn, inside)
		_ = conn.Close()
	}()
	_, _ = io.Copy(inside, conn)
	_, _ = inside.Close(), conn.Close()
}

// buffered is a connection whose writes wait for nobody, as those to a socket:
// a client that distrusts a certificate says so in the middle of the server's
// own words.
type buffered struct {
	net.Conn
	out    chan []byte
	closed context.Context
	close  context.CancelFunc
}

func newBuffered(c net.Conn) *buffered {
	b := &buffered{Conn: c, out: make(chan []byte, 64)}
	b.closed, b.close = context.WithCancel(context.Background())
	go func() {
		for {
			select {
			case p := <-b.out:
				_, _ = c.Write(p)
			case <-b.closed.Done():
				return
			}
		}
	}()
	return b
}

// Write implements net.Conn.
func (b *buffered) Write(p []byte) (int, error) {
	select {
	case b.out <- slices.Clone(p):
		return len(p), nil
	case <-b.closed.Done():
		return 0, net.ErrClosed
	}
}

// Close implements net.Conn.
func (b *buffered) Close() error {
	b.close()
	return b.Conn.Close()
}

// silenced is a connection whose packets are dropped from some time on, without a
// word to either side.
type silenced struct {
	net.Conn
	silent *atomic.Bool
}

// Read implements net.Conn.
func (s *silenced) Read(p []byte) (int, error) {
	for {
		n, err := s.Conn.Read(p)
		if err != nil || !s.silent.Load() {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (s *silenced) Write(p []byte) (int, error) {
	if s.silent.Load() {
		return len(p), nil
	}
	return s.Conn.Write(p)
}

// pipeListener is a net.Listener of pipes.
type pipeListener struct {
	conns chan net.Conn
	over  context.Context
	close context.CancelFunc
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.over.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error { l.close(); return nil }

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "in process", Net: "unix"} }

// overHTTP2 signs in by way of a gateway that speaks HTTP/2.
func overHTTP2(f *faulty) {
	over, end := context.WithCancel(context.Background())
	f.http2 = &pipeListener{make(chan net.Conn), over, end}
	f.silence.Store(new(atomic.Bool))
	gateway := &http.Server{Handler: f.server, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.cert.Load(), nil },
	}}
	go func() { _ = gateway.ServeTLS(f.http2, "", "") }() // until it is closed
	f.t.Cleanup(func() { _ = gateway.Close() })
	secured(f)
}

// fallSilent has the connections that there are swallow everything; new ones work.
// There is one, and it was just used: an idle one would be closed after 30 s.
func (f *faulty) fallSilent() {
	f.t.Helper()
	if _, err := f.Refresh(f.t.Context(), prod, false); err != nil {
		f.t.Error(err)
	}
	f.silence.Swap(new(atomic.Bool)).Store(true)
}

// secured signs in to a server with TLS and a private authority.
func secured(f *faulty) {
	f.halt()
	f.ca = langflowtest.NewAuthority()
	f.present(f.ca, "langflow.test", 90*24*time.Hour)
	f.start()
	file := f.caFile(f.ca)
	if _, err := f.Add(config.Profile{Name: prod, ServerURL: f.server.URL, CAFile: file}); err != nil {
		f.t.Fatal(err)
	}
	admin := langflowtest.Admin()
	if err := f.logIn(f.t.Context(), prod, admin.Name, admin.Password); err != nil {
		f.t.Fatal(err)
	}
}

// present gives the server a certificate for a while.
func (f *faulty) present(ca *langflowtest.Authority, host string, lives time.Duration) {
	cert := ca.Issue(host, time.Now().Add(-time.Hour), time.Now().Add(lives))
	f.cert.Store(&cert)
}

// caFile writes an authority's certificate to a file.
func (f *faulty) caFile(ca *langflowtest.Authority) string {
	f.t.Helper()
	file, err := os.CreateTemp(f.dir, "ca-*.pem")
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := file.Write(ca.PEM()); err != nil {
		f.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		f.t.Fatal(err)
	}
	return file.Name()
}

// caOf is a profile's CA file.
func (f *faulty) caOf(name string) string {
	return f.all()[name].known.Load().profile.CAFile
}

// noConnection has no connection come about for some time.
func noConnection(after time.Duration, err error) func(f *faulty) {
	return func(f *faulty) {
		f.dial.Store(&dialFault{after, err})
		f.pass(long)
		f.dial.Store(nil)
	}
}

// spoilt has requests of a path go wrong for some time.
func spoilt(path string, by langflowtest.Fault, d time.Duration) func(f *faulty) {
	return func(f *faulty) {
		f.server.Fault(path, by)
		f.pass(d)
		f.server.ClearFaults()
	}
}

// down takes the server away for some time.
func down(d time.Duration) func(f *faulty) {
	return func(f *faulty) {
		f.server.Stop()
		f.pass(d)
		f.server.Start()
	}
}

// remembered signs in with a password that may be used again, autoLogin without
// one.
func remembered(f *faulty) { f.rig.signIn(prod, true) }
func autoLogin(f *faulty)  { f.autoLogIn(prod) }

// passing is what comes of a fault that passes: a token till its own end.
func passing(reason string, heals time.Duration) outcome {
	return outcome{"`retrying` " + reason + ", then `stale` " + reason, "0, then 4", nothing, heals, 0}
}

const (
	long     = 2 * time.Hour
	slack    = 2 * time.Second   // of a measurement
	soon     = maxBackoff        // when the next attempt is due, the latest
	asksSoon = forcedInterval    // when something asks for a token
	wakes    = tick + wakeSpread // when a sleep or a jump is noticed and seen to
	noticed  = 48 * time.Minute  // when tokens for an hour are due for a refresh, the latest
	patience = 30 * time.Second  // with a call that gets no answer
)

func TestFaultsOfServers(t *testing.T) {
	admin := langflowtest.Admin()
	gone := admin
	gone.Inactive = true
	asked := func(o outcome) outcome { o.asked = asksSoon; return o }
	tryFaults(t, "TestFaultsOfServers", []fault{
		{what: "The server is down when the agent starts.",
			happens: func(f *faulty) {
				f.server.Stop()
				f.restarted()
				f.pass(10 * time.Minute)
				f.server.Start()
			},
			want: outcome{"`stale` unreachable", "4, then 0", nothing, soon, asksSoon}},
		{what: "It is down for 2 hours.", happens: down(long), want: asked(passing("unreachable", soon))},
		{what: "It flaps for a day: 15 s down, 30 s up.",
			happens: func(f *faulty) {
				for end := time.Now().Add(24 * time.Hour); time.Now().Before(end); f.pass(30 * time.Second) {
					down(15 * time.Second)(f)
				}
			},
			want: outcome{"`retrying` unreachable", "0", nothing, soon, 0}},
		{what: "Each refresh fails twice with a gateway's 502, for 6 hours.",
			happens: func(f *faulty) {
				for range 6 {
					twice := langflowtest.HTML(502)
					twice.Times = 2
					f.server.Fault("/refresh", twice)
					f.pass(time.Hour)
				}
			},
			want: outcome{"`retrying` server-error", "0", nothing, soon, 0}},
		{what: "It answers 500, 502 or 504 for 2 hours.",
			happens: func(f *faulty) {
				for _, status := range []int{500, 502, 504} {
					spoilt("", langflowtest.HTML(status), long/3)(f)
				}
			},
			want: asked(passing("server-error", soon))},
		{what: "It answers 503 and asks to come back in 5 minutes, for 2 hours.", happens: spoilt("", langflowtest.Busy(503, "300"), long),
			want: passing("server-error", 5*time.Minute)},
		{what: "It answers 429 without a `Retry-After`, for 2 hours.",
			happens: spoilt("", langflowtest.JSON(429, `{"detail":"Too many requests."}`), long), want: asked(passing("rate-limited", soon))},
		{what: "It answers 429 with `Retry-After: 600`, for 2 hours.", happens: spoilt("", langflowtest.Busy(429, "600"), long),
			want: passing("rate-limited", 10*time.Minute)},
		{what: "It answers 429 with a date in `Retry-After` that comes 10 minutes after the limit's end.",
			happens: func(f *faulty) {
				for f.server.Count("/refresh") == 0 {
					f.server.ClearFaults()
					f.server.Fault("/refresh", langflowtest.Busy(429, time.Now().Add(40*time.Minute).UTC().Format(http.TimeFormat)))
					f.pass(time.Second)
				}
				f.pass(30 * time.Minute)
				f.server.ClearFaults()
			},
			want: passing("rate-limited", 10*time.Minute)},
		{what: "Something in front of it answers 401 in JSON, in words that are not Langflow's, for 2 hours.",
			happens: spoilt("/refresh", langflowtest.JSON(401, `{"detail":"the gateway says no"}`), long),
			want:    outcome{"`retrying` refused, then `sign-in-required` refused", "0, then 3", nothing, signInRetry, 0}},
		{what: "It has a new secret key.",
			happens: func(f *faulty) { f.server.RotateSecret() },
			want:    outcome{"`sign-in-required` session-ended", "0, then 3", theSession + "; " + deadTokens, aPerson, 0}},
		{what: "It has a new secret key, and the password is remembered.", signIn: remembered,
			happens: func(f *faulty) { f.server.RotateSecret() },
			want:    outcome{"`fresh`", "0", deadTokens + silently, noticed, 0}},
		{what: "It has a new secret key, and auto login.", server: langflowtest.Options{AutoLogin: true}, signIn: autoLogin,
			happens: func(f *faulty) { f.server.RotateSecret() },
			want:    outcome{"`fresh`", "0", deadTokens + silently, noticed, 0}},
		{what: "It has a new secret key, the password is remembered, and it answers the sign-in with 429 and `Retry-After: 600` for 2 hours.",
			signIn:  remembered,
			happens: func(f *faulty) { f.server.RotateSecret(); spoilt("/login", langflowtest.Busy(429, "600"), long)(f) },
			want:    outcome{"`stale` session-ended", "0, then 4", deadTokens + silently, 10 * time.Minute, 0}},
		{what: "The user is deactivated, and activated again after 2 hours.",
			happens: func(f *faulty) { f.server.SetUser(gone); f.pass(long); f.server.SetUser(admin) },
			want:    outcome{"`sign-in-required` inactive-user", "0, then 3", deadTokens, signInRetry, 0}},
		{what: "The same, and the password is remembered.", signIn: remembered,
			happens: func(f *faulty) { f.server.SetUser(gone); f.pass(long); f.server.SetUser(admin) },
			want:    outcome{"`sign-in-required` inactive-user", "0, then 3", thePassword + "; " + deadTokens, signInRetry, 0}},
		{what: "The user is deleted.", happens: func(f *faulty) {
			f.server.DeleteUser(admin.Name)
			f.pass(long)
			f.server.SetUser(langflowtest.User{Name: "bob", Password: "bob-Password1"})
		}, signsIn: [2]string{"bob", "bob-Password1"},
			want: outcome{"`sign-in-required` session-ended", "0, then 3", theSession + "; " + deadTokens, aPerson, 0}},
		{what: "The user is renamed.", happens: func(f *faulty) { f.server.RenameUser(admin.Name, "root"); f.pass(long) },
			want: outcome{"`fresh`", "0", nothing, 0, 0}},
		{what: "The user is renamed, the password is remembered, and the server has a new secret key.", signIn: remembered,
			happens: func(f *faulty) {
				f.server.RenameUser(admin.Name, "root")
				f.server.RotateSecret()
				f.pass(long)
			}, signsIn: [2]string{"root", admin.Password},
			want: outcome{"`sign-in-required` wrong-password, then `sign-in-required` session-ended", "0, then 3", theSession + "; " + thePassword + "; " + deadTokens, aPerson, 0}},
		{what: "The password is changed.", happens: func(f *faulty) { f.server.ChangePassword(admin.Name, "another"); f.pass(long) },
			want: outcome{"`fresh`", "0", nothing, 0, 0}},
		{what: "The password is changed, the old one is remembered, and the server has a new secret key.", signIn: remembered,
			happens: func(f *faulty) {
				f.server.ChangePassword(admin.Name, "another")
				f.server.RotateSecret()
				f.pass(long)
			}, signsIn: [2]string{admin.Name, "another"},
			want: outcome{"`sign-in-required` wrong-password, then `sign-in-required` session-ended", "0, then 3", theSession + "; " + thePassword + "; " + deadTokens, aPerson, 0}},
		{what: "It is upgraded from 1.10 to 1.13, which calls the refresh cookie otherwise (under a root path).",
			server: langflowtest.Options{Version: "1.10", RootPath: "/team/a"}, happens: becomes("1.13"), after: says("1.13.0"),
			want: outcome{"`fresh`", "0", nothing, 0, 0}},
		{what: "It is downgraded from 1.13 to 1.10 (under a root path).",
			server: langflowtest.Options{Version: "1.13", RootPath: "/team/a"}, happens: becomes("1.10"), after: says("1.10.0"),
			want: outcome{"`fresh`", "0", nothing, 0, 0}},
		{what: "It is upgraded from 1.4, whose auto login gives a token for a year and none to refresh it with, to 1.13.",
			server: langflowtest.Options{Version: "1.4", AutoLogin: true}, signIn: autoLogin, happens: becomes("1.13"), after: says("1.13.0"),
			want: outcome{"`fresh`", "0", nothing, 0, 0}},
		{what: "The same, with a new secret key.",
			server: langflowtest.Options{Version: "1.4", AutoLogin: true}, signIn: autoLogin, after: says("1.13.0"),
			happens: func(f *faulty) { f.server.RotateSecret(); becomes("1.13")(f) },
			want:    outcome{"`fresh`", "0", deadTokens + silently, proofAge, 0}},
		{what: "The same, with auto login off, as 1.13 comes.",
			server: langflowtest.Options{Version: "1.4", AutoLogin: true}, signIn: autoLogin,
			happens: func(f *faulty) { f.server.RotateSecret(); f.server.SetAutoLogin(false); becomes("1.13")(f) },
			want:    outcome{"`sign-in-required` auto-login-off", "0, then 3", theSession + "; " + deadTokens, aPerson, 0}},
		{what: "It is upgraded from 1.4, which knows no end of API keys, to 1.13. The next managed key has one, and the old one is deleted.",
			server: langflowtest.Options{Version: "1.4"}, signIn: keyed, happens: becomes("1.13"), after: nextKey(""),
			want: outcome{"`fresh`", "0", nothing, 0, 0}},
		{what: "It is downgraded from 1.13 to 1.4. The next managed key is deleted when its time is over, since it has no end there.",
			server: langflowtest.Options{Version: "1.13"}, signIn: keyed, happens: becomes("1.4"), after: nextKey(vocabulary.ExpiryIgnored),
			want: outcome{"`fresh`", "0", nothing, 0, 0}},
		{what: "It is downgraded from 1.13 to 1.4, which knows other words and auto login's long token.",
			server: langflowtest.Options{Version: "1.13", AutoLogin: true}, signIn: autoLogin, happens: becomes("1.4"), after: says("1.4.3"),
			want: outcome{"`fresh`", "0", nothing, 0, 0}},
		{what: "The same, with a new secret key.",
			server: langflowtest.Options{Version: "1.13", AutoLogin: true}, signIn: autoLogin, after: says("1.4.3"),
			happens: func(f *faulty) { f.server.RotateSecret(); becomes("1.4")(f) },
			want:    outcome{"`fresh`", "0", deadTokens + silently, noticed, 0}},
	})
}

// becomes replaces the server by another version, which takes half a minute.
func becomes(version string) func(f *faulty) {
	return func(f *faulty) {
		f.server.Stop()
		f.server.SetVersion(version)
		f.pass(30 * time.Second)
		f.server.Start()
	}
}

// keyed signs in and has a managed key made.
func keyed(f *faulty) {
	f.rig.signIn(prod, false)
	if _, err := f.Key(f.t.Context(), prod, AnyLifetime); err != nil {
		f.t.Fatal(err)
	}
}

// basicGateway is what nginx answers where its basic authentication is not satisfied.
var basicGateway = langflowtest.Fault{Status: 401, Body: "<html><h1>401 Authorization Required</h1>", Header: http.Header{"Www-Authenticate": {`Basic realm="flows"`}}}

// nextKey checks the managed keys that come after the first, and that each
// replaces the one before.
func nextKey(reason string) func(f *faulty) {
	return func(f *faulty) {
		for range 2 {
			time.Sleep(24 * time.Hour) // as long as a key lives
			if _, err := f.Key(f.t.Context(), prod, AnyLifetime); err != nil {
				f.t.Error(err)
			}
		}
		time.Sleep(time.Hour) // till what is over is deleted
		if s := f.is(prod, Fresh); s.Keys.Reason != reason {
			f.t.Errorf("the key's reason is %q, want %q", s.Keys.Reason, reason)
		}
		if n := f.server.Keys(); n != 1 {
			f.t.Errorf("%d keys are on the server", n)
		}
	}
}

// says checks which version the profile tells of.
func says(version string) func(f *faulty) {
	return func(f *faulty) {
		if s := f.is(prod, Fresh); s.ServerVersion != version {
			f.t.Errorf("the server's version is %q, want %q", s.ServerVersion, version)
		}
	}
}

func TestFaultsOfTheNetwork(t *testing.T) {
	asked := func(o outcome) outcome { o.asked = asksSoon; return o }
	slow := func(o outcome) outcome { o.asked = patience + asksSoon; return o }
	const host = "langflow.test"
	tryFaults(t, "TestFaultsOfTheNetwork", []fault{
		{what: "A captive portal answers with a page, for 2 hours.", happens: spoilt("", langflowtest.HTML(200), long),
			want: asked(passing("not-langflow", soon))},
		{what: "It redirects to an address of its own.", happens: spoilt("", langflowtest.Redirect(302, "https://portal.test/"), long),
			want: asked(passing("gateway", soon))},
		{what: "A gateway in front of it wants basic authentication.", happens: spoilt("", basicGateway, long),
			want: asked(passing("gateway", soon))},
		{what: "Half of an answer comes.", happens: spoilt("", langflowtest.JSON(200, `{"access_token":"x`), long),
			want: asked(passing("not-langflow", soon))},
		{what: "The connection breaks before an answer.", happens: spoilt("", langflowtest.Fault{Reset: true}, long),
			want: asked(passing("unreachable", soon))},
		{what: "It breaks in the middle of the body.", happens: spoilt("", langflowtest.Fault{Truncate: true}, long),
			want: asked(passing("unreachable", soon))},
		{what: "No answer begins.", happens: spoilt("", langflowtest.Fault{Hang: true}, long),
			want: slow(passing("timed-out", patience+soon))},
		{what: "An answer goes on slowly and never ends.", happens: spoilt("", langflowtest.Fault{Endless: true}, long),
			want: slow(passing("timed-out", patience+soon))},
		{what: "An answer has 100 MB.", happens: spoilt("", langflowtest.Fault{Giant: true}, 55*time.Minute),
			want: asked(passing("not-langflow", soon))},
		{what: "The server's certificate expires, and is renewed 2 hours later.", signIn: secured,
			happens: func(f *faulty) {
				f.present(f.ca, host, 20*time.Minute)
				f.pass(20*time.Minute + long)
				f.present(f.ca, host, 90*24*time.Hour)
			}, want: asked(passing("certificate", soon))},
		{what: "Its certificate is for another host, for 2 hours.", signIn: secured,
			happens: func(f *faulty) {
				f.present(f.ca, "elsewhere.test", 90*24*time.Hour)
				f.pass(long)
				f.present(f.ca, host, 90*24*time.Hour)
			}, want: asked(passing("certificate", soon))},
		{what: "Its certificate is of an unknown authority, which is then made the profile's `ca_file`.", signIn: secured,
			happens: func(f *faulty) {
				other := langflowtest.NewAuthority()
				f.present(other, host, 90*24*time.Hour)
				f.pass(long)
				file := f.caFile(other)
				if _, err := f.Change(f.t.Context(), prod, func(p *config.Profile) { p.CAFile = file }); err != nil {
					f.t.Error(err)
				}
			}, want: passing("certificate", time.Second)},
		{what: "Its certificate is of a new authority, whose own replaces the old one in the profile's `ca_file`.", signIn: secured,
			happens: func(f *faulty) {
				other := langflowtest.NewAuthority()
				f.present(other, host, 90*24*time.Hour)
				f.pass(long)
				if err := os.WriteFile(f.caOf(prod), other.PEM(), 0o600); err != nil {
					f.t.Error(err)
				}
			}, want: outcome{passing("certificate", 0).shown, "0, then 4", nothing, tick + time.Second, asksSoon}},
		{what: "The connection to the server falls silent (HTTP/2): packets are dropped, and new connections work.", signIn: overHTTP2,
			happens: func(f *faulty) {
				f.fallSilent()
				f.pass(forcedInterval + time.Second)
				if _, err := f.Refresh(f.t.Context(), prod, false); err == nil {
					f.t.Error("an answer came over a silent connection")
				}
			}, want: outcome{"`retrying` unreachable", "0", nothing, 5 * time.Second, 0}},
		{what: "The same, with a change of the network.", signIn: overHTTP2,
			happens: func(f *faulty) {
				f.fallSilent()
				f.where.Store("another")
				f.pass(long)
			}, want: outcome{"`fresh`", "0", nothing, 0, 0}},
		{what: "The same, after a sleep of a minute.", signIn: overHTTP2,
			happens: func(f *faulty) {
				f.fallSilent()
				f.suspend(time.Minute)
				f.pass(long)
			}, want: outcome{"`fresh`", "0", nothing, 0, 0}},
		{what: "DNS does not know the server's name, for 2 hours.",
			happens: noConnection(0, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}), want: asked(passing("unreachable", soon))},
		{what: "DNS does not answer, for 2 hours.",
			happens: noConnection(10*time.Second, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}),
			want:    outcome{passing("timed-out", 0).shown, "0, then 4", nothing, 10*time.Second + soon, 10*time.Second + asksSoon}},
		{what: "The computer is in no network for 2 hours, and then in another one.",
			happens: func(f *faulty) {
				noConnection(0, syscall.ENETUNREACH)(f)
				f.where.Store("another")
			}, want: asked(passing("unreachable", wakes))},
	}, nameWithDeadAddresses(t))
}

func TestFaultsOfTheClock(t *testing.T) {
	const day = 24 * time.Hour
	off := func(d time.Duration) func(f *faulty) {
		return func(f *faulty) {
			f.clock.Jump(d)
			f.pass(long)
			f.clock.Jump(-d)
		}
	}
	sleeps := func(d time.Duration) func(f *faulty) {
		return func(f *faulty) { f.suspend(d) }
	}
	tryFaults(t, "TestFaultsOfTheClock", []fault{
		{what: "The computer's clock is put an hour ahead, and right again after 2 hours.", happens: off(time.Hour),
			want: outcome{"`stale`", "0", nothing, wakes, 0}},
		{what: "It is put an hour back, and right again after 2 hours.", happens: off(-time.Hour),
			want: outcome{"`stale`", "0", nothing, wakes, 0}},
		{what: "It is an hour ahead when the agent starts, and stays so.",
			happens: func(f *faulty) { f.clock.Jump(time.Hour); f.restarted(); f.pass(long) },
			want:    outcome{"`fresh`", "0", nothing, 0, 0}},
		{what: "It jumps ahead or back by up to 2 hours every 5 minutes, for 2 hours.",
			happens: func(f *faulty) {
				for i := range 24 {
					f.clock.Jump([]time.Duration{2 * time.Hour, -3 * time.Hour, 20 * time.Minute, time.Hour, -20 * time.Minute}[i%5])
					f.pass(5 * time.Minute)
				}
			},
			want: outcome{"`stale`", "0", nothing, wakes, 0}},
		{what: "The computer sleeps for 8 hours.", happens: sleeps(8 * time.Hour), want: outcome{"`stale`", "0", nothing, wakes, time.Second}},
		{what: "It sleeps for 8 hours, and has no network for 10 minutes after that.",
			happens: func(f *faulty) { f.server.Stop(); f.suspend(8 * time.Hour); f.pass(10 * time.Minute); f.server.Start() },
			want:    outcome{"`stale` unreachable", "4, then 0", nothing, soon, asksSoon}},
		{what: "It sleeps for 8 days, and a refresh token lives for 7.", happens: sleeps(8 * day),
			want: outcome{"`sign-in-required` session-ended", "3", theSession, aPerson, 0}},
		{what: "The same, and the password is remembered.", signIn: remembered, happens: sleeps(8 * day),
			want: outcome{"`stale`", "0", nothing + silently, wakes, time.Second}},
		{what: "The same, with auto login.", server: langflowtest.Options{AutoLogin: true}, signIn: autoLogin, happens: sleeps(8 * day),
			want: outcome{"`stale`", "0", nothing + silently, wakes, time.Second}},
	})
}

// nameWithDeadAddresses tries, with real sockets and Go's own resolver, a name
// that has IPv6 addresses, of which one leads nowhere and one refuses, and an
// IPv4 address that works. It returns a row like the others.
func nameWithDeadAddresses(t *testing.T) []string {
	t.Helper()
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	dns, err := langflowtest.NewDNS()
	if err != nil {
		t.Skip("there can be no name server here: ", err)
	}
	defer dns.Close()
	dns.Set("langflow.test.", "100::1", "::1", "127.0.0.1")
	before := net.DefaultResolver
	net.DefaultResolver = dns.Resolver()
	defer func() { net.DefaultResolver = before }()

	_, port, _ := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	f := &faulty{rig: &rig{t: t, server: server, store: &faultyStore{Store: keychain.NewMemory()}, clock: clock.NewJumping(), dir: t.TempDir(),
		way: func(ca []byte) (http.RoundTripper, error) {
			transport, err := langflow.NewTransport(ca)
			if err == nil {
				transport.Proxy = nil
			}
			return transport, err
		}}}
	f.start()
	defer func() { f.halt() }()
	if _, err := f.Add(config.Profile{Name: prod, ServerURL: "http://langflow.test:" + port, AllowHTTP: true}); err != nil {
		t.Fatal(err)
	}
	admin := langflowtest.Admin()
	if err := f.logIn(t.Context(), prod, admin.Name, admin.Password); err != nil {
		t.Fatal(err)
	}
	s, err := f.Refresh(t.Context(), prod, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.read(); err != nil || f.refused {
		t.Errorf("there is no good token: %v", err)
	}
	if dns.Asked("langflow.test.") == 0 {
		t.Error("nobody asked for the name")
	}
	return []string{"The server's name has IPv6 addresses that lead nowhere, and an IPv4 address that works.",
		"`" + string(s.State) + "`", strings.Join(f.codes, ", then "), nothing, outcome{}.healing()}
}
