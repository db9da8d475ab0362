//go:build real

package trials

import (
	"io"
	"net/http"
	"strings"
)

// testProjects has a flow become a tool of a project that is open to everybody.
// 1.10.3 can't be told to open one with a database of SQLite.
func (s *scoped) testProjects() {
	if !s.at(13) {
		return
	}
	var project struct{ ID string }
	s.decode(s.must(201, "proxy", "POST", "/api/v1/projects/", `{"name":"Open to all","flows_list":[],"components_list":[]}`), &project)
	open := func() {
		s.Helper()
		s.must(200, "proxy", "PATCH", "/api/v1/mcp/project/"+project.ID, `{"settings":[],"auth_settings":{"auth_type":"none"}}`)
	}
	open()
	// Nobody is a stranger without a credential.
	ask := func(message string) string {
		s.Helper()
		req, err := http.NewRequestWithContext(s.Context(), "POST", s.server.URL+"/api/v1/mcp/project/"+project.ID+"/streamable", strings.NewReader(message))
		if err != nil {
			s.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			s.Fatal(err)
		}
		defer res.Body.Close()
		said, err := io.ReadAll(res.Body)
		if err != nil {
			s.Fatal(err)
		}
		return string(said)
	}
	nobody := func(message string) string {
		s.Helper()
		said := ask(message)
		if strings.Contains(said, "API key required") { // Langflow 1.13.0 had, once, taken the setting back
			s.Logf("the project wants a key again: %s", said)
			open()
			said = ask(message)
		}
		return said
	}
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`
	private := s.create("proxy", "Private", s.owned(s.echo(), "private"))
	tool := s.create("proxy", "Tool", s.owned(s.echo(), "tool"))
	s.must(200, "proxy", "PATCH", "/api/v1/flows/"+tool, `{"mcp_enabled":true,"action_name":"a_tool"}`)
	for _, target := range []string{
		`PATCH /api/v1/flows/` + private + ` {"folder_id":"` + project.ID + `","mcp_enabled":true,"action_name":"pwn"}`,
		`PATCH /api/v1/flows/` + private + ` {"mcp_enabled":true}`,
		`PUT /api/v1/flows/` + private + ` {"name":"Private","folder_id":"` + project.ID + `","mcp_enabled":true}`,
		`POST /api/v1/flows/ {"name":"New","folder_id":"` + project.ID + `","mcp_enabled":true}`,
		`POST /api/v1/flows/batch/ {"flows":[{"name":"New","folder_id":"` + project.ID + `","mcp_enabled":true}]}`,
		`PATCH /api/v1/flows/` + tool + ` {"folder_id":"` + project.ID + `"}`,
		`PUT /api/v1/flows/` + tool + ` {"name":"Tool","folder_id":"` + project.ID + `"}`,
		`POST /api/v1/projects/ {"name":"Mine","flows_list":["` + tool + `"]}`,
		`PATCH /api/v1/projects/` + project.ID + ` {"flows":["` + tool + `"]}`,
		`PATCH /api/v1/mcp/project/` + project.ID + ` {"settings":[{"id":"` + private + `","mcp_enabled":true}]}`,
	} {
		method, rest, _ := strings.Cut(target, " ")
		path, body, _ := strings.Cut(rest, " ")
		for _, scope := range []string{"run", "tweak", "edit"} {
			if status, said := s.ask(scope, method, path, body); status != 403 {
				s.Errorf("%s with %s: %d %.500s", target, scope, status, said)
			}
		}
	}
	if said := nobody(list); !strings.Contains(said, `"tools":[]`) {
		s.Errorf("the open project has the tools %.700s", said)
	}
	// edit may change a flow that is a tool already and stays in its project, and may move
	// one that is no tool.
	s.must(200, "edit", "PATCH", "/api/v1/flows/"+tool, `{"description":"changed","mcp_enabled":true,"action_name":"a_tool"}`)
	s.must(200, "edit", "PATCH", "/api/v1/flows/"+private, `{"folder_id":"`+project.ID+`"}`)
	if said := nobody(list); !strings.Contains(said, `"tools":[]`) {
		s.Errorf("the open project has the tools %.700s", said)
	}
	s.must(200, "proxy", "PATCH", "/api/v1/flows/"+tool, `{"folder_id":"`+project.ID+`"}`)
	if said := nobody(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_tool","arguments":{"input_value":"from nobody"}}}`); !strings.Contains(said, "from nobody") {
		s.Errorf("it does not work with proxy, and so shows nothing: %.700s", said)
	}
}
