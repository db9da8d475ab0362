package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"langkeep/localapi/client"
)

// Uploads are looked at as they pass: they are too large to be held, and a server
// does nothing with one before its end.
//
// A file's name is more than a name. Langflow 1.10.3 keeps the account's MCP servers
// in a file of the account's, _mcp_servers_USER.json: a client that uploads it has the
// server start programs, and with append=true may read the keys in it. 1.13.0 takes
// over such a file into its database. 1.4.3 does not look for slashes in a name.

// uploadQuery is what POST /api/v2/files has in its query.
var uploadQuery = map[string]field{"append": truth, "ephemeral": truth}

// formBoundary is what Langflow 1.13.0 takes for a boundary.
var formBoundary = pattern(`^[\w-]{1,70}$`)

// streamUpload is for the uploads of files.
func streamUpload(a *asked, body io.ReadCloser) (io.ReadCloser, *objection) {
	if wrong := a.queryOf(uploadQuery); wrong != nil {
		return nil, wrong
	}
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	boundary := params["boundary"]
	if err != nil || len(a.header.Values("Content-Type")) != 1 || kind != "multipart/form-data" || len(params) != 1 || !formBoundary().MatchString(boundary) {
		return nil, reject("an upload must be multipart/form-data, with nothing but a boundary of letters, digits, - and _: add a client with the scope proxy to send others")
	}
	return &upload{in: bufio.NewReaderSize(body, 32<<10), from: body, delimiter: []byte("--" + boundary)}, nil
}

// upload is a form that is looked at while it is read.
type upload struct {
	in        *bufio.Reader
	from      io.Closer
	delimiter []byte // between parts

	passed  []byte // what was looked at, and is not read yet
	begun   bool
	ended   bool
	problem error
}

// uploadRefused is the error of an upload that may not pass.
type uploadRefused struct{ problem *client.Problem }

func (e uploadRefused) Error() string { return e.problem.Detail }

func refuseUpload(why string) error {
	return uploadRefused{forbid("the upload can't be checked, " + why + ": add a client with the scope proxy to send it")}
}

func (u *upload) Close() error { return u.from.Close() }

func (u *upload) Read(p []byte) (int, error) {
	for len(u.passed) == 0 && u.problem == nil {
		u.passed, u.problem = u.next(u.passed[:0])
		if u.problem != nil && !errors.Is(u.problem, io.EOF) {
			u.passed = nil
		}
	}
	if len(u.passed) == 0 {
		return 0, u.problem
	}
	n := copy(p, u.passed)
	u.passed = u.passed[n:]
	return n, nil
}

// next appends what passes next: a piece of a part, or a delimiter with the headers
// behind it.
func (u *upload) next(to []byte) ([]byte, error) {
	if u.ended {
		rest, err := io.ReadAll(io.LimitReader(u.in, 3))
		if err == nil && len(rest) > 0 && string(rest) != "\r\n" {
			err = refuseUpload("since something comes after its end")
		}
		if err == nil {
			err = io.EOF
		}
		return append(to, rest...), err
	}
	least := len(u.delimiter)
	for {
		_, err := u.in.Peek(least) // waits for that many
		have, _ := u.in.Peek(u.in.Buffered())
		at := bytes.Index(have, u.delimiter)
		switch {
		case at == 0:
			return u.part(to)
		case !u.begun:
			return to, refuseUpload("since it does not begin with a part")
		case at > 0:
			return u.pass(to, at)
		case len(have) >= len(u.delimiter):
			return u.pass(to, len(have)-len(u.delimiter)+1)
		case errors.Is(err, io.EOF):
			return to, refuseUpload("since it has no end")
		case err != nil:
			return to, err
		}
	}
}

// pass appends the next n bytes.
func (u *upload) pass(to []byte, n int) ([]byte, error) {
	have, err := u.in.Peek(n)
	to = append(to, have...)
	if err == nil {
		_, err = u.in.Discard(n)
	}
	return to, err
}

// part appends a delimiter, and the headers of the part that it begins.
func (u *upload) part(to []byte) ([]byte, error) {
	u.begun = true
	to, err := u.pass(to, len(u.delimiter)+2)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return to, err
	case bytes.HasSuffix(to, []byte("--")):
		u.ended = true
		return to, nil
	case !bytes.HasSuffix(to, []byte("\r\n")):
		return to, refuseUpload("since its boundary is in a file")
	}
	seen := make(map[string]bool)
	for {
		line, err := u.in.ReadSlice('\n')
		to = append(to, line...)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return to, err
		}
		text, whole := strings.CutSuffix(string(line), "\r\n")
		if whole && text == "" {
			if !seen["content-disposition"] {
				return to, refuseUpload("since a part has no name")
			}
			return to, nil
		}
		name, value, colon := strings.Cut(text, ": ")
		name = strings.ToLower(name)
		if !whole || !colon || seen[name] || !partHeader(name, value) {
			return to, refuseUpload("since a part has a header or a file name that servers read in more than one way, or that is Langflow's own")
		}
		seen[name] = true
	}
}

var (
	// disposition is read alike by all.
	disposition = pattern(`^form-data; name="([^"\\]*)"(?:; filename="([^"\\]*)")?$`)
	otherValue  = pattern(`^[ -~]{0,200}$`)
)

// partHeader tells whether a part may have a header.
func partHeader(name, value string) bool {
	switch name {
	case "content-disposition":
		said := disposition().FindStringSubmatch(value)
		return said != nil && plain(said[1]) && plainFileName(said[2])
	case "content-type", "content-length", "content-transfer-encoding":
		return otherValue().MatchString(value)
	}
	return false
}

// plainFileName tells whether a file may be called so: in no other folder, and not as
// the file that Langflow has the account's MCP servers in.
func plainFileName(name string) bool {
	return plain(name) && utf8.RuneCountInString(name) <= 255 && !strings.ContainsAny(name, `/\`) && !strings.Contains(name, "..") &&
		!strings.Contains(strings.ToLower(name), "_mcp_servers")
}

// judgeNames is for DELETE /knowledge_bases, which deletes the folders that it
// names. 1.10.3 and 1.13.0 hold them to the account's own folder.
func judgeNames(a *asked) *objection {
	if wrong := a.queryOf(nil); wrong != nil || a.method != http.MethodDelete {
		return wrong
	}
	v, wrong := a.json()
	if wrong != nil {
		return wrong
	}
	name := func(v any) bool {
		s, ok := v.(string)
		return ok && strings.Trim(s, ". ") != "" && plainFileName(s)
	}
	if said := object(v, map[string]field{"kb_names": listOf(name)}); said != "" {
		return reject("a knowledge base is named as its folder is, %s: add a client with the scope proxy", said)
	}
	return nil
}
