//go:build real

package trials

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/multipart"
	"os"
	"strings"
)

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`

func (s *scoped) testResources() {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "diary.txt")
	if err != nil {
		s.Fatal(err)
	}
	_, _ = io.WriteString(part, "dear diary")
	_ = w.Close()
	// tweak may upload too.
	s.must(201, "tweak", "POST", "/api/v1/files/upload/"+s.flow, form.String(), "Content-Type: "+w.FormDataContentType())
	if status, _ := s.ask("run", "POST", "/api/v1/files/upload/"+s.flow, form.String(), "Content-Type: "+w.FormDataContentType()); status != 403 {
		s.Errorf("an upload with run: %d", status)
	}
	list := `{"jsonrpc":"2.0","id":7,"method":"resources/list"}`
	said := s.message("proxy", list)
	_, uri, found := strings.Cut(said, `"uri":"`)
	uri, _, _ = strings.Cut(uri, `"`)
	if !found || !strings.Contains(said, "diary.txt") {
		s.Fatalf("resources/list does not work with proxy: %.700s", said)
	}
	read := `{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"` + uri + `"}}`
	// 1.10.3 fails at that with a database of SQLite.
	if said := s.message("proxy", read); !strings.Contains(said, "contents") && s.version != "1.10.3" {
		s.Fatalf("resources/read does not work with proxy: %.700s", said)
	}
	for _, message := range []string{list, read, strings.Replace(list, "/", `\/`, 1), strings.Replace(list, `"method"`, `"method":"tools/list","method"`, 1), "[" + list + "]"} {
		for _, scope := range []string{"run", "tweak", "edit"} {
			if said := s.message(scope, message); strings.Contains(said, "diary") || strings.Contains(said, "contents") || !strings.Contains(said, `"error"`) || !strings.Contains(said, "urn") && !strings.Contains(said, `"message"`) {
				s.Errorf("%s with %s: %.500s", message, scope, said)
			}
		}
	}
	// The account's files are edit's, by the routes of files.
	if said := s.must(200, "edit", "GET", "/api/v1/files/list/"+s.flow, ""); !strings.Contains(said, "diary.txt") {
		s.Errorf("the list of files with edit: %.500s", said)
	}
	s.testServersFiles()
}

// testServersFiles reads the server's own files: 1.4.3 joins what a resource's URI
// has last, decoded, to its folder of files.
func (s *scoped) testServersFiles() {
	var projects []struct{ ID string }
	s.decode(s.must(200, "edit", "GET", "/api/v1/projects/", ""), &projects)
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		s.Fatal(err)
	}
	// Twice: 1.4.3 encodes it, and MCP once more.
	once := base64.StdEncoding.EncodeToString(release)
	twice := base64.StdEncoding.EncodeToString([]byte(once))
	for _, uri := range []string{"http://x/a/%2Fetc%2Fos-release", "http://x/api/v1/files/profile_pictures/..%2F..%2F..%2F..%2F..%2F..%2F..%2F..%2Fetc%2Fos-release"} {
		read := `{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"` + uri + `"}}`
		bases := []string{"/api/v1/mcp/"}
		if !s.at(10) {
			bases = []string{"/api/v1/mcp/", "/api/mcp/", "/api/v1/mcp/project/" + projects[0].ID + "/"}
		}
		for _, base := range bases {
			if said := s.messageAt("proxy", base, read); strings.Contains(said, twice) == s.at(10) {
				s.Errorf("%s at %s with proxy, of which 1.4.3 alone reads the file: %.500s", uri, base, said)
			}
			for _, scope := range []string{"run", "tweak", "edit"} {
				if said := s.messageAt(scope, base, read); strings.Contains(said, twice) || strings.Contains(said, once) || !strings.Contains(said, "-32601") {
					s.Errorf("%s at %s with %s: %.500s", uri, base, scope, said)
				}
			}
		}
	}
}

// testArguments has a tool's argument set load_from_db. 1.13 makes tweaks of what an
// input component shows, and holds them to the tool's schema: nothing else stands
// before that there.
func (s *scoped) testArguments() {
	flow := s.echo()
	template(flow["nodes"].([]object)[0])["sender_name"].(object)["advanced"] = false
	id := s.create("proxy", "Named", flow)
	call := func(arguments string) string {
		return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"named","arguments":` + arguments + `}}`
	}
	senders := func() string { return s.must(200, "proxy", "GET", "/api/v1/monitor/messages?flow_id="+id, "") }
	hostile := call(`{"input_value":"a","sender_name":{"value":"STOLEN","load_from_db":true}}`)
	for _, scope := range []string{"run", "edit"} {
		if said := s.message(scope, hostile); !strings.Contains(said, `"error"`) || !strings.Contains(said, "arguments") {
			s.Errorf("with %s: %.500s", scope, said)
		}
	}
	if strings.Contains(senders(), stolen) {
		s.Error("the variable is in a message's sender")
	}
	if s.jams() {
		return
	}
	if said := s.message("proxy", hostile); s.at(13) && !strings.Contains(said, "Input validation error") {
		s.Errorf("1.13.0 takes an object for text: %.700s", said)
	}
	if said := s.message("run", call(`{"input_value":"an argument","sender_name":"Ann","session_id":"s"}`)); !strings.Contains(said, "an argument") {
		s.Errorf("honest arguments: %.700s", said)
	}
	if s.at(13) && !strings.Contains(senders(), "Ann") {
		s.Errorf("1.13.0 makes no tweak of an argument: %.700s", senders())
	}
}
