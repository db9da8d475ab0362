package localapi

import (
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func TestPageCodeRoute(t *testing.T) {
	r := newRig(t)
	var answered struct {
		URL       string
		ExpiresIn int64 `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(r.must(201, "POST", "/v1/page/code", "")), &answered); err != nil {
		t.Fatal(err)
	}
	link := answered.URL
	if answered.ExpiresIn != 30 {
		t.Errorf("it lives %d s", answered.ExpiresIn)
	}
	if runtime.GOOS != "linux" { // where the user behind a connection can't be told
		link = r.readPageFile(link)
	}
	code, ok := strings.CutPrefix(link, r.url+"/#code=")
	if !ok || !strings.HasPrefix(code, "lk_") {
		t.Fatal("the link is not the page's")
	}
	body := fmt.Sprintf(`{"code":%q}`, code)
	exchange := func(origin, body string) (int, string) {
		status, _, answered := r.ask("owner", "POST", "/v1/page/token", body, "Origin", origin)
		return status, answered
	}
	for origin, body := range map[string]string{
		"http://evil.example": body, "null": body, r.url + "/": body, r.url: `{"code":"lk_no"}`,
	} {
		if status, answered := exchange(origin, body); status != 403 {
			t.Errorf("from %s: %d %s", origin, status, answered)
		}
	}
	status, answeredBody := exchange(r.url, body)
	if status != 200 || !strings.Contains(answeredBody, `"token":"lk_`) {
		t.Errorf("a code gives %d %s", status, answeredBody)
	}
	if status, _ := exchange(r.url, body); status != 403 {
		t.Errorf("a code twice: %d", status)
	}
	// A page can't make itself live longer.
	token := r.pageToken()
	status, _, answeredBody = r.ask(token, "POST", "/v1/page/code", "", "Origin", r.url)
	if status != 403 || strings.Contains(answeredBody, "#code") {
		t.Errorf("a page gets a code: %d", status)
	}
}

func (r *rig) readPageFile(link string) string {
	r.t.Helper()
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "file" {
		r.t.Fatalf("%q is no file: %v", link, err)
	}
	text, err := os.ReadFile(r.server.PageFile)
	if err != nil {
		r.t.Fatal(err)
	}
	found := regexp.MustCompile(`content="0; url=([^"]+)"`).FindSubmatch(text)
	if found == nil {
		r.t.Fatalf("the file leads nowhere: %s", text)
	}
	return html.UnescapeString(string(found[1]))
}

// Where a code must not be among a browser's arguments it is in a file.
func TestPageFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "open here.html")
	f := pageFile{path: path}
	if err := f.write("http://127.0.0.1:17860/#code=lk_x"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	r := &rig{t: t, server: &Server{Config: Config{PageFile: path}}}
	if got := r.readPageFile(fileURL(path)); got != "http://127.0.0.1:17860/#code=lk_x" {
		t.Errorf("it leads to %q", got)
	}
	f.remove()
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is still there")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f.remove(); !exists(path) {
		t.Error("a file of somebody else's was removed")
	}
	for in, want := range map[string]string{"/run/a b/open.html": "file:///run/a%20b/open.html", "C:/Users/x/open.html": "file:///C:/Users/x/open.html"} {
		if got := fileURL(in); got != want {
			t.Errorf("%s is %s", in, got)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
