package keychain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The Credential Manager and macOS's keychain have less room in an item than a secret
// may need. There osStore keeps a long item as a head and its pieces, as in
//
//	prod/cookies      {"v":2,"set":"a","pieces":27,"sha256":"…"}
//	prod/cookies/a1   {"v":1,"origin":"https://…      the item's text
//	prod/cookies/a2   …                               goes on
//
// The names of two sets, a and b, take turns. Set writes the pieces of the set that the
// head does not name, then the head, and then deletes the pieces of the earlier set. A
// crash between two writes so leaves either secret whole. It may also leave pieces that
// no head names; the next Set or Delete of the account removes them. It finds them
// without a list of the keychain, which go-keyring can't give: pieces are written in
// ascending order and deleted in descending order, so an account's pieces are always numbers 1 to n.

// headVersion is the field v of a head. Earlier versions of Langkeep take a head for the
// item of a newer one, and leave it alone.
const headVersion = 2

// maxPieces has room for MaxSecret bytes that JSON escapes with six bytes each:
// 256 * 2,560 > 6 * 65,536.
const maxPieces = 256

// The sets of names that pieces have.
var pieceSets = []string{"a", "b"}

// head is the item that names the pieces of a long one.
type head struct {
	V      int    `json:"v"`
	Set    string `json:"set"`
	Pieces int    `json:"pieces"`
	SHA256 string `json:"sha256"` // of all pieces together, in hex
}

// encode writes a head.
func (h head) encode() (string, error) {
	data, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("%w: encode the item", ErrFailing)
	}
	return string(data), nil
}

// parseHead reads a head. An item of another version is the zero head; a head that
// names no pieces that there can be is errCorrupt.
func parseHead(account, data string) (head, error) {
	var v struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal([]byte(data), &v); err != nil || v.V != headVersion {
		return head{}, nil
	}
	var h head
	err := json.Unmarshal([]byte(data), &h)
	sum, hexErr := hex.DecodeString(h.SHA256)
	if err != nil || !slices.Contains(pieceSets, h.Set) || h.Pieces < 1 || h.Pieces > maxPieces || hexErr != nil || len(sum) != sha256.Size {
		return head{}, fmt.Errorf("%w: %s %w", ErrFailing, account, errCorrupt)
	}
	return h, nil
}

// inspect parses an item, in one piece or a head, without reading any piece. An item in
// one piece has the zero head.
func inspect(account, data string) (head, error) {
	h, err := parseHead(account, data)
	if err == nil && h.Set == "" {
		_, err = parse(account, data)
	}
	return h, err
}

// pieceName is the account that a piece is kept under, numbered from 1. No item has such
// an account: neither a profile's name nor a kind of item has a slash.
func pieceName(account, set string, number int) string {
	return fmt.Sprintf("%s/%s%d", account, set, number)
}

// split cuts an item's text into pieces; nil if it needs none.
func (s *osStore) split(data string) []string {
	if s.limit == 0 || len(data) <= s.limit {
		return nil
	}
	var parts []string
	for part := range slices.Chunk([]byte(data), s.limit) {
		parts = append(parts, string(part))
	}
	return parts
}

// read reads an item's text, in one piece or in several.
func (s *osStore) read(ctx context.Context, account string) (string, error) {
	data, err := s.get(ctx, account)
	if err != nil {
		return "", err
	}
	h, err := parseHead(account, data)
	if err != nil || h.Set == "" {
		return data, err
	}
	var whole strings.Builder
	for number := range h.Pieces {
		part, err := s.get(ctx, pieceName(account, h.Set, number+1))
		if errors.Is(err, ErrNotFound) {
			return "", fmt.Errorf("%w: %s lacks one of its pieces; sign in again to replace it", ErrFailing, account)
		}
		if err != nil {
			return "", err
		}
		whole.WriteString(part)
	}
	if sum := sha256.Sum256([]byte(whole.String())); hex.EncodeToString(sum[:]) != h.SHA256 {
		return "", fmt.Errorf("%w: %s has a piece that is not its own; sign in again to replace it", ErrFailing, account)
	}
	return whole.String(), nil
}

// writePieces writes the pieces under the names of a set, and returns their head.
func (s *osStore) writePieces(ctx context.Context, account, set string, parts []string) (head, error) {
	sum := sha256.New()
	for i, part := range parts {
		sum.Write([]byte(part))
		if err := s.put(ctx, pieceName(account, set, i+1), part); err != nil {
			return head{}, err
		}
	}
	return head{V: headVersion, Set: set, Pieces: len(parts), SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// sweep deletes all pieces that an account has, but for those that the head now names.
// was is the head before.
func (s *osStore) sweep(ctx context.Context, account string, was, now head) error {
	if s.limit == 0 { // no item was ever written in pieces
		return nil
	}
	for _, set := range pieceSets {
		keep, last := 0, 0
		if now.Set == set {
			keep, last = now.Pieces, now.Pieces
		}
		if was.Set == set { // a person may have deleted some of these
			last = max(last, was.Pieces)
		}
		for last < maxPieces {
			_, err := s.get(ctx, pieceName(account, set, last+1))
			if errors.Is(err, ErrNotFound) {
				break
			}
			if err != nil {
				return err
			}
			last++
		}
		for ; last > keep; last-- {
			if err := s.erase(ctx, pieceName(account, set, last)); err != nil {
				return err
			}
		}
	}
	return nil
}
