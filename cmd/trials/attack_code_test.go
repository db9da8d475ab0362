package trials

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// The code of langkeep open is as good as the owner for what the page may do.
func TestAttackCode(t *testing.T) {
	suffers(t, []attack{
		{tried: "a code is used twice", happens: "the second time 403", run: func(t *testing.T, v *victim) {
			code := v.code(t)
			if v.exchange(t, code) == "" {
				t.Fatal("it is not good once")
			}
			if v.exchange(t, code) != "" {
				t.Error("it is good twice")
			}
		}},
		{tried: "twenty programs use one code at the same moment", happens: "one gets a token", run: func(t *testing.T, v *victim) {
			code := v.code(t)
			var asking sync.WaitGroup
			var good atomic.Int32
			for range 20 {
				asking.Go(func() {
					if v.exchange(t, code) != "" {
						good.Add(1)
					}
				})
			}
			asking.Wait()
			if good.Load() != 1 {
				t.Errorf("%d get one", good.Load())
			}
		}},
		{tried: "it is guessed a hundred times, and told in part, with more, in another case, empty, as `null`", happens: "403, and the right one is good after that", run: func(t *testing.T, v *victim) {
			code := v.code(t)
			for n := range 100 {
				if v.exchange(t, fmt.Sprintf("lk_%043d", n)) != "" {
					t.Fatal("a guess is good")
				}
			}
			for _, wrong := range []string{code[:45], code + "A", strings.ToUpper(code), "", code[3:], "lk_"} {
				if v.exchange(t, wrong) != "" {
					t.Errorf("%d bytes are good", len(wrong))
				}
			}
			if v.exchange(t, code) == "" {
				t.Error("the right one is not")
			}
		}},
		{tried: "without an Origin, with another's, cross-site, with the owner's token in place of one", happens: "403, and the code is not used up", run: func(t *testing.T, v *victim) {
			code := v.code(t)
			body := `{"code":"` + code + `"}`
			for _, headers := range []string{"", asOwner, "Origin: null\n", "Origin: http://evil.example\n", "Origin: http://127.0.0.1:3000\n", "Origin: http://localhost:{port}\n",
				"Origin: http://{host}\nSec-Fetch-Site: cross-site\n", "Origin: http://{host}\nX-Forwarded-For: 127.0.0.1\n"} {
				if got := v.send(t, "", post("/v1/page/token", headers, body), 1); got != "403 forbidden-origin" {
					t.Errorf("%q: %s", headers, got)
				}
			}
			if v.exchange(t, code) == "" {
				t.Error("the code is used up")
			}
		}},
		{tried: "the owner's, a client's or the page's token as a code", happens: "403", run: func(t *testing.T, v *victim) {
			for _, name := range []string{"owner", "reader", "page"} {
				if v.exchange(t, v.words[name]) != "" {
					t.Errorf("%s is good", name)
				}
			}
		}},
		{tried: "it is sent to the page in the query, as a browser would if the link had it there", happens: "the page comes as it always does, and no token; the code is not used up", run: func(t *testing.T, v *victim) {
			code := v.code(t)
			v.words["it"] = code
			if got := v.send(t, "", "GET /?code={it} HTTP/1.1\nHost: {host}\n\n", 1); got != "200" {
				t.Error(got)
			}
			if v.exchange(t, code) == "" {
				t.Error("the code is used up")
			}
		}},
		{tried: "over the socket, which no page can reach", happens: "403", way: "socket", want: "403 forbidden-origin", request: post("/v1/page/token", "Origin: http://{host}\n", `{"code":"x"}`)},
		{tried: "more than eight codes are asked for", happens: "the oldest is good no more", run: func(t *testing.T, v *victim) {
			first := v.code(t)
			for range 8 {
				v.code(t)
			}
			if v.exchange(t, first) != "" {
				t.Error("it is good")
			}
		}},
	})
}
