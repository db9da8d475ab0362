package localapi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"langkeep/agent/connect"
	"langkeep/localapi/client"
)

// The page connects a tool after it has shown the change, and takes it back.
func TestTools(t *testing.T) {
	t.Setenv("PATH", "")
	r := newRig(t)
	r.signIn()
	path := filepath.Join(r.home, ".cursor", "mcp.json")
	const before = "{\n  \"theme\": 1,\n  \"mcpServers\": {\"mine\": {\"env\": {\"TOKEN\": \"hidden\"}}}\n}\n"
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	content := func() string {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	cursor := func() connect.State {
		t.Helper()
		var all struct{ Tools []connect.State }
		if err := json.Unmarshal([]byte(r.must(200, "GET", "/v1/tools", "")), &all); err != nil {
			t.Fatal(err)
		}
		if len(all.Tools) != len(connect.Tools) {
			t.Errorf("there are %d tools", len(all.Tools))
		}
		for _, s := range all.Tools {
			if s.Name == "cursor" {
				return s
			}
		}
		t.Fatal("cursor is not among them")
		return connect.State{}
	}
	if s := cursor(); !s.Installed || *s.File != path || len(s.Connections) != 0 {
		t.Errorf("%+v", s)
	}
	preview := r.must(200, "POST", "/v1/tools/cursor", `{"profile":"prod","project":"3f0c","preview":true}`)
	if strings.Contains(preview, "hidden") || !strings.Contains(preview, `+    \"langflow-prod\": {`) && !strings.Contains(preview, "langflow-prod") || !strings.Contains(preview, `"changes":true`) || content() != before {
		t.Errorf("the preview is %s, the file\n%s", preview, content())
	}
	done := r.must(200, "POST", "/v1/tools/cursor", `{"profile":"prod","project":"3f0c"}`)
	if !strings.Contains(content(), `"--project"`) || !strings.Contains(done, `"file":`) {
		t.Errorf("%s: the file is\n%s", done, content())
	}
	if again := r.must(200, "POST", "/v1/tools/cursor", `{"profile":"prod","project":"3f0c"}`); !strings.Contains(again, `"changes":false,"diff":[]`) {
		t.Errorf("twice: %s", again)
	}
	s := cursor()
	if len(s.Connections) != 1 || s.Connections[0].Entry != connect.AsWritten || *s.Connections[0].Starts != true || *s.Connections[0].Project != "3f0c" {
		t.Errorf("connected: %+v", s)
	}
	r.must(200, "DELETE", "/v1/tools/cursor?profile=prod", "")
	if content() != before || len(cursor().Connections) != 0 {
		t.Errorf("disconnected, the file is\n%s", content())
	}

	// An entry for any other program, without a secret.
	if body := r.must(200, "GET", "/v1/tools?profile=prod&project=3f0c", ""); !strings.Contains(body, `\"mcpServers\": {\n`) || !strings.Contains(body, `\"LANGKEEP_HOME\"`) || strings.Contains(body, "lk_") {
		t.Errorf("the snippet is in %s", body)
	}
	if body := r.must(200, "GET", "/v1/tools", ""); !strings.Contains(body, `"snippet":null`) {
		t.Errorf("without a profile: %s", body)
	}
	for _, tt := range []struct{ want, method, path, body string }{
		{client.TypeConflict, "POST", "/v1/tools/zed", `{"profile":"prod"}`},                   // not installed
		{client.TypeConflict, "POST", "/v1/tools/cursor", `{"profile":"prod","builder":true}`}, // no uvx
		{client.TypeNotFound, "POST", "/v1/tools/notepad", `{"profile":"prod"}`},
		{client.TypeNotFound, "POST", "/v1/tools/cursor", `{"profile":"nosuch"}`},
		{client.TypeNotSupported, "POST", "/v1/tools/lfx", `{"profile":"prod"}`},
		{client.TypeBadRequest, "POST", "/v1/tools/cursor", `{}`},
		{client.TypeBadRequest, "POST", "/v1/tools/cursor", `{"profile":"prod","project":"--header x"}`},
		{client.TypeBadRequest, "POST", "/v1/tools/cursor", `{"profile":"prod","project":"3f0c","builder":true}`},
		{client.TypeNotFound, "DELETE", "/v1/tools/cursor?profile=prod", ""},
		{client.TypeNotFound, "DELETE", "/v1/tools/notepad?profile=prod", ""},
		{client.TypeBadRequest, "DELETE", "/v1/tools/cursor?profile=prod&builder=x", ""},
		{client.TypeBadRequest, "GET", "/v1/tools?builder=1", ""},
		{client.TypeNotFound, "GET", "/v1/tools?profile=nosuch", ""},
	} {
		r.refused(tt.want, "owner", tt.method, tt.path, tt.body)
	}
	// A file that can't be edited is left alone.
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := r.refused(client.TypeConflict, "owner", "POST", "/v1/tools/cursor", `{"profile":"prod"}`); !strings.Contains(p.Detail, path) {
		t.Errorf("the detail is %q", p.Detail)
	}
	if content() != "{" {
		t.Errorf("the file is %s", content())
	}
}
