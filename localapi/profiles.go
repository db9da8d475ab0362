package localapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"langkeep/agent"
	"langkeep/agent/config"
	"langkeep/agent/gateway"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
)

// Present is a snapshot as the API shows it.
func Present(s agent.Snapshot) client.Profile {
	p := client.Profile{
		Name: s.Name, ServerURL: s.ServerURL, Username: known(s.Username),
		State: s.State, Reason: known(s.Reason), ReasonDetail: known(s.Detail), Gateway: known(s.Gateway), Saved: s.Saved,
		AccessExpiresAt: moment(s.AccessExpires), RefreshExpiresAt: moment(s.RefreshExpires),
		LastRefreshAt: moment(s.LastRefresh), NextAttemptAt: moment(s.NextAttempt),
		FailingSince: moment(s.FailingSince), ServerVersion: known(s.ServerVersion),
	}
	if s.Method != "" {
		p.Method = new(client.Method(s.Method))
	}
	p.ProxyURL, p.ProxyReason = proxyURL(s), known(s.ProxyReason)
	p.ProxyAllowOrigins = append([]string{}, strings.Fields(s.ProxyOrigins)...) // never null
	p.ProxyAllowHosts = append([]string{}, strings.Fields(s.ProxyHosts)...)     // the same
	p.ProxySocket = known(s.ProxySocketPath)
	p.Ask = known(s.Ask)
	if p.ExecScopes = strings.Fields(s.ExecScopes); len(p.ExecScopes) == 0 {
		p.ExecScopes = []string{"read", "token", "proxy"}
	}
	p.KeyExpiresAt, p.KeyReason = moment(s.Keys.Expires), known(s.Keys.Reason)
	p.KeysLeft, p.KeysLeftUntil = s.Keys.Left, moment(s.Keys.LeftUntil)
	p.GatewayHeaders = append([]string{}, strings.Fields(s.Headers)...) // these never null
	p.SigningIn = s.SigningIn
	p.HeaderCommand = append([]string{}, s.HeaderCommand.Words()...)
	p.TokenCommand = append([]string{}, s.TokenCommand.Words()...)
	p.HeaderCommandFor, p.TokenHeader = known(s.HeaderCommandFor), known(s.TokenHeader)
	p.ClientCert, p.ClientKey = known(s.ClientCert), known(s.ClientKey)
	if s.KeyLifetime > 0 {
		p.KeyLifetime = new(s.KeyLifetime.String())
	}
	if s.OffsetKnown {
		p.ClockOffsetSeconds = new(wholeSeconds(s.Offset))
	}
	return p
}

// presentTo is a snapshot as a caller may see it. Only the owner and the page see the
// arguments of commands, which may be secrets, and the client certificate's files.
func presentTo(caller *guard.Caller, s agent.Snapshot) client.Profile {
	p := Present(s)
	if caller.Owner || caller.Page {
		return p
	}
	p.HeaderCommand, p.TokenCommand = p.HeaderCommand[:min(1, len(p.HeaderCommand))], p.TokenCommand[:min(1, len(p.TokenCommand))]
	p.ClientCert, p.ClientKey = nil, nil
	return p
}

// setServer sets a profile's server and the way to it, as far as a request has it.
func setServer(p *config.Profile, change client.ServerChange) {
	set(&p.ServerURL, change.ServerURL)
	set(&p.CAFile, change.CAFile)
	set(&p.AllowHTTP, change.AllowHTTP)
	setWay(p, change.Way)
}

// setWay sets a profile's way to its server, as far as a request has it.
func setWay(p *config.Profile, way client.Way) {
	if way.HeaderCommand != nil {
		p.HeaderCommand = config.NewArgv(*way.HeaderCommand)
	}
	if way.TokenCommand != nil {
		p.TokenCommand = config.NewArgv(*way.TokenCommand)
	}
	set(&p.HeaderCommandFor, way.HeaderCommandFor)
	set(&p.TokenHeader, way.TokenHeader)
	set(&p.ClientCert, way.ClientCert)
	set(&p.ClientKey, way.ClientKey)
}

// joined is a list with spaces between its members, as a profile has it, which none of
// them may have; nil for no list.
func joined(name string, list *[]string) (*string, error) {
	if list == nil {
		return nil, nil
	}
	for _, member := range *list {
		if strings.Join(strings.Fields(member), "") != member || member == "" {
			return nil, client.NewProblem(client.TypeBadRequest, fmt.Sprintf("%s has %q: write each as a member of its own, without a space", name, member))
		}
	}
	return new(strings.Join(*list, " ")), nil
}

// set sets a field to a request's value, if the request has one.
func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// moment is a time as the API writes it: UTC, whole seconds.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC().Truncate(time.Second))
}

// seen are the profiles that a caller may see.
func (s *Server) seen(caller *guard.Caller) []client.Profile {
	all := []client.Profile{} // never null
	for _, snapshot := range s.Agent.Profiles() {
		if caller.Sees(snapshot.Name) {
			all = append(all, presentTo(caller, snapshot))
		}
	}
	return all
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request, caller *guard.Caller, _ string) error {
	status := s.about(caller)
	status.Profiles = s.seen(caller)
	return answer(w, http.StatusOK, status)
}

func (s *Server) profiles(w http.ResponseWriter, _ *http.Request, caller *guard.Caller, _ string) error {
	return answer(w, http.StatusOK, client.Profiles{Profiles: s.seen(caller)})
}

// show answers with a profile, or returns the error.
func show(w http.ResponseWriter, caller *guard.Caller, status int, snapshot agent.Snapshot, err error) error {
	if err != nil {
		return err
	}
	return answer(w, status, presentTo(caller, snapshot))
}

func (s *Server) profile(w http.ResponseWriter, _ *http.Request, caller *guard.Caller, name string) error {
	snapshot, err := s.Agent.Profile(name)
	return show(w, caller, http.StatusOK, snapshot, err)
}

func (s *Server) addProfile(w http.ResponseWriter, r *http.Request, caller *guard.Caller, _ string) error {
	var body client.NewProfile
	if err := read(r, &body); err != nil {
		return err
	}
	p := config.Profile{Name: body.Name, ServerURL: body.ServerURL, CAFile: body.CAFile, AllowHTTP: body.AllowHTTP}
	setWay(&p, body.Way)
	snapshot, err := s.Agent.Add(p)
	if err == nil {
		// An earlier profile of this name may have been deleted by hand or in a crash:
		// its clients must not get this one.
		err = s.Clients.Forget(body.Name)
	}
	if err == nil {
		s.noteAbout(r, caller, body.Name, "POST "+profilesPath, "")
	}
	return show(w, caller, http.StatusCreated, snapshot, err)
}

func (s *Server) changeProfile(w http.ResponseWriter, r *http.Request, caller *guard.Caller, name string) error {
	var body client.ProfileChange
	if err := read(r, &body); err != nil {
		return err
	}
	if headers := body.GatewayHeaders; headers != nil {
		if body.GatewayHeaders = nil; body != (client.ProfileChange{}) {
			return client.NewProblem(client.TypeBadRequest, "profile \""+name+"\": change gateway_headers alone")
		}
		snapshot, err := s.Agent.ChangeHeaders(r.Context(), name, *headers)
		return show(w, caller, http.StatusOK, snapshot, err)
	}
	lifetime := time.Duration(0)
	if body.KeyLifetime != nil {
		var err error
		if lifetime, err = time.ParseDuration(*body.KeyLifetime); err != nil {
			return client.NewProblem(client.TypeBadRequest, "key_lifetime must be a duration such as 24h")
		}
	}
	origins, err := joined("proxy_allow_origins", body.ProxyAllowOrigins)
	if err != nil {
		return err
	}
	hosts, err := joined("proxy_allow_hosts", body.ProxyAllowHosts)
	if err != nil {
		return err
	}
	snapshot, err := s.Agent.Change(r.Context(), name, func(p *config.Profile) {
		setServer(p, body.ServerChange)
		set(&p.Proxy, body.Proxy)
		if body.KeyLifetime != nil {
			p.KeyLifetime = lifetime
		}
		set(&p.ProxyOrigins, origins)
		set(&p.ProxyHosts, hosts)
		set(&p.ProxySocket, body.ProxySocket)
		if body.Proxy != nil && *body.Proxy && s.proxies.taken(name) {
			p.ProxyPort = 0 // the next opening chooses another one
		}
	})
	if err == nil && (body.Proxy != nil || body.ProxySocket != nil) {
		s.proxies.reconcile(r.Context(), name)
		snapshot, err = s.Agent.Profile(name)
	}
	if err == nil && body.ProxySocket != nil && *body.ProxySocket && snapshot.ProxyOpen && snapshot.ProxySocketPath == "" {
		if _, err = s.Agent.Change(r.Context(), name, func(p *config.Profile) { p.ProxySocket = false }); err == nil {
			err = client.NewProblem(client.TypeNotSupported, "the proxy of "+name+" can have no socket here: see the agent's log")
		}
	}
	return show(w, caller, http.StatusOK, snapshot, err)
}

func (s *Server) removeProfile(w http.ResponseWriter, r *http.Request, caller *guard.Caller, name string) error {
	snapshot, err := s.Agent.Remove(r.Context(), name)
	if err == nil {
		// A crash just before this leaves the clients; addProfile forgets them too.
		err = s.Clients.Forget(name)
	}
	return show(w, caller, http.StatusOK, snapshot, err)
}

func (s *Server) login(w http.ResponseWriter, r *http.Request, caller *guard.Caller, name string) error {
	var body client.Login
	if err := read(r, &body); err != nil {
		return err
	}
	c := agent.Credentials{
		Method: string(body.Method), Username: body.Username, Password: body.Password,
		RefreshToken: body.RefreshToken, APIKey: body.APIKey, RememberPassword: body.RememberPassword,
	}
	if body.Change != nil {
		if !caller.Has(guard.Owner) {
			return client.NewProblem(client.TypeForbidden, "profile \""+name+"\": only the owner may change its settings, as change does")
		}
		c.Change = func(p *config.Profile) { setServer(p, *body.Change) }
		if body.Change.GatewayHeaders != nil {
			c.HeaderChange = *body.Change.GatewayHeaders
		}
	}
	if body.Headers != nil {
		var err error
		if c.Headers, err = gateway.NewHeaders(body.Headers); err != nil {
			return client.NewProblem(client.TypeBadRequest, "profile \""+name+"\": "+err.Error())
		}
	}
	var snapshot agent.Snapshot
	var err error
	if body.Browser {
		if body.Method != "" || body.Username != "" || !body.Password.Empty() || !body.RefreshToken.Empty() || !body.APIKey.Empty() || body.RememberPassword {
			return client.NewProblem(client.TypeBadRequest, "browser goes with headers and change alone: the person gives all else in the browser")
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(vocabulary.WindowTime + 2*time.Minute)) // a failure shows in the answer
		ctx := r.Context()
		if caller.Page {
			// A page that is loaded again shows the sign-in, and can cancel it.
			ctx = context.WithoutCancel(ctx)
		}
		snapshot, err = s.Agent.LoginInBrowser(ctx, name, c)
	} else {
		snapshot, err = s.Agent.Login(r.Context(), name, c)
	}
	if err != nil {
		profile, _ := s.Agent.Profile(name) // an empty one will do
		problem := problemOf(err, profile.ServerURL)
		if said := words.Refused(problem); said != "" {
			problem.Words = said
		}
		if s.Agent.Has(name) && r.Context().Err() == nil && problem.Words != "" {
			s.recent.failed(name, profile.State, problem.Words)
		}
		err = problem
	}
	return show(w, caller, http.StatusOK, snapshot, err)
}

func (s *Server) cancelLogin(w http.ResponseWriter, _ *http.Request, caller *guard.Caller, name string) error {
	if err := s.Agent.CancelLogin(name); err != nil {
		return err
	}
	snapshot, err := s.Agent.Profile(name)
	return show(w, caller, http.StatusOK, snapshot, err)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request, caller *guard.Caller, name string) error {
	snapshot, err := s.Agent.Logout(r.Context(), name)
	return show(w, caller, http.StatusOK, snapshot, err)
}

// refresh renews the token. It may ask a person to unlock the keychain, but not for a
// program's request.
func (s *Server) refresh(w http.ResponseWriter, r *http.Request, caller *guard.Caller, name string) error {
	snapshot, err := s.Agent.Refresh(r.Context(), name, caller.Owner || caller.Page)
	return show(w, caller, http.StatusOK, snapshot, err)
}

func (s *Server) stop(w http.ResponseWriter, _ *http.Request, _ *guard.Caller, _ string) error {
	s.Log.Info("asked to stop")
	w.WriteHeader(http.StatusAccepted)
	s.Stop()
	return nil
}
