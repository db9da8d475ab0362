//go:build real && linux

package trials

import (
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/localapi/client"
)

// TestFaultsOfLangflow has the users of a real Langflow changed, and then the
// server.
func TestFaultsOfLangflow(t *testing.T) {
	t.Parallel() // it waits most of its time
	faultsOf(t, (*faultyPerson).testLangflow)
}

// testLangflow has its users changed, and then the server.
func (f *faultyPerson) testLangflow() {
	server := real.Start(f.t, real.Options{AccessLifetime: life})
	const password, another = "first-Password1", "another-Password2"
	f.secret("a user's password", password)
	f.secret("a user's other password", another)
	signIn := func(code int, user, password string, flags ...string) {
		f.t.Helper()
		f.byHand++
		f.mustTyping(password+"\n", code, append([]string{"login", user, server.URL, "--username", user, "--password-stdin", "--no-start"}, flags...)...)
	}
	for _, user := range []string{"inactive", "deleted", "renamed", "changed"} {
		server.AddUser(user, password, true)
		signIn(exitDone, user, password)
		f.accepted(user, server.URL)
	}
	f.signIn("kept", server.URL, server, "--remember-password")

	server.Deactivate("inactive")
	server.RenameUser("renamed", "otherwise")
	server.ChangePassword("changed", another)
	server.DeleteUser("deleted")
	f.comesTo("A user is deactivated, and activated again.", "inactive", client.SignInRequired, "inactive-user", exitSignIn)
	server.Activate("inactive")
	f.must(exitDone, "refresh", "inactive", "--no-start")
	f.heals("inactive", server.URL, "at once with `langkeep refresh`", forgiven)

	f.must(exitDone, "refresh", "renamed", "--no-start")
	f.comesTo("A user is renamed.", "renamed", client.Fresh, "", exitDone)
	f.accepted("renamed", server.URL)

	f.must(exitDone, "refresh", "changed", "--no-start")
	f.comesTo("A password is changed.", "changed", client.Fresh, "", exitDone)
	f.accepted("changed", server.URL)
	signIn(exitSignIn, "changed", password)
	f.accepted("changed", server.URL) // a sign-in that failed costs nothing
	signIn(exitDone, "changed", another)

	// Deleting takes a while, in which the user is inactive.
	f.eventually(time.Minute, "the deleted user's session is over", func() bool {
		return f.do("token", "deleted", "--no-start").code == exitSignIn
	})
	f.do("refresh", "deleted", "--no-start") // which hears the last word
	f.comesTo("A user is deleted.", "deleted", client.SignInRequired, "session-ended", exitSignIn)
	copy(f.rows[len(f.rows)-1][3:], []string{"the session", "with another user's sign-in"})

	server.Stop()
	f.comesTo("The server goes down, and comes back with a new secret key. The password is remembered.", "kept",
		client.Stale, "unreachable", exitUnreachable)
	server.RestartWithNewSecret()
	f.heals("kept", server.URL, "in 2 min: it signs in by itself", 2*time.Minute)
	f.comesTo("The same, and no password is remembered.", "changed", client.SignInRequired, "session-ended", exitSignIn)
	signIn(exitDone, "changed", another)
	f.heals("changed", server.URL, "with a sign-in", forgiven)
}
