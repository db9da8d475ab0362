package keychain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/secret"
)

// small is a limit under which an item of 900 letters has four pieces.
const small = 300

// openSmall opens a store with little room in an item.
func openSmall(r *fakeRing) *osStore {
	return newOS(osConfig{service: "langkeep", ring: r, gate: r, limit: small, quick: quickLimit, ask: askLimit, log: slog.New(slog.DiscardHandler)})
}

// sized is an item with a secret of so many times a letter.
func sized(letter string, n int) Item {
	return Item{Origin: "https://lf.example.com", Secret: secret.New(strings.Repeat(letter, n))}
}

// accountsOf are the names of a ring's items, in order.
func accountsOf(r *fakeRing) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.items))
}

// TestPieces: a long item has its pieces alone, whatever it replaces, and a short one none.
func TestPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRing{items: map[string]string{}}
		s := openSmall(r)
		defer s.Close()
		const head, piece = "langkeep:prod/refresh-token", "langkeep:prod/refresh-token/"
		for _, step := range []struct {
			letters int
			want    []string
		}{
			{10, []string{head}},
			{900, []string{head, piece + "a1", piece + "a2", piece + "a3", piece + "a4"}},
			{500, []string{head, piece + "b1", piece + "b2", piece + "b3"}},
			{400, []string{head, piece + "a1", piece + "a2"}},
			{10, []string{head}},
			{400, []string{head, piece + "a1", piece + "a2"}},
			{0, nil},
		} {
			if step.letters == 0 {
				if err := s.Delete(t.Context(), account); err != nil {
					t.Error(err)
				}
			} else if err := s.Set(t.Context(), account, sized("x", step.letters)); err != nil {
				t.Error(err)
			}
			if got := accountsOf(r); !slices.Equal(got, step.want) {
				t.Errorf("%d letters: %v, want %v", step.letters, got, step.want)
			}
			for name, data := range r.items {
				if len(data) > small {
					t.Errorf("%s has %d bytes", name, len(data))
				}
			}
		}
	})
}

// errKilled is the error of every call of a ring after its program was killed.
var errKilled = errors.New("killed")

// killAt has the ring fail from its n-th call on, counted from 0; with done that call is
// still carried out. It tells whether that call came.
func (r *fakeRing) killAt(n int, done bool) (came func() bool) {
	calls := 0
	r.before = func(string) error {
		calls++
		if calls > n+1 || calls == n+1 && !done {
			return errKilled
		}
		return nil
	}
	return func() bool { return calls > n }
}

// TestPiecesCut ends the program before and after every call of the ring, and again in
// the middle of the next change: a reader finds the earlier item or the new one, whole;
// at the end nothing is left over.
func TestPiecesCut(t *testing.T) {
	sizes := []int{0, 10, 400, 600} // no item, one piece, two, three
	for _, from := range sizes {
		for _, to := range sizes {
			t.Run(fmt.Sprintf("%d to %d", from, to), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { cutEverywhere(t, from, to) })
			})
		}
	}
}

// change makes an item one of so many letters; 0 deletes it.
func change(ctx context.Context, s *osStore, letter string, letters int) error {
	if letters == 0 {
		return s.Delete(ctx, account)
	}
	return s.Set(ctx, account, sized(letter, letters))
}

func cutEverywhere(t *testing.T, from, to int) {
	// run changes the item on a ring with these items, and returns those afterwards, and
	// whether the cut came.
	run := func(items map[string]string, letter string, letters, cut int, done bool) (map[string]string, bool) {
		r := &fakeRing{items: maps.Clone(items)}
		s := openSmall(r)
		defer s.Close()
		came := r.killAt(cut, done)
		_ = change(t.Context(), s, letter, letters)
		return r.items, came()
	}
	// reads checks that a reader finds one of these, whole.
	reads := func(items map[string]string, when string, may ...Item) {
		t.Helper()
		r := &fakeRing{items: maps.Clone(items)}
		s := openSmall(r)
		defer s.Close()
		it, err := s.Get(t.Context(), account)
		absent := errors.Is(err, ErrNotFound)
		if err != nil && !absent || !slices.ContainsFunc(may, func(m Item) bool { return m.Secret.Empty() == absent && (absent || sameItem(m, it)) }) {
			t.Errorf("%s: a reader finds %d letters, %v", when, len(it.Secret.Reveal()), err)
		}
	}
	item := func(letter string, letters int) Item {
		if letters == 0 {
			return Item{}
		}
		return sized(letter, letters)
	}
	const never = 1 << 20
	begin, _ := run(map[string]string{}, "o", from, never, true)
	old, first, second := item("o", from), item("n", to), item("m", 400)
	for _, done := range []bool{false, true} {
		for cut := 0; ; cut++ {
			middle, came := run(begin, "n", to, cut, done)
			reads(middle, fmt.Sprintf("cut at %d", cut), old, first)
			// The next program begins another change, and is cut too.
			for again := 0; ; again++ {
				when := fmt.Sprintf("cut at %d and %d", cut, again)
				late, cameAgain := run(middle, "m", 400, again, done)
				reads(late, when, old, first, second)
				end, _ := run(late, "e", 10, never, true)
				if names := slices.Sorted(maps.Keys(end)); !slices.Equal(names, []string{"langkeep:" + account}) {
					t.Fatalf("%s: %v is left", when, names)
				}
				if gone, _ := run(late, "", 0, never, true); len(gone) != 0 {
					t.Fatalf("%s: after a Delete %v is left", when, slices.Sorted(maps.Keys(gone)))
				}
				if !cameAgain {
					break
				}
			}
			if !came {
				break
			}
		}
	}
}

// TestPiecesBroken: an item that lacks a piece, or has another's, fails. It is never
// absent or another item, and a new one or a Delete mends it without anything left over.
func TestPiecesBroken(t *testing.T) {
	const piece2 = "langkeep:" + account + "/a2"
	for name, harm := range map[string]func(items map[string]string){
		"a piece is gone":    func(items map[string]string) { delete(items, piece2) },
		"a piece is another": func(items map[string]string) { items[piece2] = strings.Repeat("x", small) },
		"a piece is shorter": func(items map[string]string) { items[piece2] = items[piece2][1:] },
		"the head is none":   func(items map[string]string) { items["langkeep:"+account] = `{"v":2,"set":"c","pieces":4}` },
	} {
		for _, letters := range []int{0, 10, 900} {
			t.Run(fmt.Sprintf("%s, then %d", name, letters), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := &fakeRing{items: map[string]string{}}
					s := openSmall(r)
					defer s.Close()
					if err := s.Set(t.Context(), account, sized("hunter2", 150)); err != nil {
						t.Fatal(err)
					}
					harm(r.items)
					if _, err := s.Get(t.Context(), account); !errors.Is(err, ErrFailing) || errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), "hunter2") {
						t.Errorf("get: %v", err)
					}
					if err := change(t.Context(), s, "n", letters); err != nil {
						t.Fatal(err)
					}
					if it, err := s.Get(t.Context(), account); letters > 0 && (err != nil || !sameItem(it, sized("n", letters))) {
						t.Errorf("mended: %v", err)
					}
					if err := s.Delete(t.Context(), account); err != nil {
						t.Fatal(err)
					}
					if left := accountsOf(r); len(left) != 0 {
						t.Errorf("%v is left", left)
					}
				})
			})
		}
	}
}

// TestPiecesSlow: a keychain that takes its time is waited for as long as it answers,
// and no longer.
func TestPiecesSlow(t *testing.T) {
	bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
		r.before = func(string) error { time.Sleep(quickLimit - time.Second); return nil }
		if err := s.Set(t.Context(), account, sized("x", MaxSecret)); err != nil {
			t.Errorf("slow: %v", err)
		}
		calls, release := 0, make(chan struct{})
		defer close(release)
		r.set(func() {
			r.before = func(string) error {
				if calls++; calls == 10 {
					<-release
				}
				return nil
			}
		})
		start := time.Now()
		if err := get(t.Context(), s); !errors.Is(err, ErrSilent) || time.Since(start) > quickLimit+time.Second {
			t.Errorf("hanging: %v after %v", err, time.Since(start))
		}
	})
}

// TestPiecesRefused: a failure in the middle leaves the earlier item as it was.
func TestPiecesRefused(t *testing.T) {
	for name, change := range map[string]func(items map[string]string, k string){
		"lost":    func(items map[string]string, k string) { delete(items, k) },
		"changed": func(items map[string]string, k string) { items[k] = items[k][1:] },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *fakeRing, s *osStore) {
				if err := s.Set(t.Context(), account, sized("o", 9000)); err != nil {
					t.Fatal(err)
				}
				r.set(func() {
					r.change = func(items map[string]string, k string) {
						if strings.HasSuffix(k, "/b3") {
							change(items, k)
						}
					}
				})
				if err := s.Set(t.Context(), account, sized("n", 9000)); !errors.Is(err, ErrFailing) || errors.Is(err, ErrNotFound) {
					t.Errorf("set: %v", err)
				}
				if it, err := s.Get(t.Context(), account); err != nil || !sameItem(it, sized("o", 9000)) {
					t.Errorf("the earlier item: %v", err)
				}
			})
		})
	}
}

// TestHeadOnDisk is contract: earlier versions of Langkeep must take it for a newer one's,
// and later ones must read it.
func TestHeadOnDisk(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	h := head{V: headVersion, Set: "b", Pieces: 27, SHA256: sum}
	data, err := h.encode()
	if want := `{"v":2,"set":"b","pieces":27,"sha256":"` + sum + `"}`; err != nil || data != want {
		t.Errorf("got %s, %v", data, err)
	}
	if _, err := parse(account, data); !errors.Is(err, errNewer) {
		t.Errorf("without pieces it is %v", err)
	}
	if len(data) > small {
		t.Errorf("a head of %d bytes", len(data))
	}
}

// A head is read as it was written, or refused without a word of what is in it.
func FuzzHead(f *testing.F) {
	sum := strings.Repeat("0a", 32)
	f.Add(`{"v":2,"set":"a","pieces":27,"sha256":"` + sum + `"}`)
	f.Add(`{"v":2,"set":"hunter2-hunter2","pieces":0,"sha256":""}`)
	f.Add(`{"v":2,"set":"b","pieces":1e3,"sha256":"` + strings.ToUpper(sum) + `"}`)
	f.Add(`{"v":2,"pieces":"hunter2-hunter2"}`)
	f.Add(`{"v":1,"secret":"hunter2-hunter2"}`)
	f.Add(`{"v":3,"set":["hunter2-hunter2"]}`)
	f.Fuzz(func(t *testing.T, data string) {
		h, err := parseHead("prod/cookies", data)
		if err != nil {
			if !errors.Is(err, ErrFailing) || !errors.Is(err, errCorrupt) || strings.Contains(err.Error(), "hunter2-hunter2") {
				t.Error(err)
			}
			return
		}
		if h == (head{}) {
			return
		}
		if h.V != headVersion || !slices.Contains(pieceSets, h.Set) || h.Pieces < 1 || h.Pieces > maxPieces {
			t.Errorf("%q is read as %+v", data, h)
		}
		again, err := h.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseHead("prod/cookies", again); err != nil || back != h {
			t.Errorf("%+v became %+v, %v", h, back, err)
		}
	})
}
