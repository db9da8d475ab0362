package agent

import (
	"bytes"
	"context"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/paths"
)

// ways are the ways to the servers whose certificates one set of CAs vouches for.
type ways struct {
	ca      []byte        // PEM; empty: the system's CAs alone
	calls   *langflow.Way // for requests of our own
	streams *langflow.Way // for what is passed on to the server
}

// waysBy returns the ways of a set of CAs. The caller holds a.mu.
func (a *Agent) waysBy(ca []byte) (*ways, error) {
	if w := a.ways[string(ca)]; w != nil {
		return w, nil
	}
	transport, err := a.transport(ca)
	if err != nil {
		return nil, err
	}
	w := &ways{ca, langflow.NewWay(transport), langflow.NewWay(langflow.Streaming(transport))}
	a.ways[string(ca)] = w
	return w, nil
}

// renewWays gives up all connections to servers: after a sleep, or in another
// network, they lead nowhere, and nobody says so.
func (a *Agent) renewWays() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.ways {
		w.calls.Renew()
		w.streams.Renew()
	}
}

// readCA reads a file of certificates; "" is none.
func readCA(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	const most = 1 << 20 // bytes; the system's own bundle has a quarter of that
	return paths.ReadFile(path, most)
}

// followCA has a session use its CA file as it is by now. While the file can't be
// used what it had before goes on, since files are not always replaced in one
// step.
func (a *Agent) followCA(s *session) {
	a.mu.Lock()
	path := s.profile.CAFile
	a.mu.Unlock()
	if path == "" {
		return
	}
	ca, err := readCA(path) // which may be on a network that does not answer
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil && s.profile.CAFile == path {
		a.takeCA(s, ca)
	}
}

// takeCA has a session trust the certificates that its file has by now, and tells
// whether they are others than before. The caller holds a.mu.
func (a *Agent) takeCA(s *session, ca []byte) bool {
	if s.clientErr == nil && bytes.Equal(ca, s.ways.ca) {
		return false
	}
	old := s.ways
	if _, err := a.waysBy(ca); err != nil {
		return false
	}
	a.log.Info("the ca file was replaced", "profile", s.name)
	a.connectBy(s, ca, nil)
	for _, other := range a.sessions {
		if other.ways == old {
			return true
		}
	}
	if old != nil {
		delete(a.ways, string(old.ca))
		old.calls.Renew()
		old.streams.Renew()
	}
	return true
}

// lookAtCAs reads the CA files in the background, since they may be on a network
// that does not answer, and has the sessions whose file was replaced try again. The
// caller holds a.mu.
func (a *Agent) lookAtCAs() {
	files := map[string][]byte{}
	for _, s := range a.sessions {
		if s.profile.CAFile != "" {
			files[s.profile.CAFile] = nil
		}
	}
	if len(files) == 0 || a.watchingCAs {
		return
	}
	a.watchingCAs = true
	a.background(func(context.Context) {
		for path := range files {
			files[path], _ = readCA(path)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.watchingCAs = false
		for _, s := range a.sessions {
			if ca := files[s.profile.CAFile]; ca != nil && a.takeCA(s, ca) && s.ended == "" {
				s.failures = 0
				a.planSoon(s, time.Second)
			}
		}
	})
}
