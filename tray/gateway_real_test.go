//go:build real && linux

package tray

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
)

// TestSignInAtAGateway signs in in a real Chromium, from the menu of a real panel, each time
// that the gateway's cookie has ended.
func TestSignInAtAGateway(t *testing.T) {
	d := newDesktop(t)
	server := langflowtest.New(langflowtest.Options{AutoLogin: true})
	defer server.Close()
	var pass atomic.Value // the cookie that is let through, a string
	var signs atomic.Bool // the sign-in page gives it
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("_oauth2_proxy")
		switch {
		case err == nil && c.Value == pass.Load():
			server.ServeHTTP(w, r)
		case r.Header.Get("Accept") == "application/json":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "{}")
		default:
			if signs.Load() {
				http.SetCookie(w, &http.Cookie{Name: "_oauth2_proxy", Value: pass.Load().(string), Path: "/"})
			}
			// As a page that a person signs in on.
			_, _ = io.WriteString(w, `<html><meta http-equiv="refresh" content="1">Sign in</html>`)
		}
	}))
	defer gateway.Close()
	d.write("bin/browser", 0o755, "#!/bin/sh\nexec chromium --no-sandbox --disable-gpu \"$@\"\n")
	d.startPanel()
	d.startDunst()
	k := d.runAgent(build(t), d.path("langkeep"))
	k.awaitTray()
	d.write("langkeep/config/config.toml", 0o600, fmt.Sprintf("schema = 1\nbrowser = %q\n", d.path("bin/browser")))
	if _, err := k.client.AddProfile(t.Context(), client.NewProfile{Name: "corp", ServerURL: gateway.URL}); err != nil {
		t.Fatal(err)
	}
	pass.Store("first")
	signs.Store(true)
	// The agent takes up the file a moment after it was written.
	d.await("a sign-in in the browser", func() bool {
		_, err := k.client.Login(t.Context(), "corp", client.Login{Browser: true})
		return err == nil
	})
	k.awaitIcon(iconFresh)

	signs.Store(false)
	pass.Store("second")
	k.click("corp", "Refresh now")
	k.awaitState("corp", client.SignInRequired)
	k.awaitIcon(iconAttention)
	d.await("word of the sign-in", func() bool {
		return d.last() == "Langkeep · corp: sign in (gateway): oauth2-proxy in front of "+strings.TrimPrefix(gateway.URL, "http://")+" wants you to sign in. Your Langflow session is kept. Sign in from the tray menu."
	})
	k.click("corp", "Sign in…")
	d.await("the menu during the sign-in", func() bool {
		return strings.HasPrefix(labels(k.menu()), "corp · signing in… [Cancel sign-in | Open Langflow] ")
	})
	d.picture("tray-signing-in")
	k.click("corp", "Cancel sign-in")
	d.await("the menu after it was cancelled", func() bool {
		return strings.HasPrefix(labels(k.menu()), "corp · sign in (gateway) [Sign in… | Open Langflow] ")
	})
	k.click("corp", "Sign in…")
	signs.Store(true)
	k.awaitState("corp", client.Fresh)
	k.awaitIcon(iconFresh)
	d.await("word of its end", func() bool {
		return d.last() == "Langkeep · corp: back to normal: Signed in, and refreshes by itself."
	})
	k.stopNow(t)
}
