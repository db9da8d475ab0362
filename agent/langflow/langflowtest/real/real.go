// Package real starts the real Langflow for tests: the one installed in
// .cache/langflow beside go.mod, or the executable that
// LANGKEEP_TEST_LANGFLOW names. Older versions are in folders of their own, such
// as .cache/langflow-1.4.3.
package real

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/secret"
)

// Options are a Server's, named as those of the stand-in.
type Options struct {
	Version         string        // an older one, such as 1.4.3; "": today's
	AccessLifetime  time.Duration // 0: Langflow's 1 h
	RefreshLifetime time.Duration // 0: Langflow's 7 days
	RootPath        string
	AutoLogin       bool
	Algorithm       string   // "": HS256
	RateLimit       bool     // Langflow's 5 sign-ins a minute
	Env             []string // more settings of Langflow's, each NAME=VALUE
}

// Server is a Langflow with a database of its own and one user, who may do
// everything.
type Server struct {
	URL                string // with the root path
	Username, Password string

	o      Options
	tb     testing.TB
	binary string
	dir    string // configuration, database and log
	port   int
	key    string // LANGFLOW_SECRET_KEY
	starts int

	mu    sync.Mutex // protects the following
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has
}

// Versions are the older ones to try, as .ci/setup installs them: those that
// LANGKEEP_TEST_VERSIONS names, or 1.4.3 and 1.10.3.
func Versions() []string {
	if named := strings.Fields(os.Getenv("LANGKEEP_TEST_VERSIONS")); len(named) > 0 {
		return named
	}
	return []string{"1.4.3", "1.10.3"}
}

// startLimit bounds a start; 25 to 60 s were seen on two cores, and over 5 min
// when they had much else to do.
const startLimit = 10 * time.Minute

// The secret keys, used in turn. Langflow encrypts API keys with them, and
// 1.13 fails at that with a text of 32 bytes or more that is not 32 bytes in
// base64.
const firstKey, secondKey = "langkeep-test-key-1", "langkeep-test-key-2"

// Start starts a server, waits until it answers, and stops it when the test
// ends. It takes most of a minute: share servers between subtests.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	s := &Server{
		Username: "admin", Password: "langkeep-test-Password1",
		o: o, tb: tb, binary: binary(tb, o.Version), dir: tb.TempDir(), port: freePort(tb), key: firstKey,
	}
	s.URL = "http://127.0.0.1:" + strconv.Itoa(s.port) + o.RootPath
	tb.Cleanup(s.Stop)
	s.Restart()
	return s
}

// Restart stops the server, if it runs, and starts it again with the same
// port, database and keys: sessions survive.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.starts++
	logPath := filepath.Join(s.dir, fmt.Sprintf("log-%d", s.starts))
	log, err := os.Create(logPath)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(s.binary, "run", "--backend-only", "--host", "127.0.0.1", "--port", strconv.Itoa(s.port))
	cmd.Env, cmd.Dir = s.env(), s.dir
	cmd.Stdout, cmd.Stderr = log, log
	ownGroup(cmd)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		s.tb.Fatalf("start langflow: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	s.mu.Lock()
	s.cmd, s.ended = cmd, ended
	s.mu.Unlock()
	for _, path := range []string{"/health", "/api/v1/version"} {
		if err := waitFor(s.URL+path, begin.Add(startLimit), ended); err != nil {
			s.Stop()
			tail, _ := os.ReadFile(logPath)
			s.tb.Fatalf("langflow did not start: %v\n%s", err, tail[max(0, len(tail)-4000):])
		}
	}
	s.tb.Logf("langflow at %s, ready after %v", s.URL, time.Since(begin).Round(time.Second))
}

// RestartWith restarts the server with other settings in the place of Options.Env.
func (s *Server) RestartWith(env ...string) {
	s.tb.Helper()
	s.o.Env = env
	s.Restart()
}

// RestartAs restarts the server as another version, as whoever keeps it might:
// with the same database and keys.
func (s *Server) RestartAs(version string) {
	s.tb.Helper()
	s.Stop()
	s.o.Version, s.binary = version, binary(s.tb, version)
	s.Restart()
}

// RestartWithNewSecret restarts with other keys, which ends every session.
func (s *Server) RestartWithNewSecret() {
	s.tb.Helper()
	s.Stop()
	if s.key == firstKey {
		s.key = secondKey
	} else {
		s.key = firstKey
	}
	// RS256 and RS512 have a pair of files instead, made anew where missing.
	for _, name := range []string{"private_key.pem", "public_key.pem"} {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !os.IsNotExist(err) {
			s.tb.Fatal(err)
		}
	}
	s.Restart()
}

// Stop ends the server and all that it started, at once.
func (s *Server) Stop() {
	s.mu.Lock()
	cmd, ended := s.cmd, s.ended
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	killGroup(cmd)
	<-ended
}

// Program is one that was installed with the server: python, lfx and others.
func (s *Server) Program(name string) string { return filepath.Join(filepath.Dir(s.binary), name) }

// Log is what the server has written since it was started last.
func (s *Server) Log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, fmt.Sprintf("log-%d", s.starts)))
	if err != nil {
		s.tb.Fatal(err)
	}
	return string(b)
}

// AddUser adds an account. It waits for approval unless active.
func (s *Server) AddUser(username, password string, active bool) {
	s.tb.Helper()
	id := s.api(http.MethodPost, "/users/", map[string]any{"username": username, "password": password})["id"]
	if active {
		s.api(http.MethodPatch, fmt.Sprintf("/users/%s", id), map[string]any{"is_active": true})
	}
}

// Deactivate bars an account, Activate takes that back.
func (s *Server) Deactivate(username string) {
	s.tb.Helper()
	s.patchUser(username, "is_active", false)
}
func (s *Server) Activate(username string) { s.tb.Helper(); s.patchUser(username, "is_active", true) }

// RenameUser gives an account another name.
func (s *Server) RenameUser(username, other string) {
	s.tb.Helper()
	s.patchUser(username, "username", other)
}

// ChangePassword gives an account another password.
func (s *Server) ChangePassword(username, password string) {
	s.tb.Helper()
	s.patchUser(username, "password", password)
}

func (s *Server) patchUser(username, field string, value any) {
	s.tb.Helper()
	s.api(http.MethodPatch, "/users/"+s.userID(username), map[string]any{field: value})
}

// DeleteUser removes an account. 1.13 only deactivates it at first and erases
// it in the background, which is waited for.
func (s *Server) DeleteUser(username string) {
	s.tb.Helper()
	s.api(http.MethodDelete, "/users/"+s.userID(username), nil)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Minute); s.userID(username) != ""; <-tick.C {
		if time.Now().After(deadline) {
			s.tb.Fatalf("langflow still has the user %q", username)
		}
	}
}

// AddAPIKey makes a key of the server's own user.
func (s *Server) AddAPIKey() (key secret.Text, id string) {
	s.tb.Helper()
	k := s.api(http.MethodPost, "/api_key/", map[string]any{"name": "langkeep-test"})
	text, _ := k["api_key"].(string)
	id, _ = k["id"].(string)
	return secret.New(text), id
}

// RevokeAPIKey deletes a key.
func (s *Server) RevokeAPIKey(id string) {
	s.tb.Helper()
	s.api(http.MethodDelete, "/api_key/"+id, nil)
}

// userID is "" if there is no such account.
func (s *Server) userID(username string) string {
	s.tb.Helper()
	users, _ := s.api(http.MethodGet, "/users/?limit=100", nil)["users"].([]any)
	for _, u := range users {
		if u, ok := u.(map[string]any); ok && u["username"] == username {
			return fmt.Sprint(u["id"])
		}
	}
	return ""
}

// api makes a call as the server's own user, signing in for each: not for a
// server with a rate limit.
func (s *Server) api(method, path string, body any) map[string]any {
	s.tb.Helper()
	form := "username=" + s.Username + "&password=" + s.Password
	signedIn := s.do(method, path, http.MethodPost, "/login", "application/x-www-form-urlencoded", form, "")
	token, _ := signedIn["access_token"].(string)
	var text string
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			s.tb.Fatal(err)
		}
		text = string(b)
	}
	return s.do(method, path, method, path, "application/json", text, token)
}

func (s *Server) do(forMethod, forPath, method, path, contentType, body, token string) map[string]any {
	s.tb.Helper()
	req, err := http.NewRequest(method, s.URL+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		s.tb.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		s.tb.Fatalf("%s %s for %s %s: %d %s %v", method, path, forMethod, forPath, resp.StatusCode, data, err)
	}
	var object map[string]any
	if len(bytes.TrimSpace(data)) > 0 && data[0] == '{' {
		if err := json.Unmarshal(data, &object); err != nil {
			s.tb.Fatal(err)
		}
	}
	return object
}

// env is the test's own environment without what could change the server.
func (s *Server) env() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LANGFLOW_") && !strings.HasPrefix(v, "LANGKEEP_") {
			env = append(env, v)
		}
	}
	env = append(env,
		"LANGFLOW_CONFIG_DIR="+s.dir,
		"LANGFLOW_DATABASE_URL=sqlite:///"+filepath.ToSlash(filepath.Join(s.dir, "langflow.db")),
		"LANGFLOW_AUTO_LOGIN="+strconv.FormatBool(s.o.AutoLogin),
		"LANGFLOW_SUPERUSER="+s.Username,
		"LANGFLOW_SUPERUSER_PASSWORD="+s.Password,
		"LANGFLOW_SECRET_KEY="+s.key,
		"LANGFLOW_RATE_LIMIT_ENABLED="+strconv.FormatBool(s.o.RateLimit),
		"LANGFLOW_CREATE_STARTER_PROJECTS=false",
		"DO_NOT_TRACK=true",
		"TMPDIR="+s.dir,
	)
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	if s.o.AccessLifetime != 0 {
		env = append(env, "LANGFLOW_ACCESS_TOKEN_EXPIRE_SECONDS="+seconds(s.o.AccessLifetime))
	}
	if s.o.RefreshLifetime != 0 {
		env = append(env, "LANGFLOW_REFRESH_TOKEN_EXPIRE_SECONDS="+seconds(s.o.RefreshLifetime))
	}
	if s.o.RootPath != "" {
		env = append(env, "LANGFLOW_ROOT_PATH="+s.o.RootPath)
	}
	if s.o.Algorithm != "" {
		env = append(env, "LANGFLOW_ALGORITHM="+s.o.Algorithm)
	}
	return append(env, s.o.Env...)
}

// Python is the interpreter that a version is installed for; "" is today's.
func Python(tb testing.TB, version string) string {
	tb.Helper()
	return filepath.Join(filepath.Dir(binary(tb, version)), "python")
}

// binary finds the langflow to run, of a version.
func binary(tb testing.TB, version string) string {
	tb.Helper()
	if path := os.Getenv("LANGKEEP_TEST_LANGFLOW"); path != "" && version == "" {
		return path
	}
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			tb.Fatal("no go.mod above the working folder")
		}
		dir = parent
	}
	folder := "langflow"
	if version != "" {
		folder += "-" + version
	}
	// The server alone, without all components, has a program of another name.
	for _, name := range []string{"langflow", "langflow-base"} {
		path := filepath.Join(dir, ".cache", folder, "bin", name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	tb.Fatalf("no langflow in .cache/%s: install it (.ci/setup)", folder)
	return ""
}

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// waitFor polls until url answers 200.
func waitFor(url string, deadline time.Time, ended <-chan struct{}) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		err := get(url)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after %v: %w", startLimit, err)
		}
		select {
		case <-ended:
			return fmt.Errorf("it ended by itself")
		case <-tick.C:
		}
	}
}

func get(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
