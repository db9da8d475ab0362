//go:build real

package trials

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/assets/casebook"
	"langkeep/localapi/client"
)

// A server that takes its time costs whoever asked it half a minute, and nobody
// else anything. It runs for that long.
func TestAttackServerPatience(t *testing.T) {
	const slack = 10 * time.Second // of a busy computer
	drip := func(w http.ResponseWriter, r *http.Request, first, again string) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for text := first; ; text = again {
			if _, err := io.WriteString(conn, text); err != nil {
				return // it was left
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	slow := []struct {
		tried  string
		after  time.Duration // until the call ends
		answer http.HandlerFunc
	}{
		{"never answers", 20 * time.Second, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"sends a header every 0.1 s, for ever", 20 * time.Second, func(w http.ResponseWriter, r *http.Request) { drip(w, r, "HTTP/1.1 200 OK\r\n", "X: y\r\n") }},
		{"sends a byte of its body every 0.1 s, for ever", 30 * time.Second, func(w http.ResponseWriter, r *http.Request) {
			drip(w, r, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n", " ")
		}},
		{"sends its headers and then nothing", 30 * time.Second, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}},
		{"sends early hints for ever", 20 * time.Second, func(w http.ResponseWriter, r *http.Request) {
			drip(w, r, "HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n")
		}},
	}
	const (
		size, grows  = 300 << 20, 32 << 20 // of what goes through the proxy, and of the agent by it
		ends         = 5 * time.Second     // a request whose client has left
		reads, quick = 50, 3 * time.Second // of another profile's token, at least, and each of them
	)
	reasons := []string{"timed-out", "unreachable", "not-langflow"}
	var rows [][]string
	for _, s := range slow {
		rows = append(rows, []string{s.tried, fmt.Sprintf("the sign-in fails after %.0f s, for `%s`; meanwhile another profile's token is read %d times at least, each time within %.0f s",
			s.after.Seconds(), strings.Join(reasons, "` or `"), reads, quick.Seconds())})
	}
	rows = append(rows, []string{"sends 300 MB through the proxy", fmt.Sprintf("the client gets %d MiB, and the agent's memory grows by %d MiB at most", size>>20, grows>>20)},
		[]string{"never answers through the proxy, and the client leaves", fmt.Sprintf("the request to the server ends, after %.0f s at most", ends.Seconds())})
	casebook.Table(t, "docs/attacks.md", "TestAttackServerPatience in cmd/trials", []string{"what the server does", "what happens"}, rows)

	b := newBetrayed(t)
	honest := b.signedIn(t)
	p, err := b.owner.ChangeProfile(t.Context(), honest, client.ProfileChange{Proxy: new(true)})
	if err != nil || p.ProxyURL == nil {
		t.Fatal(err)
	}
	tool, _, err := b.owner.AddClient(t.Context(), client.NewClient{Name: "tool", Scopes: []string{"proxy"}, Profiles: []string{honest}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.owner.Key(t.Context(), honest, 0); err != nil { // made before the memory is looked at
		t.Fatal(err)
	}
	through := func(t *testing.T) (*http.Request, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, *p.ProxyURL+"/api/v1/version", nil)
		if err == nil {
			req.Header.Set("X-Api-Key", tool.Token.Reveal())
		}
		return req, err
	}

	t.Run("through the proxy", func(t *testing.T) {
		b.server.answers(func(w http.ResponseWriter, r *http.Request) {
			chunk := make([]byte, 1<<20)
			for range size / len(chunk) {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		})
		before := b.memory()
		req, err := through(t)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Transport{}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if n != size || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		if grown := b.memory() - before; grown > grows {
			t.Errorf("the agent has grown by %d bytes", grown)
		}

		left := make(chan struct{})
		b.server.answers(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			close(left)
		})
		defer b.server.answers(nil)
		req, err = through(t)
		if err != nil {
			t.Fatal(err)
		}
		leaving := &http.Transport{ResponseHeaderTimeout: 500 * time.Millisecond}
		if res, err := leaving.RoundTrip(req); err == nil {
			t.Errorf("an answer: %d", res.StatusCode)
		}
		select {
		case <-left:
		case <-time.After(ends):
			t.Error("the server is still asked")
		}
	})

	// Each at a server of its own, all at once.
	var asking sync.WaitGroup
	for i, s := range slow {
		server := newUpstream(t, langflowtest.Options{})
		name := "slow" + string(rune('0'+i))
		if _, err := b.owner.AddProfile(t.Context(), client.NewProfile{Name: name, ServerURL: server.URL}); err != nil {
			t.Fatal(err)
		}
		server.answersAgent(s.answer)
		asking.Go(func() {
			begin := time.Now()
			_, err := b.owner.Login(t.Context(), name, client.Login{Method: client.Password, Username: "ann", Password: secret.New(password)})
			took := time.Since(begin)
			wantReason(t, err, reasons...)
			if took < s.after-time.Second || took > s.after+slack {
				t.Errorf("%s: the sign-in took %v, want %v", s.tried, took, s.after)
			}
			t.Logf("%s: %v: %v", s.tried, took.Round(100*time.Millisecond), err)
		})
	}
	done := make(chan struct{})
	go func() { asking.Wait(); close(done) }()
	read, longest := 0, time.Duration(0)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-tick.C:
			begin := time.Now()
			if got, err := b.owner.Token(t.Context(), honest, 0); err != nil || !strings.HasPrefix(got.AccessToken.Reveal(), "ey") {
				t.Errorf("meanwhile: %v", err)
			}
			read++
			longest = max(longest, time.Since(begin))
			continue
		case <-done:
			tick.Stop()
		}
		break
	}
	t.Logf("meanwhile %d tokens were read, the slowest in %v", read, longest.Round(time.Millisecond))
	if read < reads || longest > quick {
		t.Errorf("meanwhile %d tokens were read, the slowest in %v", read, longest)
	}
	b.well(t)
}
