package trials

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// The code of langkeep open permits all that the page may do.
func TestAttackCode(t *testing.T) {
	suffers(t, []attack{
		{tried: "a code is used twice", run: func(t *testing.T, v *victim) string {
			code := v.code(t)
			if v.exchange(t, code) == "" {
				t.Fatal("it is not good once")
			}
			return "the second time " + v.refuses(t, code)
		}},
		{tried: "twenty programs use one code at the same moment", run: func(t *testing.T, v *victim) string {
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
			const want = 1
			if good.Load() != want {
				t.Errorf("%d get one", good.Load())
			}
			return fmt.Sprintf("%d of them gets a token", want)
		}},
		{tried: "it is guessed a hundred times, and told in part, with more, in another case, empty, as `null`", run: func(t *testing.T, v *victim) string {
			code := v.code(t)
			wrong := []string{code[:45], code + "A", strings.ToUpper(code), "", code[3:], "lk_"}
			for n := range 100 {
				wrong = append(wrong, fmt.Sprintf("lk_%043d", n))
			}
			refused := v.refuses(t, wrong...)
			if v.exchange(t, code) == "" {
				t.Error("the right one is not good")
			}
			return refused + ", and the right one is good after that"
		}},
		{tried: "without an Origin, with another's, cross-site, with the owner's token in place of one", run: func(t *testing.T, v *victim) string {
			code := v.code(t)
			body := `{"code":"` + code + `"}`
			var requests []string
			for _, headers := range []string{"", asOwner, "Origin: null\n", "Origin: http://evil.example\n", "Origin: http://127.0.0.1:3000\n", "Origin: http://localhost:{port}\n",
				"Origin: http://{host}\nSec-Fetch-Site: cross-site\n", "Origin: http://{host}\nX-Forwarded-For: 127.0.0.1\n"} {
				requests = append(requests, post("/v1/page/token", headers, body))
			}
			refused := v.all(t, "403 forbidden-origin", requests...)
			if v.exchange(t, code) == "" {
				t.Error("the code is used up")
			}
			return refused + ", and the code is not used up"
		}},
		{tried: "the owner's, a client's or the page's token as a code", run: func(t *testing.T, v *victim) string {
			return v.refuses(t, v.words["owner"], v.words["reader"], v.words["page"])
		}},
		{tried: "it is sent to the page in the query, as a browser would if the link had it there", run: func(t *testing.T, v *victim) string {
			code := v.code(t)
			shown := v.each(t, "", "GET /?code={it} HTTP/1.1\nHost: {host}\n\n", "200", code)
			if v.exchange(t, code) == "" {
				t.Error("the code is used up")
			}
			return shown + ": the page comes as it always does; the code is not used up"
		}},
		{tried: "over the socket, which no page can reach", way: "socket", want: "403 forbidden-origin", request: post("/v1/page/token", "Origin: http://{host}\n", `{"code":"x"}`)},
		{tried: "more than eight codes are asked for", run: func(t *testing.T, v *victim) string {
			first := v.code(t)
			for range 8 {
				v.code(t)
			}
			return "the oldest: " + v.refuses(t, first)
		}},
	})
}

// refuses wants codes to be none, and says it.
func (v *victim) refuses(t *testing.T, codes ...string) (happened string) {
	t.Helper()
	var requests []string
	for _, code := range codes {
		requests = append(requests, post("/v1/page/token", "Origin: http://{host}\n", `{"code":"`+code+`"}`))
	}
	return v.all(t, "403 forbidden", requests...)
}
