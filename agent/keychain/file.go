package keychain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"filippo.io/age"
	"filippo.io/age/armor"

	"langkeep/agent/paths"
	"langkeep/agent/secret"
)

// The file is a comment line with its schema, and two armored age blocks: an
// X25519 identity, encrypted with the passphrase, and the items, encrypted to
// that identity. So only opening the file costs an scrypt, and a person with
// the passphrase can read it with age alone.
const (
	fileHeader  = "# langkeep secrets, schema = "
	blockEnd    = armor.Footer + "\n"
	fileLimit   = 64 << 20 // bytes
	workFactor  = 15       // log2 of scrypt's N: 32 MiB, once at each start
	mostFactors = 18       // accepted in a file from elsewhere: 256 MiB
)

type fileStore struct {
	path     string
	identity *age.X25519Identity
	wrapped  string // the first block, as it was read or made

	mu    sync.Mutex // protects the following, and the file
	items map[string]json.RawMessage
}

// NewFile opens the file store at path, or begins one that is written with its
// first item. A wrong passphrase is ErrLocked; a file that is newer, corrupt or
// a symbolic link is ErrFailing, and is left alone.
//
// It costs one scrypt (about 0.1 s and 34 MB); later calls cost none.
func NewFile(path string, passphrase secret.Text) (Store, error) {
	f, err := newFile(path, passphrase, workFactor)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func newFile(path string, passphrase secret.Text, workFactor int) (*fileStore, error) {
	if passphrase.Empty() {
		return nil, fmt.Errorf("%w: %s needs a passphrase; put one into the file that LANGKEEP_PASSPHRASE_FILE names", ErrLocked, path)
	}
	// scrypt's memory is never needed again.
	defer debug.FreeOSMemory()
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return beginFile(path, passphrase, workFactor)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFailing, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is a symbolic link or no file at all; move it away", ErrFailing, path)
	}
	data, err := paths.ReadFile(path, fileLimit)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFailing, err)
	}
	return openFile(path, string(data), passphrase)
}

func beginFile(path string, passphrase secret.Text, workFactor int) (*fileStore, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFailing, err)
	}
	recipient, err := age.NewScryptRecipient(passphrase.Reveal())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFailing, err)
	}
	recipient.SetWorkFactor(workFactor)
	wrapped, err := seal([]byte(identity.String()+"\n"), recipient)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFailing, err)
	}
	return &fileStore{path: path, identity: identity, wrapped: wrapped, items: map[string]json.RawMessage{}}, nil
}

func openFile(path, data string, passphrase secret.Text) (*fileStore, error) {
	corrupt := func(line int, what string) error {
		return fmt.Errorf("%w: %s:%d: %s; put a backup in its place, or move it away and sign in again", ErrFailing, path, line, what)
	}
	header, rest, _ := strings.Cut(data, "\n")
	number, ours := strings.CutPrefix(strings.TrimSpace(header), fileHeader)
	schema, err := strconv.Atoi(number)
	if !ours || err != nil || schema < 1 {
		return nil, corrupt(1, "is not a file of langkeep's secrets")
	}
	if _, err := paths.CheckSchema(path+":1", schema); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFailing, err)
	}
	wrapped, sealed, ok := strings.Cut(rest, blockEnd)
	if !ok {
		return nil, corrupt(2, "the key is cut short")
	}
	wrapped += blockEnd
	second := 2 + strings.Count(wrapped, "\n") // the line that the second block begins on

	scrypt, err := age.NewScryptIdentity(passphrase.Reveal())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFailing, err)
	}
	scrypt.SetMaxWorkFactor(mostFactors)
	key, err := unseal(wrapped, scrypt)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, fmt.Errorf("%w: the passphrase does not open %s; correct the file that LANGKEEP_PASSPHRASE_FILE names", ErrLocked, path)
	}
	if err != nil {
		return nil, corrupt(2, "the key can't be read")
	}
	identity, err := age.ParseX25519Identity(strings.TrimSpace(string(key)))
	if err != nil {
		return nil, corrupt(2, "the key is not an age identity")
	}
	plain, err := unseal(sealed, identity)
	if err != nil {
		return nil, corrupt(second, "the secrets can't be read")
	}
	f := &fileStore{path: path, identity: identity, wrapped: wrapped}
	if err := json.Unmarshal(plain, &f.items); err != nil || f.items == nil {
		return nil, corrupt(second, "the secrets can't be parsed")
	}
	return f, nil
}

func (*fileStore) Kind() string                 { return "file" }
func (*fileStore) Ready(context.Context) error  { return nil }
func (*fileStore) Unlock(context.Context) error { return nil }
func (*fileStore) Close() error                 { return nil }

func (f *fileStore) Get(_ context.Context, account string) (Item, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, ok := f.items[account]
	if !ok {
		return Item{}, fmt.Errorf("%s: %w", account, ErrNotFound)
	}
	return decode(account, string(data))
}

func (f *fileStore) Set(_ context.Context, account string, it Item) error {
	data, err := encode(account, it)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	old, was := f.items[account]
	if was {
		if _, err := parse(account, string(old)); errors.Is(err, errNewer) {
			return err
		}
	}
	f.items[account] = json.RawMessage(data)
	if err := f.save(); err != nil {
		if delete(f.items, account); was {
			f.items[account] = old
		}
		return err
	}
	return nil
}

func (f *fileStore) Delete(_ context.Context, account string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, was := f.items[account]
	if !was {
		return nil
	}
	delete(f.items, account)
	if err := f.save(); err != nil {
		f.items[account] = old
		return err
	}
	return nil
}

// save writes all items, and reads the file back; mu is held.
func (f *fileStore) save() error {
	plain, err := json.Marshal(f.items)
	if err != nil {
		return fmt.Errorf("%w: encode the secrets", ErrFailing)
	}
	sealed, err := seal(plain, f.identity.Recipient())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFailing, err)
	}
	data := fmt.Appendf(nil, "%s%d\n%s%s", fileHeader, paths.Schema, f.wrapped, sealed)
	if len(data) > fileLimit {
		return fmt.Errorf("%w: %s would have more than %d bytes", ErrFailing, f.path, fileLimit)
	}
	if err := paths.WriteFile(f.path, data); err != nil {
		return fmt.Errorf("%w: %w", ErrFailing, err)
	}
	back, err := paths.ReadFile(f.path, fileLimit)
	if err != nil {
		return fmt.Errorf("%w: read back: %w", ErrFailing, err)
	}
	if !bytes.Equal(back, data) {
		return fmt.Errorf("%w: %s was written but does not read back", ErrFailing, f.path)
	}
	return nil
}

// seal makes an armored age block.
func seal(plain []byte, to age.Recipient) (string, error) {
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, to)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(plain); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	if err := a.Close(); err != nil {
		return "", err
	}
	return out.String(), nil
}

// unseal opens an armored age block.
func unseal(block string, with age.Identity) ([]byte, error) {
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(block)), with)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
