//go:build real

package trials

import (
	"bytes"
	"io"
	"mime/multipart"
	"strings"
)

// testServersFile uploads the file in which 1.10.3 has the account's MCP servers.
func (s *scoped) testServersFile(account func(method, path, body string) (int, string)) {
	var user struct{ ID string }
	s.decode(s.must(200, "edit", "GET", "/api/v1/users/whoami", ""), &user)
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "_mcp_servers_"+user.ID+".json")
	if err != nil {
		s.Fatal(err)
	}
	_, _ = io.WriteString(part, `{"mcpServers":{"planted":{"command":"uvx","args":["planted"]}}}`)
	_ = w.Close()
	kind := "Content-Type: " + w.FormDataContentType()
	for _, scope := range []string{"run", "tweak", "edit"} {
		s.must(403, scope, "POST", "/api/v2/files", form.String(), kind)
		s.must(403, scope, "POST", "/api/v2/files/?append=true", form.String(), kind)
	}
	if _, said := account("GET", "/api/v2/mcp/servers", ""); strings.Contains(said, "planted") {
		s.Errorf("the server has %s", said)
	}
	s.must(201, "proxy", "POST", "/api/v2/files", form.String(), kind)
	if _, said := account("GET", "/api/v2/mcp/servers", ""); !s.at(13) && !strings.Contains(said, "planted") {
		s.Errorf("it does not work with proxy, and so shows nothing: %s", said)
	}
}

// testServersURL changes the URL of an MCP server, beside which 1.13.0 keeps the key.
func (s *scoped) testServersURL(account func(method, path, body string) (int, string)) {
	server := "/api/v2/mcp/servers/kept"
	s.must(200, "proxy", "POST", server, `{"url":"https://honest.example/mcp","headers":{"Authorization":"Bearer a-key-that-is-kept"}}`)
	for _, scope := range []string{"run", "tweak", "edit", "proxy"} {
		s.must(403, scope, "PATCH", server, `{"url":"https://evil.example/mcp"}`)
	}
	if _, said := account("GET", server, ""); !strings.Contains(said, "honest.example") {
		s.Errorf("the server has %s", said)
	}
	status, said := account("PATCH", server, `{"url":"https://evil.example/mcp"}`)
	if status != 200 || !strings.Contains(said, "evil.example") || !strings.Contains(said, "Authorization") {
		s.Errorf("the server does not do it, and so this shows nothing: %d %s", status, said)
	}
	s.must(200, "proxy", "DELETE", server, "")
}
