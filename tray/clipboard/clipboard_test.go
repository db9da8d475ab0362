package clipboard

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/secret"
)

// desk is a clipboard in memory.
type desk struct {
	mu      sync.Mutex // protects the following
	content string
	owner   int // whose content it is
	broken  bool
}

func (d *desk) put(s secret.Text) (func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		return nil, errors.New("broken")
	}
	d.owner++
	mine := d.owner
	d.content = s.Reveal()
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.owner == mine {
			d.content = ""
		}
	}, nil
}

func (d *desk) otherProgram(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owner, d.content = d.owner+1, s
}

func (d *desk) there() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.content
}

func TestASecretLeaves(t *testing.T) {
	type step struct {
		after time.Duration
		do    func(*desk, *Clipboard)
		want  string
	}
	copying := func(s string) func(*desk, *Clipboard) {
		return func(_ *desk, c *Clipboard) { _ = c.Copy(secret.New(s)) }
	}
	none := func(*desk, *Clipboard) {}
	for name, steps := range map[string][]step{
		"after 30 s":             {{0, copying("a"), "a"}, {Keep - 1, none, "a"}, {1, none, ""}},
		"not what others copied": {{0, copying("a"), "a"}, {1, func(d *desk, _ *Clipboard) { d.otherProgram("x") }, "x"}, {Keep, none, "x"}},
		"each for 30 s":          {{0, copying("a"), "a"}, {Keep - 1, copying("b"), "b"}, {1, none, "b"}, {Keep - 2, none, "b"}, {1, none, ""}},
		"at the end":             {{0, copying("a"), "a"}, {1, func(_ *desk, c *Clipboard) { c.Close(); c.Close() }, ""}},
		"with the next one":      {{0, copying("a"), "a"}, {1, func(d *desk, c *Clipboard) { d.broken = true; _ = c.Copy(secret.New("b")) }, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &desk{}
				c := &Clipboard{put: d.put}
				for i, s := range steps {
					time.Sleep(s.after)
					synctest.Wait()
					s.do(d, c)
					if got := d.there(); got != s.want {
						t.Errorf("step %d: %q is there, want %q", i, got, s.want)
					}
				}
			})
		})
	}
}

func TestAFailureIsTold(t *testing.T) {
	if err := (&Clipboard{put: (&desk{broken: true}).put}).Copy(secret.New("a")); err == nil {
		t.Error("no error")
	}
}

// A display that does not answer must not keep the agent from ending.
func TestAHangingDisplayIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		c := &Clipboard{put: func(secret.Text) (func(), error) { return func() { <-hangs }, nil }}
		if err := c.Copy(secret.New("a")); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		c.Close()
		if took := time.Since(begin); took != closeLimit {
			t.Errorf("the end took %v, want %v", took, closeLimit)
		}
		close(hangs)
	})
}
