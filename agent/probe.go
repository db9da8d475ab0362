package agent

import (
	"context"

	"langkeep/agent/config"
	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
)

// Offer is a server's version and its methods of sign-in.
type Offer struct {
	ServerURL string   // normalised
	Version   string   // "" where a gateway answered
	Methods   []string // the easiest first
	Gateway   string   // the gateway that wants something of its own before the server can be asked; "" if it can
}

// Probe asks a server, which need not have a profile yet; of p only the server's
// settings count. Only a use of auto login shows whether there is one: Probe drops the
// tokens that it gets.
func (a *Agent) Probe(ctx context.Context, p config.Profile) (Offer, error) {
	p, err := checked(p)
	if err != nil {
		return Offer{}, err
	}
	way := a.upstreams.of(p)
	defer func() {
		way.close()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.releaseLocked(way)
	}()
	return probe(ctx, p, way)
}

// ProbeProfile asks a profile's server, through the gateway in front of it.
func (a *Agent) ProbeProfile(ctx context.Context, name string) (Offer, error) {
	s, err := a.session(name)
	if err != nil {
		return Offer{}, err
	}
	if err := a.loadPass(ctx, s); err != nil {
		a.log.Warn("asking a server without what is kept for its gateway", "profile", name, "error", err)
	}
	m := s.known.Load()
	return probe(ctx, m.profile, m.upstream)
}

func probe(ctx context.Context, p config.Profile, to upstream) (Offer, error) {
	if to.clientErr != nil {
		return Offer{}, errorOf(p.Name, to.clientErr)
	}
	o := Offer{ServerURL: p.ServerURL, Methods: []string{vocabulary.Password, vocabulary.RefreshToken, vocabulary.APIKey}}
	version, err := to.client.Version(ctx)
	switch {
	case err == nil:
		o.Version = version
		if _, err := to.client.AutoLogin(ctx); err == nil {
			o.Methods = append([]string{vocabulary.AutoLogin}, o.Methods...)
		}
	case gatewayOf(err) != "":
		o.Gateway = gatewayOf(err)
	default:
		return Offer{}, errorOf(p.Name, err)
	}
	if version == "" || langflow.AtLeast(version, externalSince) {
		o.Methods = append(o.Methods, vocabulary.External)
	}
	return o, ctx.Err()
}

// externalSince is the first release of Langflow that takes an identity provider's tokens.
const externalSince = "1.11"
