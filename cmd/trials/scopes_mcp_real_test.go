//go:build real

package trials

import (
	"bytes"
	"io"
	"mime/multipart"
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
	// What tweak is for as well.
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
		for _, scope := range []string{"run", "tweak"} {
			if said := s.message(scope, message); strings.Contains(said, "diary") || strings.Contains(said, "contents") || !strings.Contains(said, `"error"`) || !strings.Contains(said, "urn") && !strings.Contains(said, `"message"`) {
				s.Errorf("%s with %s: %.500s", message, scope, said)
			}
		}
	}
	// The account's files are edit's.
	if said := s.message("edit", list); !strings.Contains(said, "diary.txt") {
		s.Errorf("resources/list with edit: %.500s", said)
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
