package trials

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/agent/paths"
	"langkeep/localapi/client"
)

// hostile is what a server or a file says that wants to be more than text: it
// clears the screen, renames the window, turns the direction of writing, ends
// its line, and goes on as if it were us.
const hostile = "\x1b[2J\x1b]0;pwned\x07\u009b31m\u202egnp\u2066\u200b\r\nlangkeep: all is well\x00\x7f"

// inJSON is it as a JSON text without its quotes.
func inJSON(text string) string {
	quoted, _ := json.Marshal(text) // never fails for a string
	return string(quoted[1 : len(quoted)-1])
}

// talkative is Langflow, but all that it says of itself is hostile.
func talkative(w http.ResponseWriter, r *http.Request) {
	said, token := inJSON(hostile), jwt(`{"sub":"1","type":"access","exp":`+fmt.Sprint(time.Now().Add(time.Hour).Unix())+`}`)
	switch short := strings.TrimPrefix(r.URL.Path, "/api/v1"); {
	case short == "/version":
		jsonAnswer(200, `{"version":"1.13.0`+said+`","package":"`+said+`"}`)(w, r)
	case short == "/login":
		jsonAnswer(200, `{"access_token":"`+token+`","refresh_token":"`+token+`"}`)(w, r)
	case short == "/users/whoami":
		jsonAnswer(200, `{"id":"1`+said+`","username":"ann`+said+`"}`)(w, r)
	case strings.HasPrefix(short, "/api_key/"):
		key := `{"id":"id` + said + `","name":"name` + said + `","api_key":"sk-****` + said + `","created_at":"` + said + `","last_used_at":null,"expires_at":null,"is_active":true}`
		jsonAnswer(200, `{"total_count":2,"user_id":"1","api_keys":[`+key+`,`+key+`]}`)(w, r)
	default:
		jsonAnswer(401, `{"detail":"`+said+`"}`)(w, r)
	}
}

// say runs a command and returns what it wrote.
func (b *betrayed) say(t *testing.T, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, words bytes.Buffer
	cmd := program(t, b.paths, append(args, "--no-start")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &words
	_ = cmd.Run() // some fail, and say so
	return out.String(), words.String()
}

// looked is where a trial has looked for a hostile text, and what it has found there.
type looked struct{ tame, kept, lines []string }

// happened says it.
func (l looked) happened() string {
	var said []string
	if len(l.tame) > 0 {
		said = append(said, "printable lines, none of them the attacker's, in `"+strings.Join(l.tame, "`, `")+"`")
	}
	if len(l.lines) > 0 {
		said = append(said, "lines of JSON without control characters in `"+strings.Join(l.lines, "`, `")+"`")
	}
	if len(l.kept) > 0 {
		slices.Sort(l.kept)
		said = append(said, "what can be printed is there: `"+strings.Join(l.kept, "`, `")+"`")
	}
	return strings.Join(said, "; ")
}

// wantKept wants a part of a text that can be printed to be there.
func (l *looked) wantKept(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q is lost: %s", part, text)
	}
	notes(&l.kept, part)
}

// wantLines wants each line of a text to be JSON that moves no cursor.
func (l *looked) wantLines(t *testing.T, what string, text []byte) {
	t.Helper()
	for line := range bytes.Lines(text) {
		if !json.Valid(line) || bytes.ContainsAny(bytes.TrimSuffix(line, []byte("\n")), "\x1b\r\x00\x7f") {
			t.Errorf("%s has the line %q", what, line)
		}
	}
	notes(&l.lines, what)
}

// wantLogs wants the log and the audit log to be tame.
func (l *looked) wantLogs(t *testing.T, p paths.Paths) {
	t.Helper()
	text, err := os.ReadFile(p.Log())
	if err != nil {
		t.Fatal(err)
	}
	l.wantTame(t, filepath.Base(p.Log()), string(text))
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("the log has the line %q", line)
		}
	}
	entries, err := os.ReadFile(p.Audit())
	if err != nil {
		t.Fatal(err)
	}
	l.wantLines(t, filepath.Base(p.Audit()), entries)
}

// wantTame wants a text to be lines that can be read, none of which is the server's.
func (l *looked) wantTame(t *testing.T, what, text string) {
	t.Helper()
	notes(&l.tame, what)
	if text == "" {
		t.Errorf("%s is empty", what)
	}
	decentWords(t, what, text)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "langkeep: all is well") {
			t.Errorf("%s has a line of the server's own:\n%s", what, text)
		}
	}
}

// first is what a stream says within a moment of its beginning.
func (b *betrayed) first(t *testing.T, route string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+route, nil)
	if err != nil {
		t.Fatal(err)
	}
	owner, _ := os.ReadFile(b.paths.Token())
	req.Header.Set("Authorization", "Bearer "+string(owner))
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	stop := time.AfterFunc(time.Minute, func() { _ = res.Body.Close() })
	defer stop.Stop()
	in := bufio.NewReader(res.Body)
	_, _ = in.Peek(1) // however busy the computer is
	stop.Reset(500 * time.Millisecond)
	said, _ := io.ReadAll(in) // it goes on until it is closed
	return string(said)
}

// Texts of others are shown to people and written into logs.
func TestAttackOutput(t *testing.T) {
	b := newBetrayed(t)
	b.server.answersAgent(talkative)
	name := b.signedIn(t)
	whole := t
	cases := []betrayal{
		{"its version, the account's name and the package's", func(t *testing.T, b *betrayed) string {
			var in looked
			for _, args := range [][]string{{"status"}, {"status", name}, {"status", name, "--json"}, {"status", "--json"}} {
				out, _ := b.say(t, "", args...)
				in.wantTame(t, strings.ReplaceAll(strings.Join(args, " "), name, "NAME"), out)
			}
			out, _ := b.say(t, "", "status", name)
			in.wantKept(t, out, "1.13.0")
			for _, route := range []string{"/v1/page/events", "/v1/events", "/v1/events/recent", "/metrics"} {
				in.wantTame(t, route, b.first(t, route))
			}
			return in.happened()
		}},
		{"the names, ids and masked keys of the account's API keys", func(t *testing.T, b *betrayed) string {
			var in looked
			out, _ := b.say(t, "", "keys", name)
			in.wantTame(t, "keys", out)
			const lines = 1 + 2
			if n := strings.Count(out, "\n"); n != lines {
				t.Errorf("a table of two keys has %d lines:\n%s", n, out)
			}
			out, _ = b.say(t, "", "keys", name, "--json")
			in.wantTame(t, "keys --json", out)
			return in.happened() + fmt.Sprintf("; the table of two keys has %d lines, with its head", lines)
		}},
		{"the `detail` of a refusal, at a refresh and at a sign-in", func(t *testing.T, b *betrayed) string {
			var in looked
			_, words := b.say(t, "", "refresh", name)
			in.wantTame(t, "refresh", words)
			in.wantKept(t, words, "all is well")
			out, _ := b.say(t, "", "status", name)
			in.wantTame(t, "status NAME", out)
			for _, route := range []string{"/v1/page/events", "/v1/events/recent"} {
				in.wantTame(t, route, b.first(t, route))
			}
			out, words = b.say(t, "", "doctor", name)
			in.wantTame(t, "doctor", out+words)
			out, _ = b.say(t, "", "doctor", name, "--json")
			in.wantTame(t, "doctor --json", out)
			b.meanwhile("/login", jsonAnswer(400, `{"detail":"`+inJSON(hostile)+`"}`), func() {
				_, words := b.say(t, password+"\n", "login", "fresh", b.server.URL, "--username", "ann", "--password-stdin")
				in.wantTame(t, "login", words)
			})
			b.server.answersAgent(talkative)
			return in.happened()
		}},
		{"the token itself", func(t *testing.T, b *betrayed) string {
			var in looked
			const printed = 0
			b.meanwhile("/login", jsonAnswer(200, `{"access_token":"eyJ`+inJSON(hostile)+`","refresh_token":"x"}`), func() {
				out, words := b.say(t, password+"\n", "login", "odd", b.server.URL, "--username", "ann", "--password-stdin")
				in.wantTame(t, "login", words)
				for _, args := range [][]string{{"token", "odd"}, {"token", "odd", "--output", "header"}, {"key", "odd"}} {
					more, words := b.say(t, "", args...)
					in.wantTame(t, args[0], words)
					out += more
				}
				if len(out) != printed {
					t.Errorf("stdout has %q", out)
				}
			})
			b.server.answersAgent(talkative)
			return fmt.Sprintf("%s; %d bytes are printed on stdout", in.happened(), printed)
		}},
		{"the address that it redirects to", func(t *testing.T, b *betrayed) string {
			var in looked
			b.meanwhile("/login", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "https://elsewhere.example/%1b%5b2J%0d%0alangkeep:%20all%20is%20well\u202e")
				w.WriteHeader(http.StatusTemporaryRedirect)
			}, func() {
				_, words := b.say(t, password+"\n", "login", "moved", b.server.URL, "--username", "ann", "--password-stdin")
				in.wantTame(t, "login", words)
			})
			b.server.answersAgent(talkative)
			return in.happened()
		}},
		{"the issuer of its certificate", func(t *testing.T, b *betrayed) string {
			var in looked
			server := hostileTLS(t)
			_, words := b.say(t, password+"\n", "login", "tls", server, "--username", "ann", "--password-stdin")
			in.wantTame(t, "login", words)
			if _, err := b.owner.AddProfile(t.Context(), client.NewProfile{Name: "tls", ServerURL: server}); err != nil {
				t.Fatal(err)
			}
			out, words := b.say(t, "", "doctor", "tls")
			in.wantTame(t, "doctor", out+words)
			return in.happened()
		}},
		{"an error of MCP through the proxy", func(t *testing.T, b *betrayed) string {
			var in looked
			b.server.answers(jsonAnswer(500, `{"detail":"`+inJSON(hostile)+`"}`))
			defer b.server.answers(nil)
			cmd := program(t, b.paths, "mcp", name, "--no-start")
			var out, words bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize"}`+"\n"+`{"jsonrpc":"2.0","method":"notifications/x"}`+"\n"), &out, &words
			_ = cmd.Run()
			in.wantTame(t, "stderr of mcp", words.String())
			in.wantLines(t, "stdout of mcp", out.Bytes())
			return in.happened()
		}},
		{"a request with a method, a path, a Host, an Origin that want to be lines of a log", func(t *testing.T, b *betrayed) string {
			var in looked
			host := strings.TrimPrefix(b.url, "http://")
			for _, request := range []string{
				"GET /v1/x\x1b[2J HTTP/1.1\r\nHost: " + host + "\r\n\r\n", "GET /v1/%1b%5b2J%0alangkeep HTTP/1.1\r\nHost: " + host + "\r\n\r\n", "GET / HTTP/1.1\r\nHost: \u202eevil\u009b\r\n\r\n",
				"GET /v1/status HTTP/1.1\r\nHost: " + host + "\r\nOrigin: http://a\t\u202eb\r\n\r\n", "G\x7fT / HTTP/1.1\r\nHost: " + host + "\r\n\r\n", "BREW" + strings.Repeat("W", 9000) + " / HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
				"\x1b[2J\r\nlangkeep: all is well\r\n\r\n",
			} {
				between{words: map[string]string{"it": ""}}.shout(t, host, request)
			}
			in.wantLogs(t, b.paths)
			return in.happened()
		}},
		{"a program whose file's name is hostile asks for something", func(t *testing.T, b *betrayed) string {
			var in looked
			if runtime.GOOS != "linux" {
				t.Skip("which program asks is known on Linux alone")
			}
			text, err := os.ReadFile(program(t, b.paths).Path)
			if err != nil {
				t.Fatal(err)
			}
			exe := filepath.Join(t.TempDir(), "lk\x1b[2J\nlangkeep: all is well\u202e")
			if err := os.WriteFile(exe, text, 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := program(t, b.paths, "token", name, "--no-start")
			cmd.Path = exe
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			var out string
			for limit := time.Now().Add(10 * time.Second); !strings.Contains(out, "all is well") && time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
				out, _ = b.say(t, "", "audit")
			}
			in.wantTame(t, "audit", out)
			in.wantKept(t, out, "all is well")
			in.wantLogs(t, b.paths)
			return in.happened()
		}},
		{"a name for a client or a profile that is hostile, through the API and on the command line", func(t *testing.T, b *betrayed) string {
			var in looked
			_, _, noClient := b.owner.AddClient(t.Context(), client.NewClient{Name: hostile, Scopes: []string{"read"}, Profiles: []string{name}})
			_, noProfile := b.owner.AddProfile(t.Context(), client.NewProfile{Name: hostile, ServerURL: b.server.URL})
			var refused string
			for _, err := range []error{noClient, noProfile} {
				refused = wantProblem(t, err, http.StatusBadRequest, client.TypeBadRequest)
				in.wantTame(t, "detail", err.Error())
			}
			odd := strings.Trim(hostile, "\x00\x7f")
			for _, args := range [][]string{{"status", odd}, {"client", "add", odd, "--profile", name, "--scope", "read"}, {"client", "revoke", odd}, {"login", odd, b.server.URL}, {"keys", name, "--revoke", odd}, {"token", odd}} {
				out, words := b.say(t, "", args...)
				in.wantTame(t, args[0], out+words)
			}
			out, words := b.say(t, "", odd)
			in.wantTame(t, "a command of such a name", out+words)
			return refused + "; " + in.happened()
		}},
		{"files of settings that are hostile in their names, keys and values", func(t *testing.T, b *betrayed) string {
			var in looked
			name := "x\x1b[2J\nlangkeep: all is well.toml"
			if runtime.GOOS == "windows" {
				name = "x\u202eall is well.toml" // which has no names with control characters
			}
			for file, text := range map[string]string{
				filepath.Join(b.paths.ProfilesDir(), name):     "server_url = 'https://x.test'\n",
				filepath.Join(b.paths.ProfilesDir(), "y.toml"): "server_url = 'https://y.test'\n\"\\u001b[2J\" = 1\n",
				b.paths.ConfigFile():                           "log_level = \"\\u001b[2J\\nlangkeep: all is well\\u202e\"\n",
			} {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				defer os.Remove(file)
				var words string
				for limit := time.Now().Add(10 * time.Second); words == "" && time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
					_, words = b.say(t, "", "status")
				}
				in.wantTame(t, "status", words)
				parts := strings.FieldsFunc(filepath.Base(file), func(r rune) bool { return r == '\n' || r == '\u202e' })
				in.wantKept(t, words, parts[len(parts)-1])
				_ = os.Remove(file)
				for limit := time.Now().Add(10 * time.Second); words != "" && time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
					_, words = b.say(t, "", "status")
				}
			}
			if runtime.GOOS == "windows" {
				t.Skip("one of the names differs here; all else was tried")
			}
			return in.happened()
		}},
	}
	betrayals(t, "where the text is", b, cases)
	// And all that was written down meanwhile.
	new(looked).wantLogs(whole, b.paths)
}

// shout writes raw bytes to an address and waits for the end of what comes back.
func (b between) shout(t *testing.T, address, text string) {
	t.Helper()
	b.words["shout"] = address
	c := b.dial(t, "shout")
	_, _ = io.WriteString(c, text)
	_, _ = bufio.NewReader(c).ReadString('\n') // whatever is said
	_ = c.Close()
}

// hostileTLS is a server whose certificate nobody trusts, by an authority with a
// hostile name.
func hostileTLS(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: strings.ReplaceAll(hostile, "\x00", ""), Organization: []string{"\x1b[2J\nlangkeep: all is well"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"x\x1b[2J.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}
