package localapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"langkeep/agent"
	"langkeep/assets"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/proof"
	"langkeep/localapi/words"
)

// policy lets the page run its own files and ask its own origin, and nothing
// else: no inline script or style, no frame, no form, no text that becomes
// markup or script (W3C Content Security Policy 3, Trusted Types).
var policy = strings.Join([]string{
	"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
	"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	"require-trusted-types-for 'script'", "trusted-types 'none'",
}, "; ")

// pageFileOf is a file of the page in package assets, by its name below /ui/; "" is the
// page itself.
func pageFileOf(name string) string {
	switch name {
	case "":
		return "page/index.html"
	case "icon.svg":
		return "icons/app.svg"
	case "index.html":
		return "" // it is the root
	}
	return "page/" + name
}

// page serves the control page's own files.
func (s *Server) page(w http.ResponseWriter, _ *http.Request, _ *guard.Caller, name string) error {
	body, err := assets.Page.ReadFile(pageFileOf(name))
	if err != nil { // it is embedded, so the name is wrong
		return client.NewProblem(client.TypeNotFound, "the control page has no such file")
	}
	h := w.Header()
	h.Set("Content-Type", map[string]string{
		".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
	}[path.Ext(pageFileOf(name))])
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	_, _ = w.Write(body) // fails only if the client has gone
	return nil
}

// wordsChange is the time between two looks at the page's words: a time left is in
// seconds at its end.
const wordsChange = time.Second

// pageEvents streams the control page's content as Server-Sent Events: about, a card
// for every profile, recent, then ready. After that it sends each of them again on a
// change, and removed.
func (s *Server) pageEvents(w http.ResponseWriter, r *http.Request, caller *guard.Caller, _ string) error {
	out := eventWriter{w: w, sent: map[string][]byte{}, quiet: time.Now()}
	profiles := map[string]client.Profile{}
	defer s.attend(caller)()
	return s.stream(w, r, wordsChange, func(changes []agent.Event, _ bool) error {
		for _, e := range changes {
			switch {
			case !caller.Sees(e.Name):
			case e.Removed:
				delete(profiles, e.Name)
				out.forget("card", e.Name)
				out.put("removed", e.Name, map[string]string{"name": e.Name})
				out.forget("removed", e.Name)
			default:
				profiles[e.Name] = presentTo(caller, e.Snapshot)
			}
		}
		now := time.Now()
		out.put("about", "", s.about(caller))
		for name, p := range profiles {
			shown := card(p, now)
			shown.History = s.recent.strip(name, now)
			out.put("card", name, shown)
		}
		out.put("recent", "", s.recent.seen(caller))
		if caller.Has(guard.Owner) {
			s.putAsks(&out, caller.Confirmed)
		}
		out.put("ready", "", struct{}{}) // once, since it never changes
		if now.Sub(out.quiet) >= keepAlive {
			fmt.Fprint(w, ": still here\n\n")
			out.quiet = now
		}
		return nil
	})
}

// eventWriter writes the events whose data has changed.
type eventWriter struct {
	w     http.ResponseWriter
	sent  map[string][]byte // by kind and name: the data last written
	quiet time.Time         // when an event was last written
}

func (o *eventWriter) put(kind, name string, data any) {
	body, err := json.Marshal(data)
	if err != nil {
		panic(err) // structs of strings and numbers, so it can't fail
	}
	key := kind + " " + name
	if bytes.Equal(o.sent[key], body) {
		return
	}
	o.sent[key], o.quiet = body, time.Now()
	fmt.Fprintf(o.w, "event: %s\ndata: %s\n\n", kind, body)
}

func (o *eventWriter) forget(kind, name string) { delete(o.sent, kind+" "+name) }

// stopped is closed when the server ends its streams; nil for a request that did not
// come through Serve.
func stopped(ctx context.Context) <-chan struct{} {
	if streams, ok := ctx.Value(streamsKey{}).(context.Context); ok {
		return streams.Done()
	}
	return nil
}

// over tells whether a stream must end because its token has ended or was revoked. It is
// false for a request that did not come through Serve.
func (s *Server) over(r *http.Request) bool {
	if stopped(r.Context()) == nil {
		return false
	}
	if token, ok := r.Context().Value(sealedKey{}).(proof.Secret); ok {
		_, alive := s.Pages.Holder(token)
		return !alive
	}
	_, problem := s.Guard.Check(r, guard.WayIn(r))
	return problem != nil
}

// about is the status without its profiles. Only some callers get the files' errors,
// since a file's name may be that of a profile that the caller must not see.
func (s *Server) about(caller *guard.Caller) client.Status {
	status := client.Status{Version: s.Version, StartedAt: *moment(s.Started), URL: s.URL, Store: s.Store, Locked: s.Agent.IsLocked(), Profiles: []client.Profile{}, NarrowedClients: []string{}}
	if caller.Has(guard.Owner) {
		for _, c := range s.Clients.All() {
			if c.Narrowed {
				status.NarrowedClients = append(status.NarrowedClients, c.Name)
			}
		}
	}
	if err := s.ConfigError(); err != nil && (caller.Owner || caller.Profiles == nil) {
		status.ConfigError = known(err.Error())
	}
	if err := s.Audit.Problem(); err != nil && (caller.Owner || caller.Profiles == nil) {
		status.AuditError = known(err.Error())
	}
	return status
}

// card is a profile in words.
func card(p client.Profile, now time.Time) client.Card {
	c := client.Card{
		Profile: p, Short: words.Short(p, now), Long: words.Long(p, now),
		TokenLeft: words.TokenLeft(p, now), SessionLeft: words.SessionLeft(p, now), LastRefresh: words.None,
		Label: words.Label(p), Next: words.Next(p, now), NeedsYou: words.NeedsYou(p),
	}
	c.SignIn = "none"
	switch {
	case words.WantsBrowser(p):
		c.SignIn = "browser"
	case words.SignInHelps(p):
		c.SignIn = "form"
	}
	if p.LastRefreshAt != nil {
		c.LastRefresh = words.Clock(*p.LastRefreshAt, now)
	}
	if share, ok := words.TokenShare(p, now); ok && c.TokenLeft != words.None {
		const steps = 200 // of half a percent, about a pixel
		c.Share = new(float64(int(share*steps)) / steps)
	}
	return c
}
