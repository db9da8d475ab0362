// Package clients remembers which local programs may ask the agent, by the
// hashes of their tokens.
package clients

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
)

const (
	// ResumeWithin is how long a lease outlives the agent that gave it, for its
	// holder to take it up again with the next one.
	ResumeWithin = 30 * time.Second

	most       = 500                // clients, each of which every token is compared with
	reserved   = 100                // of them that no client's lease takes
	mostLeases = 64                 // that one client can have given, those that its leases gave included
	remembered = 7 * 24 * time.Hour // that a client is listed after its end
	tick       = 15 * time.Second   // at most, between two looks at what has ended
	mended     = 3 * time.Second    // between two at a file that can't be read
	fileLimit  = 1 << 20            // bytes
)

// The errors of Add and Revoke.
var (
	ErrExists = errors.New("there is a client of that name already: choose another, or revoke it first")
	ErrNone   = errors.New("there is no client of that name: langkeep client list shows them")
	ErrName   = errors.New("the client needs another name")
	ErrMany   = fmt.Errorf("there are %d clients: revoke some first", most)
	ErrShare  = fmt.Errorf("this client has given %d programs tokens of their own: end some first", mostLeases)
	ErrFull   = errors.New("there is no room for more programs with tokens of their own: end some first")
	// ErrGrantor means that the client that gives a lease may not do so any more.
	ErrGrantor = errors.New("the client that asks was revoked meanwhile, its profile was removed, or its time is over")
)

// Client is a local program that may ask.
type Client struct {
	Name     string
	Scopes   []string
	Profiles []string // never all
	Created  time.Time
	Expires  time.Time // zero: with its lease
	// Lease marks the client of one running program, which goes with the request
	// that holds it.
	Lease bool
	// GrantedBy is the client that has given a lease, which ends with it; "" for
	// one of the owner, and "page" for one of the control page, which is no client.
	GrantedBy string
	// Narrowed marks a client whose scope run was given when that still allowed
	// tweaks and uploads, until the owner has seen what it lost.
	Narrowed bool
	// Root is the client that a lease comes from in the end, over all that gave one
	// in between; its own name for any other.
	Root string
}

// record is a Client and its token's hash, none of which ever changes.
type record struct {
	Client
	hash [sha256.Size]byte
	*life
}

// life is whether a token is good. The record that takes another's place shares it.
type life struct {
	ended  chan struct{} // closed when the token is good no more
	over   bool          // ended is closed
	unborn bool          // it is still being written down, and exists for nobody
	held   bool          // by the request of a lease
	resume time.Duration // clock.Elapsed by which a lease that is not held goes
}

// List is every client. It is safe for use by several goroutines.
type List struct {
	path  string
	clock clock.Clock
	log   *slog.Logger
	kick  chan struct{}
	same  func(a, b [sha256.Size]byte) bool    // compares hashes; secret.SameHash but in tests
	file  func(path string, data []byte) error // writes the file; paths.WriteFile but in tests

	// writing is held by whoever writes or reads the file, so that the newest list
	// is written last. It is taken before mu: nobody waits for the disk with mu, so
	// no lookup waits for it either.
	writing sync.Mutex

	mu      sync.Mutex // protects the following
	records []*record  // never changed, only replaced
	problem error      // why the file can't be used, which is then left alone
	changes int        // of records, but for those of Add
	written int        // changes when the file was last written; fewer: it is behind
}

// Open reads the file at path, "" for none. One that can't be read has no
// clients, is left alone, and Problem tells what is wrong with it.
func Open(path string, c clock.Clock, log *slog.Logger) *List {
	l := &List{path: path, clock: c, log: log, kick: make(chan struct{}, 1), same: secret.SameHash, file: paths.WriteFile}
	l.load()
	return l
}

// load reads the file, or notes why it can't. Without clients, there is nothing
// to be written down meanwhile.
func (l *List) load() {
	l.writing.Lock()
	defer l.writing.Unlock()
	records, err := l.read()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records, l.problem = records, err
}

// Problem tells why there are no clients and none can be added; nil if there is
// no reason.
func (l *List) Problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}

// scopesOfNow counts the changes of what scopes mean: 0 is when run allowed
// tweaks and uploads.
const scopesOfNow = 1

// listFile is a List at rest.
type listFile struct {
	Schema  int          `json:"schema"`
	Scopes  int          `json:"scopes"` // scopesOfNow when it was written
	Clients []recordFile `json:"clients"`
}

type recordFile struct {
	Name      string    `json:"name"`
	Scopes    []string  `json:"scopes"`
	Profiles  []string  `json:"profiles"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Lease     bool      `json:"lease,omitempty"`
	GrantedBy string    `json:"granted_by,omitempty"`
	Narrowed  bool      `json:"narrowed,omitempty"`
	SHA256    string    `json:"sha256"` // of the token, in hexadecimal
}

func (l *List) read() ([]*record, error) {
	if l.path == "" {
		return nil, nil
	}
	data, err := paths.ReadFile(l.path, fileLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f listFile
	if err := paths.Adopt(l.path, data, &f, ", so no client is let in: mend it, or delete it and add the clients again"); err != nil {
		return nil, err
	}
	taken, renamed := map[string]bool{}, map[string]string{}
	for _, r := range f.Clients {
		taken[r.Name] = true
	}
	var records []*record
	for _, r := range f.Clients {
		// Earlier versions let clients have names that are reserved by now: they keep
		// their tokens.
		if !r.Lease && isReserved(r.Name) {
			name := "client-" + r.Name
			for taken[name] {
				name = "client-" + name
			}
			taken[name] = true
			l.log.Warn("a client's name is reserved by now: it has another", "was", r.Name, "is", name)
			renamed[r.Name] = name
		}
	}
	for _, r := range f.Clients {
		if name, ok := renamed[r.Name]; ok && !r.Lease {
			r.Name = name
		}
		if name, ok := renamed[r.GrantedBy]; ok { // a lease ends with the client that gave it
			r.GrantedBy = name
		}
		hash, err := hex.DecodeString(r.SHA256)
		if err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("%s: the client %q has no sha256: mend it, or delete the file and add the clients again", l.path, r.Name)
		}
		records = append(records, &record{
			Client: Client{r.Name, r.Scopes, r.Profiles, r.CreatedAt, r.ExpiresAt, r.Lease, r.GrantedBy, r.Narrowed || f.Scopes == 0 && narrowed(r), ""},
			hash:   [sha256.Size]byte(hash),
			life:   &life{ended: make(chan struct{}), resume: l.clock.Elapsed() + ResumeWithin},
		})
	}
	records = withoutOrphans(records)
	for _, r := range records {
		r.Root = root(records, r.Client)
	}
	return records, nil
}

// withoutOrphans leaves out the leases of clients that are gone: somebody may have
// taken them out of the file by hand.
func withoutOrphans(records []*record) []*record {
	for {
		left := slices.DeleteFunc(slices.Clone(records), func(r *record) bool {
			return r.Lease && r.grantedByClient() && named(records, r.GrantedBy) == nil
		})
		if len(left) == len(records) {
			return records
		}
		records = left
	}
}

// grantedByClient tells whether the grantor is one that can be in the list.
func (c Client) grantedByClient() bool { return c.GrantedBy != "" && c.GrantedBy != pageName }

// pageName is what the control page is called as a caller.
const pageName = "page"

// named finds a client, nil if there is none of that name.
func named(records []*record, name string) *record {
	if i := slices.IndexFunc(records, func(r *record) bool { return r.Name == name }); i >= 0 {
		return records[i]
	}
	return nil
}

// narrowed tells whether a client of the time before scopesOfNow lost something
// that it may notice. A program that Langkeep started gets a new lease.
func narrowed(r recordFile) bool {
	return !r.Lease && slices.Contains(r.Scopes, "run") && !slices.Contains(r.Scopes, "proxy")
}

// Seen notes that the owner knows what the clients lost.
func (l *List) Seen() error {
	l.mu.Lock()
	var records []*record
	for _, r := range l.records {
		if r.Narrowed {
			// Lookup has handed out pointers to the old one.
			seen := *r
			seen.Narrowed = false
			r = &seen
			l.changes++
		}
		records = append(records, r)
	}
	l.records = records
	l.mu.Unlock()
	return l.keep()
}

// keep writes down what has changed, unless that was done meanwhile. Should it
// fail, sweep tries it again: with the next agent, clients that are gone would be
// back. The caller does not hold l.mu.
func (l *List) keep() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	done := l.problem == nil && l.changes == l.written
	l.mu.Unlock()
	if done {
		return nil
	}
	return l.write()
}

// write writes the clients down as they are by now. The caller holds l.writing,
// and not l.mu.
func (l *List) write() error {
	l.mu.Lock()
	records, changes, problem := l.records, l.changes, l.problem
	l.mu.Unlock()
	if problem != nil {
		return problem
	}
	if l.path != "" {
		f := listFile{Schema: paths.Schema, Scopes: scopesOfNow, Clients: []recordFile{}}
		for _, r := range records {
			f.Clients = append(f.Clients, recordFile{
				r.Name, r.Scopes, r.Profiles, r.Created, r.Expires, r.Lease, r.GrantedBy, r.Narrowed, hex.EncodeToString(r.hash[:]),
			})
		}
		data, err := json.MarshalIndent(f, "", "\t")
		if err == nil {
			err = l.file(l.path, append(data, '\n'))
		}
		if err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written = changes
	return nil
}

// Add lets a client in, with token, once it is written down. The error may be
// ErrName, ErrExists, ErrMany, ErrShare, ErrFull, ErrGrantor, or ErrNone if it was
// revoked before it was written down.
func (l *List) Add(c Client, token secret.Text) error {
	if err := config.ValidName(c.Name); err != nil {
		return fmt.Errorf("%w: %w", ErrName, err)
	}
	if !c.Lease && isReserved(c.Name) {
		return fmt.Errorf("%w: %q is what the audit log calls somebody else", ErrName, c.Name)
	}
	c.Created = l.clock.Now().UTC().Truncate(time.Second)
	r := &record{
		Client: c, hash: sha256.Sum256([]byte(token.Reveal())),
		life: &life{ended: make(chan struct{}), held: c.Lease, unborn: true},
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.list(r); err != nil {
		return err
	}
	err := l.write()
	l.mu.Lock()
	defer l.mu.Unlock()
	// It was in the list meanwhile, so that a profile or a grantor that has gone took
	// it along.
	added := named(l.records, c.Name)
	switch {
	case err != nil:
		// A file that has it all the same has it in vain: nobody knows the token.
		l.records = slices.DeleteFunc(slices.Clone(l.records), func(o *record) bool { return o == added })
		return err
	case added == nil:
		return ErrNone
	}
	added.unborn = false
	l.wake()
	return nil
}

// list puts a client into the list, if it may be there.
func (l *List) list(r *record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problem != nil {
		return l.problem
	}
	if named(l.records, r.Name) != nil {
		return ErrExists
	}
	if r.grantedByClient() {
		by := named(l.records, r.GrantedBy)
		if by == nil || by.over || l.isOver(by) || slices.ContainsFunc(r.Profiles, func(p string) bool { return !slices.Contains(by.Profiles, p) }) {
			return ErrGrantor
		}
	}
	r.Root = root(l.records, r.Client)
	kept := l.records
	if len(kept) >= most-reserved {
		// Those that are over are kept to be listed, and make room.
		kept = slices.DeleteFunc(slices.Clone(kept), func(o *record) bool {
			if l.isOver(o) {
				l.end(o)
			}
			return o.over
		})
	}
	switch {
	case len(kept) >= most:
		return ErrMany
	case r.GrantedBy != "" && len(kept) >= most-reserved:
		return ErrFull
	case r.GrantedBy != "" && given(kept, r.Root) >= mostLeases:
		return ErrShare
	}
	l.records = append(slices.Clone(kept), r)
	return nil
}

// isReserved tells whether a client of that name would pass for the owner, the
// control page or a program that Langkeep started (see LeaseName).
func isReserved(name string) bool {
	what, nonce, _ := strings.Cut(name, "-")
	return name == "owner" || name == "page" ||
		(what == "exec" || what == "mcp") && len(nonce) == 2*leaseNonce && strings.Trim(nonce, "0123456789abcdef") == ""
}

const leaseNonce = 4 // bytes

// LeaseName makes a name for a lease of exec or mcp: exec-0a1b2c3d.
func LeaseName(what string) string {
	var nonce [leaseNonce]byte
	_, _ = rand.Read(nonce[:]) // never fails
	return what + "-" + hex.EncodeToString(nonce[:])
}

// root is Client.Root for a client that may not be among the records.
func root(records []*record, c Client) string {
	name, by := c.Name, c.GrantedBy
	for range most { // a file edited by hand may lead in a circle
		if by == "" {
			break
		}
		name = by
		r := named(records, name)
		if r == nil {
			break
		}
		by = r.GrantedBy
	}
	return name
}

// given counts the leases that come from a client in the end.
func given(records []*record, root string) int {
	n := 0
	for _, r := range records {
		if r.GrantedBy != "" && r.Root == root {
			n++
		}
	}
	return n
}

func (l *List) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// All lists the clients, by name.
func (l *List) All() []Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Client, 0, len(l.records))
	for _, r := range l.records {
		if !r.unborn {
			all = append(all, r.Client)
		}
	}
	slices.SortFunc(all, func(a, b Client) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Lookup finds the client of a token. It takes as long for any token. If the
// client's time is over, ok is false and the client is still told.
func (l *List) Lookup(token string) (c *Client, ended <-chan struct{}, ok bool) {
	var room [64]byte // on the stack, for a token of the right length
	hash := sha256.Sum256(append(room[:0], token...))
	l.mu.Lock()
	defer l.mu.Unlock()
	var found *record
	for _, r := range l.records {
		if l.same(hash, r.hash) && !r.unborn {
			found = r
		}
	}
	if found == nil {
		return nil, nil, false
	}
	return &found.Client, found.ended, !found.over && !l.isOver(found)
}

// Hash is the hash of a client's token that fits, also of one whose time is over.
func (l *List) Hash(fits func(hash [sha256.Size]byte) bool) (hash [sha256.Size]byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if fits(r.hash) && !r.unborn {
			hash, ok = r.hash, true
		}
	}
	return hash, ok
}

// isOver tells whether a client's time is over. The caller holds l.mu.
func (l *List) isOver(r *record) bool {
	if r.Lease && !r.held && l.clock.Elapsed() >= r.resume {
		return true
	}
	return !r.Expires.IsZero() && !l.clock.Now().Before(r.Expires)
}

// Revoke takes a client out at once, with the leases that it has given, and then
// writes that down. The error may be ErrNone.
func (l *List) Revoke(name string) error {
	l.mu.Lock()
	names := l.revoke(func(c Client) bool { return c.Name == name })
	problem, behind := l.problem, l.changes != l.written
	l.mu.Unlock()
	switch {
	case problem != nil:
		return problem
	case names == nil && !behind: // where it is, it may be so with this one
		return ErrNone
	}
	return l.keep()
}

// RevokeAll takes out every client that fits, with the leases that they have
// given, and returns their names.
func (l *List) RevokeAll(fits func(Client) bool) ([]string, error) {
	l.mu.Lock()
	names := l.revoke(fits)
	l.mu.Unlock()
	if names == nil {
		return nil, nil
	}
	return names, l.keep()
}

// revoke ends clients and takes them out of the list, for keep to write that
// down. The caller holds l.mu.
func (l *List) revoke(fits func(Client) bool) (names []string) {
	for more := true; more; {
		more = false
		for _, r := range l.records {
			given := r.Lease && r.GrantedBy != "" && slices.Contains(names, r.GrantedBy)
			if (fits(r.Client) || given) && !slices.Contains(names, r.Name) {
				l.end(r)
				names = append(names, r.Name)
				more = true // those that it has given
			}
		}
	}
	if names != nil {
		l.records = slices.DeleteFunc(slices.Clone(l.records), func(r *record) bool { return slices.Contains(names, r.Name) })
		l.changes++
	}
	return names
}

// end makes a token worthless. The caller holds l.mu.
func (l *List) end(r *record) {
	if !r.over {
		r.over = true
		close(r.ended)
	}
}

// Forget takes a profile that is gone from every client, so that none may use
// another one of its name; a client without any other goes too.
func (l *List) Forget(profile string) error {
	l.mu.Lock()
	var kept []*record
	changed := false
	for _, r := range l.records {
		if slices.Contains(r.Profiles, profile) {
			changed = true
			// Whoever looked it up sees the old one, which has ended.
			left := &record{Client: r.Client, hash: r.hash, life: &life{ended: make(chan struct{}), unborn: r.unborn, held: r.held, resume: r.resume}}
			left.Profiles = slices.DeleteFunc(slices.Clone(r.Profiles), func(p string) bool { return p == profile })
			l.end(r)
			r = left
		}
		if len(r.Profiles) > 0 {
			kept = append(kept, r)
		}
	}
	if changed {
		l.records = kept
		l.changes++
	}
	l.mu.Unlock()
	if !changed {
		return nil
	}
	return l.keep()
}

// Hold takes up a lease again that its holder had with an earlier agent. ended
// is closed when it is revoked.
func (l *List) Hold(name string) (ended <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if r.Name == name && r.Lease && !r.held && !r.over && !l.isOver(r) {
			r.held = true
			return r.ended, nil
		}
	}
	return nil, ErrNone
}

// Run ends what has expired, until ctx ends.
func (l *List) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.kick:
		case <-ctx.Done():
			return
		}
		if wait := l.sweep(); wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
	}
}

// sweep ends what has expired, tries again what could not be read or written, and
// returns when to look again, 0 if that is not needed before there is another
// client. A lease is not listed any longer than it lives.
func (l *List) sweep() time.Duration {
	if l.Problem() != nil {
		l.load() // somebody may have mended it
	}
	behind, next := l.expire()
	if behind {
		if err := l.keep(); err != nil {
			l.log.Warn("the clients can't be written down", "error", err)
			next = tick
		}
	}
	return next
}

// expire is sweep but for the file: it tells whether that is behind.
func (l *List) expire() (behind bool, next time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, next := l.clock.Now(), tick
	if l.problem != nil {
		return false, mended
	}
	var kept []*record
	for _, r := range l.records {
		if l.isOver(r) {
			l.end(r)
		}
		if r.over && (r.Lease || !now.Before(r.Expires.Add(remembered))) {
			continue
		}
		kept = append(kept, r)
		if !r.over && !r.Expires.IsZero() {
			next = min(next, max(r.Expires.Sub(now), time.Millisecond))
		}
	}
	if len(kept) < len(l.records) {
		l.records = kept
		l.changes++
	}
	behind = l.changes != l.written
	if len(l.records) == 0 && !behind {
		next = 0
	}
	return behind, next
}
