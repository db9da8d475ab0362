package agent

import (
	"context"

	"langkeep/agent/config"
	"langkeep/agent/vocabulary"
)

// Offer is a server's version and its methods of sign-in.
type Offer struct {
	ServerURL string // normalised
	Version   string
	Methods   []string // the easiest first
}

// Probe asks a server, which need not have a profile yet; of p only the server's
// settings count. Only a use of auto login shows whether there is one: Probe drops the
// tokens that it gets.
func (a *Agent) Probe(ctx context.Context, p config.Profile) (Offer, error) {
	p, err := checked(p)
	if err != nil {
		return Offer{}, err
	}
	way := a.connect(p)
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.releaseLocked(way)
	}()
	if way.clientErr != nil {
		return Offer{}, errorOf(p.Name, way.clientErr)
	}
	version, err := way.client.Version(ctx)
	if err != nil {
		return Offer{}, errorOf(p.Name, err)
	}
	o := Offer{ServerURL: p.ServerURL, Version: version, Methods: []string{vocabulary.Password, vocabulary.RefreshToken, vocabulary.APIKey}}
	if _, err := way.client.AutoLogin(ctx); err == nil {
		o.Methods = append([]string{vocabulary.AutoLogin}, o.Methods...)
	}
	return o, ctx.Err()
}

// ProbeProfile asks a profile's server.
func (a *Agent) ProbeProfile(ctx context.Context, name string) (Offer, error) {
	s, err := a.session(name)
	if err != nil {
		return Offer{}, err
	}
	return a.Probe(ctx, s.known.Load().profile)
}
