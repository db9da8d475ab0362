// Package clients remembers which local programs may ask the agent, by the
// hashes of their tokens.
package clients

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

const (
	// ResumeWithin is how long a lease outlives its agent: in that time its holder can
	// resume it at the next agent.
	ResumeWithin = 30 * time.Second

	most       = 500                // clients; a lookup compares a token with each
	reserved   = 100                // of those, kept free of leases that clients give
	mostLeases = 64                 // that come from one client, directly or through its leases
	remembered = 7 * 24 * time.Hour // for which a client is listed after its end
	tick       = 15 * time.Second   // at most, between two sweeps
	mended     = 3 * time.Second    // between two attempts at a file that can't be read
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
	// ErrGrantor means that the client that asks for a lease may no longer give one.
	ErrGrantor = errors.New("the client that asks was revoked meanwhile, its profile was removed, or its time is over: langkeep client add makes another")
)

// Client is a local program that may ask.
type Client struct {
	Name     string
	Scopes   []string
	Profiles []string // never all
	Created  time.Time
	Expires  time.Time // zero: with its lease
	// Lease marks the client of one running program. It ends with the request that
	// holds it.
	Lease bool
	// GrantedBy is the client that gave the lease; the lease ends with that client. It
	// is "" for the owner.
	GrantedBy string
	// Narrowed marks a client that got the scope run when run still allowed tweaks and
	// uploads. The mark goes once the owner has seen the loss.
	Narrowed bool
	// Root is the first client in the chain that gave a lease. For a client that is no
	// lease it is the client's own name.
	Root string
}

// record is a Client and its token's hash. A record never changes.
type record struct {
	Client
	hash [sha256.Size]byte
	*life
}

// life tells whether a token is still good. A record that replaces another shares its
// life.
type life struct {
	ended  chan struct{} // closed when the token's life ends
	over   bool          // ended is closed
	unborn bool          // not yet written to the file: no lookup finds it
	held   bool          // a request holds the lease
	resume time.Duration // clock.Elapsed at which a lease that no request holds ends
}

// List is every client. It is safe for use by several goroutines.
type List struct {
	path  string
	clock clock.Clock
	log   *slog.Logger
	kick  chan struct{}
	same  func(a, b [sha256.Size]byte) bool    // compares hashes; secret.SameHash except in tests
	file  func(path string, data []byte) error // writes the file; paths.WriteFile except in tests

	// writing is held while the file is written or read, so that the newest list is
	// written last. Take it before mu. No goroutine waits for the disk with mu held, so
	// no lookup waits for the disk.
	writing sync.Mutex

	mu      sync.Mutex // protects the following
	records []*record  // never changed, only replaced
	problem error      // why the file can't be used; it is then left alone
	changes int        // of records, except by Add
	written int        // the value of changes at the last write; if less than changes, the file is behind
}

// Open reads the file at path, "" for none. A file that can't be read is left alone:
// the list is then empty, and Problem says why.
func Open(path string, c clock.Clock, log *slog.Logger) *List {
	l := &List{path: path, clock: c, log: log, kick: make(chan struct{}, 1), same: secret.SameHash, file: paths.WriteFile}
	l.load()
	return l
}

// load reads the file, or notes why it can't. Without the file the list is empty, so
// nothing needs to be written until then.
func (l *List) load() {
	l.writing.Lock()
	defer l.writing.Unlock()
	records, err := l.read()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records, l.problem = records, err
}

// Problem is why the list is empty and takes no client; nil if the file is good.
func (l *List) Problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}

// scopesOfNow is the version of the scopes' meaning. In version 0, run allowed tweaks
// and uploads.
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
	var f listFile
	err := paths.ReadJSON(l.path, fileLimit, &f, ", so no client is let in: mend it, or delete it and add the clients again")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	taken, renamed := map[string]bool{}, map[string]string{}
	for _, r := range f.Clients {
		taken[r.Name] = true
	}
	var records []*record
	for _, r := range f.Clients {
		// Earlier versions allowed names that are reserved now. Their clients keep
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

// withoutOrphans leaves out leases whose grantor is not in the file: a person may have
// removed it by hand.
func withoutOrphans(records []*record) []*record {
	for {
		left := slices.DeleteFunc(slices.Clone(records), func(r *record) bool {
			return r.Lease && r.GrantedBy != "" && named(records, r.GrantedBy) == nil
		})
		if len(left) == len(records) {
			return records
		}
		records = left
	}
}

// named finds a client, nil if there is none of that name.
func named(records []*record, name string) *record {
	if i := slices.IndexFunc(records, func(r *record) bool { return r.Name == name }); i >= 0 {
		return records[i]
	}
	return nil
}

// narrowed tells whether a client from before scopesOfNow lost rights that it may miss.
// A lease does not: its program gets a new one.
func narrowed(r recordFile) bool {
	return !r.Lease && slices.Contains(r.Scopes, "run") && !slices.Contains(r.Scopes, "proxy")
}

// Seen notes that the owner has seen which clients are Narrowed.
func (l *List) Seen() error {
	l.mu.Lock()
	var records []*record
	for _, r := range l.records {
		if r.Narrowed {
			// Lookup has given out pointers to the old record.
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

// keep writes the list to the file, unless another goroutine has done so. After a
// failure sweep tries again: an old file would bring revoked clients back at the next
// start. The caller must not hold l.mu.
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

// write writes the current list to the file. The caller holds l.writing, and not l.mu.
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
		data, err := paths.EncodeJSON(f)
		if err == nil {
			err = l.file(l.path, data)
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

// Add admits a client with that token, once the file has it. The error may be ErrName,
// ErrExists, ErrMany, ErrShare, ErrFull, ErrGrantor, or ErrNone if the client was
// revoked before the write ended.
func (l *List) Add(c Client, token secret.Text) error {
	if err := vocabulary.ValidName(c.Name); err != nil {
		return fmt.Errorf("%w: %w", ErrName, err)
	}
	if !c.Lease && isReserved(c.Name) {
		return fmt.Errorf("%w: the audit log uses %q for others", ErrName, c.Name)
	}
	c.Scopes, c.Profiles = withoutRepeats(c.Scopes), withoutRepeats(c.Profiles)
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
	// The client was in the list during the write, so the removal of its profile or
	// grantor has removed it too.
	added := named(l.records, c.Name)
	switch {
	case err != nil:
		// The file may have the client all the same. That does no harm: nobody knows
		// the token.
		l.records = slices.DeleteFunc(slices.Clone(l.records), func(o *record) bool { return o == added })
		return err
	case added == nil:
		return ErrNone
	}
	added.unborn = false
	l.wake()
	return nil
}

// withoutRepeats keeps the first of equal names, in their order.
func withoutRepeats(names []string) []string {
	var kept []string
	for _, name := range names {
		if !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	return kept
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
	if r.GrantedBy != "" {
		by := named(l.records, r.GrantedBy)
		if by == nil || by.over || l.isOver(by) || slices.ContainsFunc(r.Profiles, func(p string) bool { return !slices.Contains(by.Profiles, p) }) {
			return ErrGrantor
		}
	}
	r.Root = root(l.records, r.Client)
	kept := l.records
	if len(kept) >= most-reserved {
		// Ended clients stay in the list only for display, so they make room.
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
	for range most { // a file edited by hand may have a circle
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

// given counts the leases whose Root is that client.
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
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// Lookup finds the client of a token, in the same time for any token. For a client that
// has expired ok is false, and c is that client.
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

// Hash finds the hash that fits among all clients' tokens, expired ones too.
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

// isOver tells whether a client has expired. The caller holds l.mu.
func (l *List) isOver(r *record) bool {
	if r.Lease && !r.held && l.clock.Elapsed() >= r.resume {
		return true
	}
	return !r.Expires.IsZero() && !l.clock.Now().Before(r.Expires)
}

// Revoke removes a client at once, with the leases that it has given, and then writes
// the file. The error may be ErrNone.
func (l *List) Revoke(name string) error {
	l.mu.Lock()
	names := l.revoke(func(c Client) bool { return c.Name == name })
	problem, behind := l.problem, l.changes != l.written
	l.mu.Unlock()
	switch {
	case problem != nil:
		return problem
	case names == nil && !behind: // if the file is behind, it may still have this client
		return ErrNone
	}
	return l.keep()
}

// RevokeAll removes every client that fits, with the leases that it has given, and
// returns the names.
func (l *List) RevokeAll(fits func(Client) bool) ([]string, error) {
	l.mu.Lock()
	names := l.revoke(fits)
	l.mu.Unlock()
	if names == nil {
		return nil, nil
	}
	return names, l.keep()
}

// revoke ends clients and removes them from the list; keep must then write the file.
// The caller holds l.mu.
func (l *List) revoke(fits func(Client) bool) (names []string) {
	for more := true; more; {
		more = false
		for _, r := range l.records {
			given := r.Lease && r.GrantedBy != "" && slices.Contains(names, r.GrantedBy)
			if (fits(r.Client) || given) && !slices.Contains(names, r.Name) {
				l.end(r)
				names = append(names, r.Name)
				more = true // remove the leases that it has given too
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

// Forget removes a deleted profile from every client, so that none may use a later
// profile of that name. A client without another profile goes too.
func (l *List) Forget(profile string) error {
	l.mu.Lock()
	var kept []*record
	changed := false
	for _, r := range l.records {
		if slices.Contains(r.Profiles, profile) {
			changed = true
			// A goroutine that looked the old record up sees that its life has ended.
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

// Hold resumes a lease from an earlier agent. ended is closed when the lease is
// revoked.
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

// Run sweeps the list until ctx ends.
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

// sweep ends expired clients and tries failed reads and writes again. It returns the
// time till the next sweep, 0 if none is needed before a client is added. An ended
// lease is not listed.
func (l *List) sweep() time.Duration {
	if l.Problem() != nil {
		l.load() // a person may have mended the file
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

// expire is sweep without the file: it tells whether the file is behind.
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
