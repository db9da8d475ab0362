package proxy

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/assets/casebook"
	"langkeep/localapi/guard"
)

// large is a JSON body that is larger than repeatable.
var large = []byte(`{"input_value":"` + strings.Repeat("a", repeatable) + `"}`)

// lookedAt has a body of a client's looked at; the answer comes when that is done.
// The length is told only where it is not negative.
func lookedAt(h *Handler, caller *guard.Caller, body io.Reader, length int64) <-chan *objection {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/run/f", body)
	r.ContentLength = length
	r.Header.Set("Content-Type", "application/json")
	done := make(chan *objection, 1)
	go func() {
		_, against := h.examine(httptest.NewRecorder(), r, caller, target{check: "run"})
		done <- against
	}()
	return done
}

// endless is a body whose first bytes come, and no more until the returned pipe is
// closed.
func endless(start []byte) (io.Reader, *io.PipeWriter) {
	r, w := io.Pipe()
	return io.MultiReader(bytes.NewReader(start), r), w
}

// Bodies of one client that never end keep no other client's out, and its own only
// for as long as there are too many.
func TestEndlessBodies(t *testing.T) {
	runner := func(name, root string) *guard.Caller {
		return &guard.Caller{Name: name, Root: root, Scopes: []guard.Scope{guard.Run}, Profiles: []string{"prod"}}
	}
	rows := [][]string{}
	for _, tt := range []struct {
		what  string
		start []byte
		own   int           // the status of the client's next body; 0: it is taken
		after time.Duration // that the answer to it comes
	}{
		{fmt.Sprintf("%d bodies, of a client with the scope `run` and its lease, of which nothing comes", largeBodies), nil, 0, 0},
		{fmt.Sprintf("the same, of which %d KiB come", repeatable>>10), large[:repeatable], 0, 0},
		{fmt.Sprintf("the same, of which more than %d KiB come", repeatable>>10), large[:repeatable+2], http.StatusServiceUnavailable, largeBodyWait},
	} {
		const taken = 0
		own := "is taken"
		if tt.own != taken {
			own = fmt.Sprint("gets ", tt.own)
		}
		rows = append(rows, []string{tt.what, fmt.Sprintf("a larger body of another client is taken after 0 s; one of its own %s after %v s; after their end one is taken at once", own, tt.after.Seconds())})
		for _, length := range []int64{-1, inputBytes} {
			t.Run(fmt.Sprintf("%s, length %d", tt.what, length), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := New(Config{Log: slog.New(slog.DiscardHandler), Needs: func() Needs { return Needs{} }})
					var pending []<-chan *objection
					var ends []*io.PipeWriter
					for i := range largeBodies {
						body, end := endless(tt.start)
						caller := runner("bad", "")
						if i%2 == 1 {
							caller = runner("exec-0a1b2c3d", "bad") // its lease counts as it does
						}
						pending, ends = append(pending, lookedAt(h, caller, body, length)), append(ends, end)
					}
					synctest.Wait()
					begin := time.Now()
					for _, told := range []int64{-1, int64(len(large))} {
						if against := <-lookedAt(h, runner("good", ""), bytes.NewReader(large), told); against != nil {
							t.Errorf("another client's body is refused: %s", against.problem.Detail)
						}
					}
					if waited := time.Since(begin); waited != 0 {
						t.Errorf("another client's body waits %v", waited)
					}
					against := <-lookedAt(h, runner("bad", ""), bytes.NewReader(large), -1)
					status := taken
					if against != nil {
						status = against.problem.Status
					}
					if status != tt.own {
						t.Errorf("its own next body: %+v", against)
					}
					if waited := time.Since(begin); waited != tt.after {
						t.Errorf("its own next body waited %v", waited)
					}
					// One that waits gets the place of one that ends.
					for _, end := range ends {
						_ = end.CloseWithError(io.ErrUnexpectedEOF) // never fails
					}
					if against := <-lookedAt(h, runner("bad", ""), bytes.NewReader(large), -1); against != nil {
						t.Errorf("its body after they ended: %s", against.problem.Detail)
					}
					for _, p := range pending {
						if against := <-p; against == nil {
							t.Error("half a body passes")
						}
					}
				})
			})
		}
	}
	if !t.Failed() {
		casebook.Table(t, "docs/attacks.md", "TestEndlessBodies in localapi/proxy", []string{"what is tried", "what happens"}, rows)
	}
}

// A body that finds no slot waits for one to be given back.
func TestBodyWaitsForItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Log: slog.New(slog.DiscardHandler), Needs: func() Needs { return Needs{} }})
		var ends []*io.PipeWriter
		for range largeBodiesEach {
			body, end := endless(large[:repeatable+2])
			lookedAt(h, callers["lk_run"], body, -1)
			ends = append(ends, end)
		}
		synctest.Wait()
		begin := time.Now()
		next := lookedAt(h, callers["lk_run"], bytes.NewReader(large), -1)
		time.Sleep(time.Second) // in the bubble: the next one waits by now
		_ = ends[0].Close()
		if against := <-next; against != nil || time.Since(begin) != time.Second {
			t.Errorf("%+v after %v", against, time.Since(begin))
		}
		for _, end := range ends {
			_ = end.Close() // never fails
		}
		synctest.Wait()
	})
}
