package keychain

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"langkeep/agent/paths/pathstest"
	"langkeep/agent/secret"
)

var passphrase = secret.New("correct horse")

func openTestFile(t *testing.T, path string) *fileStore {
	t.Helper()
	// scrypt takes half a second under the race detector.
	f, err := newFile(path, passphrase, 2)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.age")
	f := openTestFile(t, path)
	if f.Kind() != "file" {
		t.Error(f.Kind())
	}
	testStore(t, f,
		func(account, data string) { f.items[account] = json.RawMessage(data) },
		func() Store { f = openTestFile(t, path); return f })

	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(data), "# langkeep secrets, schema = 1\n-----BEGIN AGE ENCRYPTED FILE-----\n") {
		t.Errorf("the file begins with %.100s", data)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestFileRefuses(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.age")
	f := openTestFile(t, good)
	if err := f.Set(t.Context(), "prod/password", everything); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	whole := string(data)
	first, second, _ := strings.Cut(whole, blockEnd)
	for name, tc := range map[string]struct {
		content, passphrase string
		is                  error
		says                string
	}{
		"wrong passphrase":  {whole, "wrong", ErrLocked, "LANGKEEP_PASSPHRASE_FILE"},
		"no passphrase":     {whole, "", ErrLocked, "LANGKEEP_PASSPHRASE_FILE"},
		"newer":             {strings.Replace(whole, "schema = 1", "schema = 2", 1), "correct horse", ErrFailing, "newer"},
		"older than any":    {strings.Replace(whole, "schema = 1", "schema = 0", 1), "correct horse", ErrFailing, ":1:"},
		"no header":         {strings.TrimPrefix(whole, "# langkeep secrets, schema = 1\n"), "correct horse", ErrFailing, ":1:"},
		"empty":             {"", "correct horse", ErrFailing, ":1:"},
		"cut in the key":    {first[:len(first)-20], "correct horse", ErrFailing, ":2:"},
		"no items":          {first + blockEnd, "correct horse", ErrFailing, "secrets can't be read"},
		"cut in the items":  {first + blockEnd + second[:len(second)/2], "correct horse", ErrFailing, "secrets can't be read"},
		"the key twice":     {first + blockEnd + strings.TrimPrefix(first, "# langkeep secrets, schema = 1\n") + blockEnd, "correct horse", ErrFailing, "secrets can't be read"},
		"something after":   {whole + "x", "correct horse", ErrFailing, "secrets can't be read"},
		"a changed letter":  {strings.Replace(whole, second[200:204], "AAAA", 1), "correct horse", ErrFailing, "secrets can't be read"},
		"binary in the key": {"# langkeep secrets, schema = 1\n\x00\xff" + first + blockEnd, "correct horse", ErrFailing, ":2:"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secrets.age")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := NewFile(path, secret.New(tc.passphrase))
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != tc.content {
				t.Errorf("the file was touched: %v", err)
			}
		})
	}
	link := filepath.Join(dir, "link.age")
	pathstest.Symlink(t, good, link)
	if _, err := NewFile(link, passphrase); !errors.Is(err, ErrFailing) || !strings.Contains(err.Error(), link) {
		t.Errorf("a symbolic link: %v", err)
	}
}

// An item that could not be written is not in memory either.
func TestFileFailedWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "secrets.age")
	f := openTestFile(t, path)
	ctx := t.Context()
	if err := f.Set(ctx, "a/password", Item{Secret: secret.New("old")}); err != nil {
		t.Fatal(err)
	}
	// Without its folder even root can't write the file.
	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	if err := f.Set(ctx, "a/password", Item{Secret: secret.New("new")}); !errors.Is(err, ErrFailing) {
		t.Errorf("set: %v", err)
	}
	if err := f.Set(ctx, "b/password", Item{Secret: secret.New("new")}); !errors.Is(err, ErrFailing) {
		t.Errorf("set another: %v", err)
	}
	if err := f.Delete(ctx, "a/password"); !errors.Is(err, ErrFailing) {
		t.Errorf("delete: %v", err)
	}
	if it, err := f.Get(ctx, "a/password"); err != nil || it.Secret.Reveal() != "old" {
		t.Errorf("in memory: %v, %v", it.Secret.Reveal(), err)
	}
	if _, err := f.Get(ctx, "b/password"); !errors.Is(err, ErrNotFound) {
		t.Errorf("in memory: %v", err)
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	if err := f.Set(ctx, "b/password", Item{Secret: secret.New("new")}); err != nil {
		t.Errorf("once it can be written again: %v", err)
	}
	if it, err := openTestFile(t, path).Get(ctx, "a/password"); err != nil || it.Secret.Reveal() != "old" {
		t.Errorf("on disk: %v", err)
	}
}

// TestFileHidesEverything: not even a server's or a profile's name is legible.
func TestFileHidesEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.age")
	if err := openTestFile(t, path).Set(t.Context(), "prod/password", everything); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Each is too long for base64 to have it by chance, or has a sign that base64 lacks.
	for _, word := range []string{"prod/password", "lf.example.com", "ann@example.com", "correct horse"} {
		if bytes.Contains(data, []byte(word)) {
			t.Errorf("%q is in the file", word)
		}
	}
}

func BenchmarkFileOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "secrets.age")
	s, err := NewFile(path, passphrase)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Set(b.Context(), "prod/password", everything); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewFile(path, passphrase); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFileSet(b *testing.B) {
	s, err := NewFile(filepath.Join(b.TempDir(), "secrets.age"), passphrase)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Set(b.Context(), "prod/password", everything); err != nil {
			b.Fatal(err)
		}
	}
}
