// Package langflowtest is a stand-in for a Langflow server: the part of its
// API that signs people in, as versions 1.4, 1.10 and 1.13 do it, with faults
// on request. It listens on a port of its own, or answers in process without
// any socket, which a testing/synctest bubble needs. A contract suite holds it
// against the real server.
package langflowtest

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"langkeep/agent/secret"
)

// Options are a Server's. The zero value is a 1.13 with one user, admin.
type Options struct {
	Version         string               // 1.4, 1.10 or 1.13
	AccessLifetime  time.Duration        // 0: 1 h
	RefreshLifetime time.Duration        // 0: 7 days
	RootPath        string               // such as /team/a
	AutoLogin       bool                 // as the first user
	Algorithm       string               // HS256, RS256 or RS512; "": HS256
	NewKey          func() crypto.Signer // makes a key for RS256 and RS512; the program, in langkeep demo, can do without
	Users           []User               // nil: Admin alone
	SecretKey       string               // signs with HS256; "": a random one
	RateLimit       int                  // sign-ins a minute, from 1.10; 0: no limit (the real default is 5)
	Now             func() time.Time     // nil: time.Now
	Origin          string               // of NewInProcess alone; "": https://langflow.test
}

// User is an account.
type User struct {
	Name, Password string
	Inactive       bool // deactivated
	Waiting        bool // never approved
	Superuser      bool
}

// Admin is the user of a Server whose Options name none.
func Admin() User { return User{Name: "admin", Password: "admin-Password1"} }

// account is a User with what the server adds.
type account struct {
	User
	id string
}

// Request is one line of a Server's log.
type Request struct {
	Time   time.Time
	Method string
	Path   string // without root path and /api/v1
	Status int    // 0 until answered, and if the connection was broken instead
}

// Server is the stand-in.
type Server struct {
	URL string // with the root path

	transport *http.Transport // of RoundTripper

	o Options

	mu                              sync.Mutex // protects the following
	version                         features
	addr                            string        // "" in process
	http                            *http.Server  // nil while stopped
	listener                        net.Listener  // the same; a *pipeListener in process
	stopped                         chan struct{} // closed by Stop
	accessLifetime, refreshLifetime time.Duration
	autoLoginOn                     bool
	accounts                        []*account
	made                            int                // accounts so far
	keys                            map[string]*apiKey // by the key itself
	signKey                         any
	verifyKey                       any
	window                          time.Time // when the rate limit's minute began
	signIns                         int       // in that minute
	faults                          []*fault
	requests                        []Request
}

// New starts a server on a free loopback port. It panics if it can't, as
// net/http/httptest does.
func New(o Options) *Server {
	s := newServer(o, "127.0.0.1:0")
	s.URL = "http://" + s.addr + o.RootPath
	return s
}

// NewInProcess starts a server without a socket, to be reached through
// RoundTripper alone. In a synctest bubble it must be made and closed there.
func NewInProcess(o Options) *Server { return newServer(o, "") }

func newServer(o Options, addr string) *Server {
	o.AccessLifetime = cmp.Or(o.AccessLifetime, time.Hour)
	o.RefreshLifetime = cmp.Or(o.RefreshLifetime, 7*24*time.Hour)
	o.Algorithm = cmp.Or(o.Algorithm, "HS256")
	o.Origin = cmp.Or(o.Origin, "https://langflow.test")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Users == nil {
		o.Users = []User{Admin()}
	}
	s := &Server{
		URL: o.Origin + o.RootPath, o: o, addr: addr, keys: map[string]*apiKey{},
		accessLifetime: o.AccessLifetime, refreshLifetime: o.RefreshLifetime, autoLoginOn: o.AutoLogin,
	}
	s.transport = &http.Transport{DialContext: s.dial, DialTLSContext: s.dial, MaxIdleConnsPerHost: 16}
	s.SetVersion(o.Version)
	for _, u := range o.Users {
		s.SetUser(u)
	}
	s.setKeys(o.SecretKey)
	s.Start()
	return s
}

// Start brings a stopped server back, on the same port and with everything it
// knew.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return
	}
	s.stopped = make(chan struct{})
	if s.addr == "" {
		s.serve(&pipeListener{conns: make(chan net.Conn), stopped: s.stopped})
		return
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		panic("langflowtest: " + err.Error())
	}
	s.addr = l.Addr().String()
	s.serve(l)
}

// serve must be called with mu held.
func (s *Server) serve(l net.Listener) {
	s.listener = l
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func(h *http.Server) { _ = h.Serve(l) }(s.http)
}

// Stop breaks all connections; from then on they are refused.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return
	}
	close(s.stopped)
	_ = s.http.Close()
	_ = s.listener.Close() // Serve may not have begun
	s.http, s.listener = nil, nil
}

// Close stops the server for good.
func (s *Server) Close() {
	s.Stop()
	s.transport.CloseIdleConnections()
}

// RotateSecret makes every token so far invalid, as a redeploy without a fixed
// LANGFLOW_SECRET_KEY does. API keys live on.
func (s *Server) RotateSecret() { s.setKeys("") }

func (s *Server) setKeys(key string) {
	var sign, verify any
	if s.o.NewKey != nil {
		k := s.o.NewKey()
		sign, verify = k, k.Public()
	} else {
		key = cmp.Or(key, rand.Text())
		sign, verify = []byte(key), []byte(key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signKey, s.verifyKey = sign, verify
}

// SetVersion replaces the server by one of another version, with all that it
// knew: accounts, keys and the secret key.
func (s *Server) SetVersion(name string) {
	version, ok := versions[name]
	if !ok {
		panic(fmt.Sprintf("langflowtest: no version %q", name))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = version
}

// SetLifetimes is for tokens made from now on.
func (s *Server) SetLifetimes(access, refresh time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessLifetime, s.refreshLifetime = access, refresh
}

// SetAutoLogin switches it on or off.
func (s *Server) SetAutoLogin(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.autoLoginOn = on
}

// SetUser adds an account, or changes the one of that name.
func (s *Server) SetUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.byName(u.Name); a != nil {
		a.User = u
		return
	}
	s.made++
	s.accounts = append(s.accounts, &account{User: u, id: fmt.Sprintf("00000000-0000-4000-8000-%012d", s.made)})
}

// Deactivate bars an account.
func (s *Server) Deactivate(name string) { s.change(name, func(a *account) { a.Inactive = true }) }

// ChangePassword gives an account another; its tokens stay valid.
func (s *Server) ChangePassword(name, password string) {
	s.change(name, func(a *account) { a.Password = password })
}

// RenameUser gives an account another name; its tokens stay valid.
func (s *Server) RenameUser(name, other string) { s.change(name, func(a *account) { a.Name = other }) }

func (s *Server) change(name string, f func(*account)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.byName(name)
	if a == nil {
		panic(fmt.Sprintf("langflowtest: no user %q", name))
	}
	f(a)
}

// DeleteUser removes an account at once; the real 1.13 takes a while, in which
// it is inactive.
func (s *Server) DeleteUser(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts = slices.DeleteFunc(s.accounts, func(a *account) bool { return a.Name == name })
}

// AddAPIKey makes a key of an account, which never ends.
func (s *Server) AddAPIKey(name string) secret.Text {
	var key string
	s.change(name, func(a *account) { key, _ = s.newKey(a, "made by hand", time.Time{}) })
	return secret.New(key)
}

// RevokeAPIKey makes a key invalid.
func (s *Server) RevokeAPIKey(key secret.Text) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, key.Reveal())
}

// Accepts tells whether an access token is valid at this moment, without a
// request.
func (s *Server) Accepts(access secret.Text) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, _ := s.byToken(access.Reveal())
	return a != nil
}

// Keys tells how many API keys there are, ended ones too.
func (s *Server) Keys() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

// Requests is the log so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Count tells how many requests of a path, such as /refresh, have come.
func (s *Server) Count(path string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Path == path {
			n++
		}
	}
	return n
}

// byName, byID and account must be called with mu held.
func (s *Server) byName(name string) *account {
	return s.account(func(a *account) bool { return a.Name == name })
}

func (s *Server) byID(id string) *account {
	return s.account(func(a *account) bool { return a.id == id })
}

func (s *Server) account(is func(*account) bool) *account {
	if i := slices.IndexFunc(s.accounts, is); i >= 0 {
		return s.accounts[i]
	}
	return nil
}

// mint makes a token; it must be called with mu held. Langflow's have these
// three claims and no others.
func (s *Server) mint(id, kind string, lifetime time.Duration) string {
	t := jwt.NewWithClaims(jwt.GetSigningMethod(s.o.Algorithm), jwt.MapClaims{
		"sub": id, "type": kind, "exp": s.o.Now().Add(lifetime).Unix(),
	})
	signed, err := t.SignedString(s.signKey)
	if err != nil {
		panic("langflowtest: " + err.Error())
	}
	return signed
}

// claims are a token's, if it is valid; mu must be held.
func (s *Server) claims(token string) (id, kind string, err error) {
	claims := jwt.MapClaims{}
	_, err = jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return s.verifyKey, nil },
		jwt.WithValidMethods([]string{s.o.Algorithm}), jwt.WithTimeFunc(s.o.Now))
	if err != nil {
		return "", "", err
	}
	id, _ = claims["sub"].(string)
	kind, _ = claims["type"].(string)
	return id, kind, nil
}
