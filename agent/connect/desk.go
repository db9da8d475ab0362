package connect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"

	"langkeep/agent/paths"
)

// Desk has the tools of this user, as an environment names their files, and the records
// of their connections.
type Desk struct {
	Records Records
	paths   paths.Paths
	getenv  func(string) string
}

// OpenDesk names the files; they need not be there.
func OpenDesk(p paths.Paths, getenv func(string) string) Desk {
	return Desk{OpenRecords(p), p, getenv}
}

// ClientName is the name of a tool's client for a profile. Where both names are too long
// for one, a hash of the profile's stands for its end.
func ClientName(tool, profile string) string {
	const most = 63
	name := tool + "-" + profile
	if len(name) <= most {
		return name
	}
	hash := sha256.Sum256([]byte(profile))
	end := "-" + hex.EncodeToString(hash[:4])
	return strings.TrimRight(name[:most-len(end)], "-._") + end
}

// Server is a link's MCP server, which asks the agent of the desk's paths.
func (d Desk) Server(l Link) (Server, error) {
	program, err := paths.Program(d.getenv)
	if err != nil {
		return Server{}, err
	}
	return l.Server(program, d.paths.Environment(d.getenv))
}

// Prepare makes the Edit that connects a tool in its own file, without a secret.
func (d Desk) Prepare(t *Tool, l Link) (*Edit, error) {
	place, err := t.At("", t.EntryName(l), runtime.GOOS, d.getenv)
	if err != nil {
		return nil, err
	}
	s, err := d.Server(l)
	if err != nil {
		return nil, err
	}
	s.Name = place.Name
	if old, again, err := d.Records.Find(t.Name, l.Profile, l.Builder); err != nil || again && old.Path != place.Path {
		if err == nil {
			err = fmt.Errorf("%s is connected in %s: disconnect it there first", t.Title, old.Path)
		}
		return nil, err
	}
	return place.Put(t.Value(s))
}

// Snippet is a link's entry in the form that most MCP clients take, for people to copy.
func (d Desk) Snippet(l Link) (string, error) {
	s, err := d.Server(l)
	if err != nil {
		return "", err
	}
	place := Place{Section: "mcpServers", Name: (&Tool{server: plain}).EntryName(l), format: jsonFormat{}}
	return place.Entry(plain(s))
}

// place is where a record's entry is.
func (d Desk) place(t *Tool, n Record) (Place, error) {
	return t.At(n.Path, t.EntryName(n.Link), runtime.GOOS, d.getenv)
}

// TakeBack undoes a record's entry, see Records.TakeBack.
func (d Desk) TakeBack(ctx context.Context, n Record) (left string, err error) {
	t, err := Find(n.Tool)
	if err != nil {
		return "", err
	}
	place, err := d.place(t, n)
	if err != nil {
		return "", err
	}
	return d.Records.TakeBack(ctx, n, place)
}
