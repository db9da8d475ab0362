package keychain

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"langkeep/agent/secret"
)

var everything = Item{
	Origin: "https://lf.example.com:8443", Username: `Ann "ß" <ann@example.com> & co`,
	CookieName: "refresh_token_lf_%2Fteam%2Fa", Secret: secret.New("eyJ<>&\\\" ü\n"),
	ExpiresAt: time.Date(2031, 2, 3, 4, 5, 6, 789, time.UTC), ID: "0b9e2a3e-8f0a-4c57-a0d0-1f0f4f6f3d11",
}

func sameItem(a, b Item) bool {
	same := a.Secret.Equal(b.Secret) && a.ExpiresAt.Equal(b.ExpiresAt)
	a.Secret, b.Secret = secret.Text{}, secret.Text{}
	a.ExpiresAt, b.ExpiresAt = time.Time{}, time.Time{}
	return same && a == b
}

// testStore is what every Store must do. plant writes an item's data past the
// Store, and reopen gives the Store as the next start of the program would;
// both are nil for one that forgets everything.
func testStore(t *testing.T, s Store, plant func(account, data string), reopen func() Store) {
	ctx := t.Context()
	get := func(account string) (Item, error) {
		t.Helper()
		return s.Get(ctx, account)
	}
	set := func(account string, it Item) {
		t.Helper()
		if err := s.Set(ctx, account, it); err != nil {
			t.Fatalf("set %s: %v", account, err)
		}
	}
	prod := ItemName("prod", RefreshToken)
	if err := s.Ready(ctx); err != nil {
		t.Fatalf("ready: %v", err)
	}
	if err := s.Unlock(ctx); err != nil {
		t.Errorf("unlock what is not locked: %v", err)
	}
	if _, err := get(prod); !errors.Is(err, ErrNotFound) {
		t.Errorf("an absent item: %v", err)
	}
	if err := s.Delete(ctx, prod); err != nil {
		t.Errorf("delete an absent item: %v", err)
	}

	set(prod, everything)
	set(ItemName("prod", Password), Item{Origin: "https://a.example", Secret: secret.New("p")})
	set(ItemName("prod.2", RefreshToken), Item{Secret: secret.New("q")})
	if it, err := get(prod); err != nil || !sameItem(it, everything) {
		t.Errorf("got %+v, %v", it, err)
	}
	if it, err := get(ItemName("prod", Password)); err != nil || it.Secret.Reveal() != "p" || !it.ExpiresAt.IsZero() {
		t.Errorf("got %+v, %v", it, err)
	}
	changed := everything
	changed.Secret = secret.New("another")
	set(prod, changed)
	if it, err := get(prod); err != nil || !sameItem(it, changed) {
		t.Errorf("after a change: %+v, %v", it, err)
	}

	for what, text := range map[string]string{
		"2,000 bytes":                 strings.Repeat("x", 2000),
		"the longest":                 strings.Repeat("x", MaxSecret),
		"the longest that JSON has":   strings.Repeat("\x01", MaxSecret),
		"the longest, of other words": strings.Repeat("ü", MaxSecret/2),
	} {
		long := everything
		long.Secret = secret.New(text)
		set(prod, long)
		if reopen != nil {
			s = reopen()
		}
		if it, err := get(prod); err != nil || !sameItem(it, long) {
			t.Errorf("%s, after a restart: %v", what, err)
		}
		longer := everything
		longer.Secret = secret.New(strings.Repeat("y", MaxSecret+1))
		if err := s.Set(ctx, prod, longer); !errors.Is(err, ErrTooBig) {
			t.Errorf("one byte more: %v", err)
		}
		if it, err := get(prod); err != nil || !sameItem(it, long) {
			t.Errorf("%s, after one that is too long: %v", what, err)
		}
	}
	if err := s.Delete(ctx, prod); err != nil {
		t.Errorf("delete: %v", err)
	}
	if reopen != nil {
		s = reopen()
	}
	if _, err := get(prod); !errors.Is(err, ErrNotFound) {
		t.Errorf("a deleted item: %v", err)
	}
	if it, err := get(ItemName("prod.2", RefreshToken)); err != nil || it.Secret.Reveal() != "q" {
		t.Errorf("deleting one touched another: %v", err)
	}

	if plant != nil {
		testOddItems(t, s, plant)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// testOddItems is what a Store must do with items that it did not write.
func testOddItems(t *testing.T, s Store, plant func(account, data string)) {
	ctx := t.Context()
	newer := ItemName("newer", APIKey)
	plant(newer, `{"v":3,"secret":{"of":"another type"}}`)
	if _, err := s.Get(ctx, newer); !errors.Is(err, ErrFailing) || !strings.Contains(err.Error(), "newer") {
		t.Errorf("get a newer item: %v", err)
	}
	if err := s.Set(ctx, newer, everything); !errors.Is(err, ErrFailing) {
		t.Errorf("set a newer item: %v", err)
	}
	if _, err := s.Get(ctx, newer); !errors.Is(err, errNewer) {
		t.Errorf("a newer item was written over: %v", err)
	}
	if err := s.Delete(ctx, newer); err != nil {
		t.Errorf("delete a newer item: %v", err)
	}
	for _, data := range []string{`"hunter2"`, `{}`, `{"v":0}`, `{"v":1,"secret":["hunter2"]}`, `{"v":1,"expires_at":"hunter2"}`, ""} {
		bad := ItemName("bad", APIKey)
		plant(bad, data)
		want := ErrFailing
		if data == "" && s.Kind() == "keychain" { // KWallet's after a crash
			want = ErrNotFound
		}
		if _, err := s.Get(ctx, bad); !errors.Is(err, want) || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("get %s: %v", data, err)
		}
		if err := s.Set(ctx, bad, everything); err != nil {
			t.Errorf("replace %s: %v", data, err)
		}
		if it, err := s.Get(ctx, bad); err != nil || !sameItem(it, everything) {
			t.Errorf("replaced %s: %+v, %v", data, it, err)
		}
	}
	notText := Item{Secret: secret.New("caf\xe9")}
	if err := s.Set(ctx, "bad/password", notText); err == nil {
		t.Error("a secret that JSON would change was taken")
	}
}

func TestMemory(t *testing.T) {
	m := NewMemory()
	if m.Kind() != "memory" {
		t.Error(m.Kind())
	}
	testStore(t, m, nil, nil)
}

// TestItemOnDisk is contract: other programs may read the items.
func TestItemOnDisk(t *testing.T) {
	data, err := encode("a/b", Item{
		Origin: "https://lf.example.com", Username: "ann", CookieName: "refresh_token_lf", Secret: secret.New("a&b"),
		ExpiresAt: time.Date(2031, 2, 3, 5, 5, 6, 0, time.FixedZone("", 3600)),
	})
	want := `{"v":1,"origin":"https://lf.example.com","username":"ann","cookie_name":"refresh_token_lf","secret":"a&b","expires_at":"2031-02-03T04:05:06Z"}`
	if err != nil || data != want {
		t.Errorf("got %s, %v", data, err)
	}
	data, err = encode("a/b", Item{Secret: secret.New("k"), ID: "7"})
	want = `{"v":1,"origin":"","username":"","cookie_name":"","secret":"k","expires_at":null,"id":"7"}`
	if err != nil || data != want {
		t.Errorf("got %s, %v", data, err)
	}
	if _, err := encode("a/b", Item{ExpiresAt: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)}); !errors.Is(err, ErrFailing) {
		t.Errorf("a year that RFC 3339 can't write: %v", err)
	}
}

// TestSizes: the longest token that Langflow makes fits into one piece of the smallest
// keychain, with the longest names that a profile and a server may have.
func TestSizes(t *testing.T) {
	// RS512 with a 4,096-bit key, as Langflow 1.13.0 mints it: a header of 36
	// characters, claims (sub, type, exp) of about 125, a signature of 683.
	rs512 := 36 + 1 + 125 + 1 + 683
	it := Item{
		Origin: "https://" + strings.Repeat("a", 253) + ":65535", Username: strings.Repeat("u", 320),
		CookieName: "refresh_token_lf_" + strings.Repeat("%2Fteam", 20), Secret: secret.New(strings.Repeat("x", rs512)),
		ExpiresAt: time.Now(),
	}
	data, err := encode("a/b", it)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a token of %d bytes makes an item of %d", rs512, len(data))
	if len(data) > sizeLimit("windows") {
		t.Errorf("%d bytes do not fit into %d", len(data), sizeLimit("windows"))
	}
	// go-keyring 0.2.8 writes a command to macOS's security, which must stay under
	// 4,096 bytes.
	service, account := "langkeep-0123abcd", pieceName(ItemName(strings.Repeat("n", 63), RefreshToken), "a", maxPieces)
	base64 := (sizeLimit("darwin") + 2) / 3 * 4
	command := len("add-generic-password -U -s  -a  -w \n") + len("''''''") + len(service) + len(account) + len("go-keyring-base64:") + base64
	if command > 4096 {
		t.Errorf("macOS: a command of %d bytes", command)
	}
	if sizeLimit("linux") != 0 {
		t.Error("Linux has no limit")
	}
}

func TestNothingShowsTheSecret(t *testing.T) {
	it := everything
	it.Secret = secret.New("hunter2")
	if s := fmt.Sprintf("%v %+v %#v", it, it, &it); strings.Contains(s, "hunter2") {
		t.Error(s)
	}
}
