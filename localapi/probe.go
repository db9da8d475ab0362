package localapi

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"langkeep/agent"
	"langkeep/agent/config"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
)

// probe asks a server for its methods of sign-in, for a new profile or a new sign-in.
func (s *Server) probe(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	var body client.Probe
	if err := read(r, &body); err != nil {
		return err
	}
	var offer agent.Offer
	var err error
	if asked := body; body.Profile != "" {
		if asked.Profile = ""; asked != (client.Probe{}) {
			return client.NewProblem(client.TypeBadRequest, "name a profile or a server_url, not both")
		}
		offer, err = s.Agent.ProbeProfile(r.Context(), body.Profile)
		if profile, found := s.Agent.Profile(body.Profile); found == nil {
			body.ServerURL = profile.ServerURL
		}
	} else {
		offer, err = s.Agent.Probe(r.Context(), config.Profile{ServerURL: body.ServerURL, CAFile: body.CAFile, AllowHTTP: body.AllowHTTP})
	}
	if err != nil {
		return problemOf(err, body.ServerURL)
	}
	answered := client.Offer{ServerURL: offer.ServerURL, Version: offer.Version, Name: s.freeName(offer.ServerURL)}
	if offer.Gateway != "" {
		answered.Gateway = &offer.Gateway
		answered.Words = words.Gateway(offer.Gateway, words.Host(client.Profile{ServerURL: offer.ServerURL}))
	}
	for _, method := range offer.Methods {
		answered.Methods = append(answered.Methods, client.Method(method))
	}
	return answer(w, http.StatusOK, answered)
}

// freeName makes a free profile name from a server's name: flows for flows.example.org,
// local for this computer.
func (s *Server) freeName(serverURL string) string {
	name := "langflow"
	if u, err := url.Parse(serverURL); err == nil {
		host := u.Hostname()
		switch ip := net.ParseIP(host); {
		case host == "localhost" || ip != nil && ip.IsLoopback():
			name = "local"
		case ip == nil:
			host = strings.TrimPrefix(host, "www.")
			if first, _, _ := strings.Cut(host, "."); vocabulary.ValidName(first) == nil {
				name = first
			}
		}
	}
	for free, n := name, 2; ; n++ {
		if _, err := s.Agent.Profile(free); err != nil {
			return free
		}
		free = name + "-" + strconv.Itoa(n)
	}
}
