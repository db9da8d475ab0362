//go:build real && linux

package trials

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/assets/casebook"
	"langkeep/localapi/client"
)

// action is something that changes what outlives an agent.
type action struct {
	what string
	// before makes what there is before it, in a home with a running agent.
	before func(h *home, url string)
	do     func(h *home, url string) done
	// after tells what a kill may cost, of what is shown once the agent is there
	// again: "" if that state must not be.
	after func(h *home, url, shown string) (lost, heals string)
}

// TestFaultsKilled kills the agent ahead of every step of what it does, and sees
// what the next one makes of it: each with the file store.
func TestFaultsKilled(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may look into an agent, which is closed to its user")
	}
	program := buildProgram(t)
	signedIn := func(h *home, url string) {
		h.t.Helper()
		if d := h.signIn(url, "--remember-password"); d.code != exitDone {
			h.t.Fatalf("sign in: %s", d.stderr)
		}
	}
	// whole is for a moment of death that must cost nothing.
	whole := func(h *home, url, shown string) (lost, heals string) {
		if shown != "fresh" {
			return "", ""
		}
		return "nothing", "with the next start"
	}
	actions := []action{
		{"The first sign-in", func(h *home, url string) {}, func(h *home, url string) done {
			return h.signIn(url, "--remember-password")
		}, func(h *home, url, shown string) (lost, heals string) {
			switch shown {
			case "fresh":
				return "nothing", "with the next start"
			case "no profile", "signed-out":
				if d := h.signIn(url); d.code != exitDone {
					h.t.Errorf("signing in again: %s", d.stderr)
				}
				return "the sign-in that was under way", "with a sign-in"
			}
			return "", ""
		}},
		{"Signing in again", signedIn, func(h *home, url string) done { return h.signIn(url, "--remember-password") }, whole},
		{"A refresh", signedIn, func(h *home, url string) done { return h.do("refresh", "prod", "--no-start") }, whole},
		{"The first API key", signedIn, func(h *home, url string) done { return h.do("key", "prod", "--no-start") }, whole},
		{"A key's replacement", func(h *home, url string) {
			signedIn(h, url)
			h.must(exitDone, "key", "prod", "--no-start")
		}, func(h *home, url string) done {
			// One that lives longer than it may now is replaced.
			if d := change(h, `{"key_lifetime":"1h"}`); d.code != exitDone {
				return d
			}
			return h.do("key", "prod", "--no-start")
		}, func(h *home, url, shown string) (lost, heals string) {
			if key := h.do("key", "prod", "--no-start"); key.code != exitDone {
				h.t.Errorf("no key: %s", key.stderr)
			}
			return whole(h, url, shown)
		}},
		{"A change of settings", signedIn, func(h *home, url string) done {
			return h.do("proxy", "prod", "on", "--no-start")
		}, whole},
		{"A change to another server", signedIn, func(h *home, url string) done {
			return change(h, fmt.Sprintf(`{"server_url":%q}`, other(url)))
		}, func(h *home, url, shown string) (lost, heals string) {
			p := h.profile()
			switch {
			case p == nil:
				return "", ""
			case shown == "fresh" && p.ServerURL == url:
				return "nothing", "with the next start"
			case shown == "signed-out" && p.ServerURL == other(url), shown == "signed-out" && p.ServerURL == url:
				return "the session, which the change ends anyway", "with a sign-in"
			}
			return "", ""
		}},
		{"A sign-out", signedIn, func(h *home, url string) done { return h.do("logout", "prod", "--no-start") },
			func(h *home, url, shown string) (lost, heals string) {
				if shown != "fresh" && shown != "signed-out" {
					return "", ""
				}
				h.must(exitDone, "logout", "prod", "--no-start")
				h.has()
				return "nothing that was to stay", "when it is asked for again"
			}},
		{"A profile's removal", signedIn, func(h *home, url string) done { return h.do("remove", "prod", "--no-start") },
			func(h *home, url, shown string) (lost, heals string) {
				if shown != "fresh" && shown != "signed-out" && shown != "no profile" {
					return "", ""
				}
				if shown != "no profile" {
					h.must(exitDone, "remove", "prod", "--no-start")
				}
				h.has()
				return "nothing that was to stay", "when it is asked for again"
			}},
		{"A new client", func(h *home, url string) {
			signedIn(h, url)
			h.must(exitDone, "client", "add", "first", "--profile", "prod", "--scope", "read", "--no-start")
		}, func(h *home, url string) done {
			return h.do("client", "add", "second", "--profile", "prod", "--scope", "read", "--no-start")
		}, func(h *home, url, shown string) (lost, heals string) {
			list := h.must(exitDone, "client", "list", "--no-start").stdout
			if shown != "fresh" || !strings.Contains(list, "first") {
				return "", ""
			}
			if strings.Contains(list, "second") {
				h.must(exitDone, "client", "revoke", "second", "--no-start") // its token was never seen
			}
			h.must(exitDone, "client", "add", "second", "--profile", "prod", "--scope", "read", "--no-start")
			return "nothing", "with the next start; the client is added again"
		}},
	}
	tables := make([][][]string, len(actions))
	t.Run("at every step", func(t *testing.T) {
		for i, a := range actions {
			t.Run(a.what, func(t *testing.T) {
				t.Parallel()
				tables[i] = killed(t, program, a)
			})
		}
	})
	if t.Failed() {
		return
	}
	casebook.Table(t, "docs/faults.md", "TestFaultsKilled in cmd/trials", faultHeader(), slices.Concat(tables...))
}

// killed tries an action as often as it has steps, and makes a row of those in a
// row that end alike.
func killed(t *testing.T, program string, a action) (rows [][]string) {
	dir := shortDir(t)
	langflow := langflowtest.New(langflowtest.Options{})
	defer langflow.Close()
	var now atomic.Pointer[steps]
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := now.Load(); s != nil {
			s.ServeHTTP(w, r)
			return
		}
		langflow.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = quietLog()
	server.Start()
	defer server.Close()

	first := newHome(t, program, filepath.Join(dir, "first"))
	stop := first.start()
	a.before(first, server.URL)
	first.must(exitDone, "stop")
	stop()

	run := func(name, kill string) (*home, *steps) {
		h := first.copyTo(t, filepath.Join(dir, name))
		s := &steps{dir: h.dir, server: langflow}
		now.Store(s)
		defer now.Store(nil)
		cmd := h.command("run", "--headless")
		var said bytes.Buffer
		f, err := os.Create(filepath.Join(dir, name+".said"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.Stderr = f
		s.arm("")
		ended := s.start(t, cmd)
		h.answers(ended, &said)
		h.settles()
		s.quiet(h)
		s.arm(kill)
		a.do(h, server.URL)
		if kill == "" {
			s.quiet(h)
			return h, s
		}
		select {
		case <-ended:
			return h, s
		case <-time.After(10 * time.Second):
		}
		t.Errorf("the step %q did not come among %d", kill, len(s.list()))
		_ = cmd.Process.Kill()
		<-ended
		return h, s
	}
	live, s := run("live", "")
	all := s.list()
	live.must(exitDone, "stop")
	if len(all) == 0 {
		t.Fatal("it has no steps")
	}
	t.Logf("%s: %d steps", a.what, len(all))

	homes := []*home{first, live}
	var stops []func()
	for i, step := range all {
		h, _ := run(fmt.Sprint(i), step)
		homes, stops = append(homes, h), append(stops, h.start())
		shown := h.settles()
		h.sound()
		code := h.do("token", "prod", "--no-start").code
		lost, heals := a.after(h, server.URL, shown)
		if lost == "" {
			t.Errorf("killed %s: it is %s", step, shown)
		}
		row := []string{"", shown, fmt.Sprint(code), lost, heals}
		if n := len(rows); n > 0 && slices.Equal(rows[n-1][1:], row[1:]) {
			rows[n-1][0] += "; " + step
			continue
		}
		row[0] = "**" + a.what + "**, killed " + step
		rows = append(rows, row)
	}
	noOrphans(t, server.URL, homes)
	for _, stop := range stops {
		stop()
	}
	return rows
}

// quiet waits until no step has come for a while.
func (s *steps) quiet(h *home) {
	h.t.Helper()
	n, since := -1, time.Now()
	h.eventually("nothing is written", func() bool {
		if now := len(s.list()); now != n {
			n, since = now, time.Now()
		}
		return time.Since(since) > 200*time.Millisecond
	})
}

// sound fails the test if a file is half-written, or left behind.
func (h *home) sound() {
	h.t.Helper()
	status := h.status()
	if status.ConfigError != nil || status.AuditError != nil {
		h.t.Errorf("files: %v, audit: %v", *status.ConfigError, status.AuditError)
	}
	h.eventually("nothing half-written is left", func() bool {
		left := false
		for _, dir := range []string{h.paths.Config, h.paths.ProfilesDir(), h.paths.State, h.paths.Run} {
			found, _ := filepath.Glob(filepath.Join(dir, ".tmp-*"))
			left = left || found != nil
		}
		return !left
	})
	for _, path := range []string{h.paths.Keys(), h.paths.Clients(), h.paths.Agent()} {
		data, err := os.ReadFile(path)
		if err == nil && !json.Valid(data) {
			h.t.Errorf("%s is %q", path, data)
		}
	}
}

// has fails the test unless the store has these items of prod alone.
func (h *home) has(whats ...string) {
	h.t.Helper()
	store, err := keychain.NewFile(h.paths.Secrets(), secret.New("only for tests"))
	if err != nil {
		h.t.Error(err)
		return
	}
	for _, what := range []string{keychain.RefreshToken, keychain.AccessToken, keychain.Password, keychain.APIKey} {
		_, err := store.Get(h.t.Context(), keychain.ItemName("prod", what))
		if (err == nil) != slices.Contains(whats, what) {
			h.t.Errorf("%s: %v", what, err)
		}
	}
}

// change changes prod over the socket, as the control page does.
func change(h *home, body string) done {
	h.t.Helper()
	c, err := client.New(client.Options{Socket: h.paths.Socket()})
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	var to client.ProfileChange
	if err := json.Unmarshal([]byte(body), &to); err != nil {
		h.t.Fatal(err)
	}
	if _, err := c.ChangeProfile(h.t.Context(), "prod", to); err != nil {
		return done{code: exitFailed, stderr: err.Error()}
	}
	return done{}
}

// other is another origin that leads nowhere.
func other(string) string { return "http://127.0.0.1:9" }

// noOrphans waits until every key of Langkeep's on the server is one that a home
// knows and will delete at its end, and none is still to be deleted at once.
func noOrphans(t *testing.T, url string, homes []*home) {
	t.Helper()
	admin := langflowtest.Admin()
	res, err := http.PostForm(url+"/api/v1/login", map[string][]string{"username": {admin.Name}, "password": {admin.Password}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var pair struct {
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&pair); err != nil {
		t.Fatal(err)
	}
	homes[0].eventually("no key is an orphan", func() bool {
		req, err := http.NewRequest(http.MethodGet, url+"/api/v1/api_key/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+pair.Access)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var list struct {
			Keys []struct {
				Name string `json:"name"`
			} `json:"api_keys"`
		}
		if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, h := range homes {
			var journal struct {
				Keys []struct {
					Name, ID string
					Over     bool
				}
			}
			data, err := os.ReadFile(h.paths.Keys())
			if err == nil && json.Unmarshal(data, &journal) != nil {
				return false
			}
			for _, k := range journal.Keys {
				if k.Over || k.ID == "" {
					return false
				}
				known[k.Name] = true
			}
		}
		for _, k := range list.Keys {
			if !known[k.Name] {
				return false
			}
		}
		return true
	})
}
