package main

import (
	"testing"

	"langkeep/localapi/client"
)

// Only an agent that has nothing to lose is replaced.
func TestHasSession(t *testing.T) {
	for state, want := range map[client.State]bool{
		client.Fresh: true, client.Retrying: true, client.Stale: true, client.SignInRequired: true, client.KeychainLocked: false, client.SignedOut: false,
	} {
		if hasSession(client.Profile{State: state}) != want || !hasSession(client.Profile{State: state, SigningIn: true}) {
			t.Errorf("%s: want %t, and true while somebody signs in", state, want)
		}
	}
}
