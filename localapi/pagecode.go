package localapi

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/proof"
)

// pageCodeAnswer and pageTokenAnswer are the wire's types as they are sent: the
// only places where a code and a page's token leave their redacting type.
type pageCodeAnswer struct {
	client.PageCode
	URL string `json:"url"`
}

type pageTokenAnswer struct {
	client.PageToken
	Token string `json:"token"`
}

// pageCode makes a code for a browser. Only the owner may: with it a page could live
// longer than its 12 hours.
func (s *Server) pageCode(w http.ResponseWriter, _ *http.Request, caller *guard.Caller, _ string) error {
	if !caller.Owner {
		return client.NewProblem(client.TypeForbidden, "only the owner opens the control page: run langkeep open")
	}
	url, err := s.OpenURL("")
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, pageCodeAnswer{
		client.PageCode{ExpiresIn: wholeSeconds(guard.CodeLifetime)}, url.Reveal(),
	})
}

// OpenURL returns the URL that opens the control page in a browser, within 30 s, at
// "add", "sign-in/NAME", "card/NAME", "about" or, with "", its beginning. Other users can
// read a program's arguments. The code in the URL is of no use to them, because the guard
// refuses their connections. On systems that can't tell a connection's user, the URL
// names a file instead, which other users can't read.
func (s *Server) OpenURL(at string) (secret.Text, error) {
	byFile := s.Guard.PeerLookup() != nil
	link := s.URL + "/#code=" + s.Pages.NewCode(byFile).Reveal()
	if at != "" {
		link += "&at=" + at
	}
	if !byFile {
		return secret.New(link), nil
	}
	if err := s.file.write(link); err != nil {
		return secret.Text{}, err
	}
	return secret.New(fileURL(s.file.path)), nil
}

// fileURL is RFC 8089's; a drive's letter needs a slash before it.
func fileURL(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// pageToken exchanges a code. The guard has checked that the request comes from the
// control page.
func (s *Server) pageToken(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	var body client.PageExchange
	if err := read(r, &body); err != nil {
		return err
	}
	return s.givePage(w, proof.Of(body.Code), guard.PeerKnown(r))
}

// givePage answers with a page's token for a code.
func (s *Server) givePage(w http.ResponseWriter, code proof.Secret, peerKnown bool) error {
	token, ok := s.Pages.Exchange(code, peerKnown)
	if !ok {
		return client.NewProblem(client.TypeForbidden, "this code was used, is older than 30 s, or is of an earlier start of the agent: run langkeep open")
	}
	return answerPage(w, token)
}

func answerPage(w http.ResponseWriter, token secret.Text) error {
	return answer(w, http.StatusOK, pageTokenAnswer{client.PageToken{ExpiresIn: wholeSeconds(guard.PageLifetime)}, token.Reveal()})
}

// pageFile is the file that leads a browser to the page.
type pageFile struct {
	path string

	mu    sync.Mutex  // protects the following
	timer *time.Timer // removes it; nil while there is none
}

func (f *pageFile) write(link string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	link = html.EscapeString(link)
	text := fmt.Sprintf(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url=%s">
<title>Langkeep</title>
<a href="%s">Open the control page</a>
`, link, link)
	if err := paths.WriteFile(f.path, []byte(text)); err != nil {
		return err
	}
	if f.timer != nil {
		f.timer.Stop()
	}
	f.timer = time.AfterFunc(guard.CodeLifetime, f.remove)
	return nil
}

// remove deletes the file. A file that can't be deleted does no harm: its code has
// ended.
func (f *pageFile) remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
		_ = os.Remove(f.path)
	}
}
