package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// form is an upload as programs write it, of one part with these headers.
func form(headers, content string) string {
	return "--b-1\r\n" + headers + "\r\n\r\n" + content + "\r\n--b-1--\r\n"
}

// file is the header of a file's part.
func file(name string) string {
	return `Content-Disposition: form-data; name="file"; filename="` + name + `"` + "\r\nContent-Type: text/plain"
}

// through reads an upload as the transport does.
func through(text string, in func(io.Reader) io.Reader) (string, error) {
	passed, wrong := streamUpload(&asked{header: http.Header{"Content-Type": {"multipart/form-data; boundary=b-1"}}}, io.NopCloser(in(strings.NewReader(text))))
	if wrong != nil {
		return "", wrong.problem
	}
	got, err := io.ReadAll(passed)
	return string(got), err
}

func TestUploads(t *testing.T) {
	large := strings.Repeat("\r\n--b-\r\n-", 20_000)
	for _, text := range []string{
		form(file("a.txt"), ""), form(file("a.txt"), "hello"), form(file("a.txt"), large), form(file("é 1 (2).txt"), "\x00\xff"), form(file("100%.txt"), "_mcp_servers_1.json"),
		strings.Replace(form(`content-disposition: form-data; name="a"`, "x"), "--b-1--", "--b-1\r\n"+file("b")+"\r\n\r\ny\r\n--b-1--", 1), strings.TrimSuffix(form(file("a"), "x"), "\r\n"),
	} {
		for name, in := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "in halves": iotest.HalfReader, "with its end": iotest.DataErrReader,
		} {
			if got, err := through(text, in); got != text || err != nil {
				t.Errorf("%.60q, %s: %d of %d bytes, %v", text, name, len(got), len(text), err)
			}
		}
	}
	for _, text := range []string{
		"", "x", "--b-1", "--b-1\r\n", "x" + form(file("a"), ""), "\r\n" + form(file("a"), ""), form(file("a"), "") + "x", form(file("a"), "") + form(file("a"), ""),
		strings.TrimSuffix(form(file("a"), "x"), "--\r\n"), "--b-1\r\n\r\nx\r\n--b-1--", form(file("a"), "x--b-1y"), form(file("a"), "x--b-1\r\n"),
		form(file("_mcp_servers_1.json"), "{}"), form(file("_MCP_Servers_1.json"), "{}"), form(file(" _mcp_servers.json"), "{}"), form(file("../a"), ""), form(file("a/b"), ""), form(file(`a\b`), ""),
		form(file(`a\"b`), ""), form(file("..a"), ""), form(file("a\x01"), ""), form(file("a\xff"), ""), form(file(strings.Repeat("a", 256)), ""),
		form(`Content-Disposition: form-data; name="file"; filename="a"; x=y`, ""), form(file(`a"; filename="_b`), ""), form(`Content-Disposition: form-data; name="file"; filename=_mcp_servers_1.json`, ""),
		form(`Content-Disposition: form-data; name="file"; filename*=UTF-8''%5fmcp_servers_1.json`, ""), form(`Content-Disposition: form-data; filename="a"; name="file"`, ""),
		form(`Content-Disposition: form-data;name="file"; filename="a"`, ""), form(`Content-Disposition: attachment; name="file"; filename="a"`, ""),
		form(file("a")+"\r\n"+file("_mcp_servers_1.json"), ""), form(file("a")+"\r\n Content-Disposition: x", ""), form(file("a")+"\r\nX: y", ""), form(file("a")+"\nX: y", ""), form(file("a")+"\r\nContent-Type", ""),
		form("Content-Type: text/plain", ""), form(file("a")+"\r\nContent-Transfer-Encoding: "+strings.Repeat("a", 40_000), ""),
	} {
		for _, in := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader} {
			got, err := through(text, in)
			var refused uploadRefused
			if !errors.As(err, &refused) || strings.Contains(got, "_mcp_") {
				t.Errorf("%.120q passes as %.60q, %v", text, got, err)
			}
		}
	}
	for _, kind := range []string{
		"", "application/json", "application/x-www-form-urlencoded", "multipart/mixed; boundary=b-1", "multipart/form-data", "multipart/form-data; boundary=b-1; charset=utf-16",
		"multipart/form-data; boundary=b-1; boundary=b-2", `multipart/form-data; boundary="b 1"`, "multipart/form-data; boundary=" + strings.Repeat("b", 71),
	} {
		if _, wrong := streamUpload(&asked{header: http.Header{"Content-Type": {kind}}}, nil); wrong == nil {
			t.Errorf("%q passes", kind)
		}
	}
}

// An upload that may not pass is answered why, and the server gets no end of it.
func TestUploadRefused(t *testing.T) {
	r := start(t, "", func(http.ResponseWriter, *http.Request) {})
	// whole tells how often the server has got all of an upload.
	whole := func() (n int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, body := range r.bodies {
			if strings.HasSuffix(body, "--b-1--\r\n") {
				n++
			}
		}
		return n
	}
	r.lookup = func(token string) (*guard.Caller, *client.Problem) {
		return &guard.Caller{Name: "c", Scopes: []guard.Scope{guard.Scope(strings.TrimPrefix(token, "lk_"))}, Profiles: []string{"prod"}}, nil
	}
	size := 0
	ask := func(token, name string) (*http.Response, string) {
		return r.ask(http.MethodPost, "/api/v2/files?append=true", form(file(name), strings.Repeat("x", size)), "X-Api-Key: "+token, "Content-Type: multipart/form-data; boundary=b-1")
	}
	for _, size = range []int{0, 200_000} {
		before := whole()
		if res, said := ask("lk_tweak", "a.txt"); res.StatusCode != 200 || whole() != before+1 {
			t.Errorf("a file: %d %s", res.StatusCode, said)
		}
		if res, said := ask("lk_proxy", "_mcp_servers_1.json"); res.StatusCode != 200 || whole() != before+2 {
			t.Errorf("the scope proxy: %d %s", res.StatusCode, said)
		}
		if res, said := ask("lk_run", "a.txt"); res.StatusCode != 403 {
			t.Errorf("the scope run: %d %s", res.StatusCode, said)
		}
		res, said := ask("lk_tweak", "_mcp_servers_1.json")
		if res.StatusCode != 403 || !strings.Contains(said, "Langflow's own") || !strings.Contains(said, client.TypeForbidden) {
			t.Errorf("the file of MCP servers: %d %s", res.StatusCode, said)
		}
		if n := whole() - before; n != 2 {
			t.Errorf("the server has got %d uploads", n)
		}
	}
}

// An upload passes unchanged, and Go finds only plain names of files in it.
func FuzzUpload(f *testing.F) {
	for _, s := range []string{form(file("a.txt"), "x"), form(file("_mcp_servers_1.json"), "{}"), form(`Content-Disposition: form-data; name="a"`, "--b-1"), "--b-1\r\n\r\n--b-1--"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := through(string(text), iotest.HalfReader)
		if err != nil {
			return
		}
		if got != string(text) {
			t.Fatalf("%q becomes %q", text, got)
		}
		parts := multipart.NewReader(bytes.NewReader(text), "b-1")
		for {
			part, err := parts.NextRawPart()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatal(fmt.Errorf("%q passes and is no form: %w", text, err))
				}
				return
			}
			if name := part.FileName(); strings.Contains(strings.ToLower(part.Header.Get("Content-Disposition")), "_mcp_servers") || strings.ContainsAny(name, `/\`) {
				t.Errorf("%q has a file %q", text, name)
			}
		}
	})
}
