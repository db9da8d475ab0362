package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// The flows of an account, and its projects, by what is in them.
const (
	plainID   = "11111111-1111-4111-8111-111111111111" // plain, with ChatInput-1 and Frozen-1, which is frozen
	codeID    = "22222222-2222-4222-8222-222222222222" // with Text-9 before Python
	toolID    = "33333333-3333-4333-8333-333333333333" // a tool of the project
	projectID = "44444444-4444-4444-8444-444444444444"
	publicID  = "55555555-5555-4555-8555-555555555555" // another project
)

// renamed is a component under another id.
func renamed(node jsonObject, id string) jsonObject {
	node["id"], at(node, "data")["id"] = id, id
	return node
}

func frozen(node jsonObject) jsonObject {
	at(node, "data", "node")["frozen"] = true
	return node
}

// startAccount is a proxy before a server with such an account. list answers for the
// account's flows in its place, if it is not nil.
func startAccount(t *testing.T, list http.HandlerFunc) *rig {
	flows := map[string]jsonObject{
		plainID: {"id": plainID, "name": "Plain", "folder_id": projectID, "mcp_enabled": false, "a2a_enabled": true, "flow_type": "workflow", "data": jsonObject{"nodes": []any{
			newNode("input_output", "ChatInput"), frozen(renamed(newNode("input_output", "ChatInput"), "Frozen-1")),
		}, "edges": []any{}}},
		codeID: {"id": codeID, "name": "With Python", "folder_id": projectID, "mcp_enabled": nil, "data": jsonObject{"nodes": []any{
			renamed(newNode("input_output", "ChatInput"), "Text-9"), newNode("tools", "PythonREPLTool"),
			// A group, whose components run as any other.
			jsonObject{"id": "Group-1", "type": "genericNode", "data": jsonObject{"id": "Group-1", "type": "Group", "node": jsonObject{"flow": jsonObject{"data": jsonObject{"nodes": []any{
				renamed(newNode("input_output", "ChatInput"), "Inner-1"),
			}}}}}},
		}, "edges": []any{}}},
		toolID: {"id": toolID, "name": "Tool", "folder_id": projectID, "mcp_enabled": true, "action_name": "tool", "action_description": nil, "data": jsonObject{"nodes": []any{}, "edges": []any{}}},
	}
	versions := map[string]any{
		"plain": jsonObject{"nodes": []any{newNode("input_output", "ChatInput")}, "edges": []any{}},
		"code":  flows[codeID]["data"],
		"ice":   jsonObject{"nodes": []any{frozen(renamed(newNode("input_output", "ChatInput"), "Old-1"))}, "edges": []any{}},
		"none":  nil,
	}
	r := start(t, "", func(w http.ResponseWriter, r *http.Request) {
		below, isFlow := strings.CutPrefix(r.URL.Path, "/api/v1/flows/")
		id, version, _ := strings.Cut(below, "/versions/")
		switch {
		case r.Method != http.MethodGet:
			_, _ = io.WriteString(w, "written")
		case r.URL.Path == "/api/v1/all":
			_ = json.NewEncoder(w).Encode(ownComponents())
		case isFlow && below == "" && list != nil:
			list(w, r)
		case isFlow && below == "":
			if r.URL.RawQuery != "get_all=true" {
				t.Errorf("the flows are asked for with %q", r.URL.RawQuery)
			}
			_ = json.NewEncoder(w).Encode([]any{flows[plainID], flows[codeID], flows[toolID]})
		case isFlow && version != "":
			_ = json.NewEncoder(w).Encode(jsonObject{"id": version, "data": versions[version]})
		case isFlow && flows[id] != nil:
			_ = json.NewEncoder(w).Encode(flows[id])
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	r.lookup = func(token string) (*guard.Caller, *client.Problem) {
		return &guard.Caller{Name: token, Scopes: []guard.Scope{guard.Scope(token[3:])}, Profiles: []string{"prod"}}, nil
	}
	return r
}

// TestResults holds what edit writes to components whose results no other flow's
// component takes for its own.
func TestResults(t *testing.T) {
	r := startAccount(t, nil)
	chat := func(id string) jsonObject { return renamed(newNode("input_output", "ChatInput"), id) }
	hello := func(node jsonObject) jsonObject {
		at(node, "data", "node", "template", "input_value")["value"] = "print(6*7)"
		return node
	}
	note := func(id string) jsonObject {
		return jsonObject{"id": id, "type": "noteNode", "data": jsonObject{"id": id, "type": "note", "node": jsonObject{"description": "a", "template": jsonObject{}}}}
	}
	for name, tt := range map[string]struct {
		node             jsonObject
		made, own, other bool // passes as a new flow, in place of the plain one, in place of the one with code
	}{
		"an id of its own":                   {chat("ChatInput-7"), true, true, true},
		"that of a plain flow's":             {hello(chat("ChatInput-1")), true, true, true},
		"frozen":                             {frozen(chat("ChatInput-7")), false, false, false},
		"that of a plain flow's, frozen":     {frozen(chat("ChatInput-1")), false, false, false},
		"that of a frozen one":               {hello(chat("Frozen-1")), false, false, false},
		"that of a frozen one, as it is":     {frozen(chat("Frozen-1")), false, true, false},
		"that of a frozen one, changed":      {hello(frozen(chat("Frozen-1"))), false, false, false},
		"that of one before code":            {hello(chat("Text-9")), false, false, false},
		"that of one before code, unchanged": {chat("Text-9"), false, false, false},
		"that of one in a group":             {chat("Inner-1"), false, false, false},
		"a note's, of one before code":       {note("Text-9"), false, false, false},
		"a note's":                           {note("note-1"), true, true, true},
		"frozen by a number": {func() jsonObject {
			n := chat("ChatInput-7")
			at(n, "data", "node")["frozen"] = 1
			return n
		}(), false, false, false},
		"frozen by a text": {func() jsonObject {
			n := chat("ChatInput-7")
			at(n, "data", "node")["frozen"] = "no"
			return n
		}(), false, false, false},
	} {
		data := jsonObject{"nodes": []any{tt.node}, "edges": []any{}}
		flow, _ := json.Marshal(jsonObject{"name": "a", "data": data})
		build, _ := json.Marshal(jsonObject{"data": data})
		batch, _ := json.Marshal(jsonObject{"flows": []any{jsonObject{"name": "b"}, jsonObject{"name": "a", "data": data}}})
		only, _ := json.Marshal(jsonObject{"data": data})
		for _, try := range []struct {
			method, path, body string
			want               bool
		}{
			{"POST", "/api/v1/flows/", string(flow), tt.made}, {"POST", "/api/v1/flows/batch/", string(batch), tt.made},
			{"PATCH", "/api/v1/flows/" + plainID, string(flow), tt.own}, {"PUT", "/api/v1/flows/" + plainID, string(flow), tt.own},
			{"PATCH", "/api/v1/flows/" + strings.ToUpper(plainID), string(flow), tt.own},
			{"POST", "/api/v1/flows/" + plainID + "/overwrite", string(only), tt.own}, {"POST", "/api/v1/flows/" + plainID + "/versions/", string(only), tt.own},
			{"POST", "/api/v1/flows/" + plainID + "/fork", string(only), tt.made},
			{"POST", "/api/v1/build/" + plainID + "/flow", string(build), tt.own}, {"POST", "/api/v1/build_public_tmp/" + plainID + "/flow", string(build), tt.own},
			{"PATCH", "/api/v1/flows/" + codeID, string(flow), tt.other}, {"POST", "/api/v1/build/" + codeID + "/flow", string(build), tt.other},
		} {
			res, said := r.ask(try.method, try.path, try.body, "X-Api-Key: lk_edit", "Content-Type: application/json")
			if got := res.StatusCode == 200 && said == "written"; got != try.want || !got && res.StatusCode != 403 {
				t.Errorf("%s: %s %s: %d %s", name, try.method, try.path, res.StatusCode, said)
			}
		}
	}
	// A version that is made the flow is written like any other; so is a fork.
	for path, want := range map[string]int{
		plainID + "/versions/plain/activate": 200, plainID + "/versions/code/activate": 403, plainID + "/versions/ice/activate": 403, plainID + "/versions/none/activate": 503,
		codeID + "/versions/code/activate": 200, codeID + "/versions/plain/activate?save_draft=false": 200, codeID + "/versions/plain/activate?a=b": 403,
		toolID + "/fork": 200, plainID + "/fork": 403, codeID + "/fork": 403, publicID + "/fork": 503,
	} {
		body := ""
		if strings.HasSuffix(path, "/fork") {
			body = `{"name":"copy"}`
		}
		if res, said := r.ask("POST", "/api/v1/flows/"+path, body, "X-Api-Key: lk_edit", "Content-Type: application/json"); res.StatusCode != want {
			t.Errorf("%s: %d %s", path, res.StatusCode, said)
		}
	}
}

// The account's flows are asked for once, however many flows a batch has.
func TestResultsAskedOnce(t *testing.T) {
	lists := 0
	r := startAccount(t, func(w http.ResponseWriter, _ *http.Request) {
		lists++
		_, _ = io.WriteString(w, "[]")
	})
	flow := jsonObject{"name": "a", "data": newFlow()}
	body, _ := json.Marshal(jsonObject{"flows": []any{flow, flow, flow}})
	if res, said := r.ask("POST", "/api/v1/flows/batch/", string(body), "X-Api-Key: lk_edit", "Content-Type: application/json"); res.StatusCode != 200 || lists != 1 {
		t.Errorf("%d %s, and the flows were asked for %d times", res.StatusCode, said, lists)
	}
}

// The proxy refuses a request for whose check it can't read the account's flows.
func TestResultsUnread(t *testing.T) {
	for name, list := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"no list":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"items":[]}`) },
		"cut off":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{"id":"`+plainID+`"}`) },
		"two minds": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `[{"id":"`+plainID+`","data":{},"data":null}]`)
		},
		"without ids": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{"data":{}}]`) },
	} {
		r := startAccount(t, list)
		flow, _ := json.Marshal(jsonObject{"name": "a", "data": newFlow()})
		for target, body := range map[string]string{"POST /api/v1/flows/": string(flow), "PATCH /api/v1/projects/" + projectID: `{"flows":["` + toolID + `"]}`} {
			method, path, _ := strings.Cut(target, " ")
			if res, said := r.ask(method, path, body, "X-Api-Key: lk_edit", "Content-Type: application/json"); res.StatusCode != 503 {
				t.Errorf("%s, %s: %d %s", name, target, res.StatusCode, said)
			}
		}
	}
}

// TestExposure has edit try to make a flow a tool of a project, which may be public.
func TestExposure(t *testing.T) {
	r := startAccount(t, nil)
	missing := "66666666-6666-4666-8666-666666666666"
	for _, tt := range []struct {
		target, body string
		want         int
	}{
		{"POST /api/v1/flows/", `{"name":"a","mcp_enabled":false,"action_name":"b","folder_id":"` + publicID + `"}`, 200},
		{"POST /api/v1/flows/", `{"name":"a","mcp_enabled":true}`, 403},
		{"POST /api/v1/flows/", `{"name":"a","mcp_enabled":null}`, 403}, // servers turn it on later
		{"POST /api/v1/flows/batch/", `{"flows":[{"name":"a"},{"name":"a","mcp_enabled":true}]}`, 403},
		{"PATCH /api/v1/flows/" + plainID, `{"mcp_enabled":true}`, 403},
		{"PATCH /api/v1/flows/" + plainID, `{"mcp_enabled":null}`, 403},
		{"PATCH /api/v1/flows/" + plainID, `{"folder_id":"` + publicID + `","mcp_enabled":true,"action_name":"pwn","action_description":"d"}`, 403},
		{"PATCH /api/v1/flows/" + plainID, `{"folder_id":"` + publicID + `","mcp_enabled":false,"action_name":"b"}`, 200},
		{"PATCH /api/v1/flows/" + codeID, `{"folder_id":"` + publicID + `"}`, 403}, // null there: it may come to be one
		{"PATCH /api/v1/flows/" + codeID, `{"name":"b"}`, 200},
		{"PATCH /api/v1/flows/" + toolID, `{"folder_id":"` + publicID + `"}`, 403},
		{"PUT /api/v1/flows/" + toolID, `{"name":"Tool","folder_id":"` + publicID + `"}`, 403},
		{"PUT /api/v1/flows/" + toolID, `{"name":"Tool","folder_id":null}`, 403},
		{"PATCH /api/v1/flows/" + toolID, `{"folder_id":null,"action_name":null}`, 200},
		{"PATCH /api/v1/flows/" + toolID, `{"name":"Tool","folder_id":"` + strings.ToUpper(projectID) + `","mcp_enabled":true,"action_name":"tool"}`, 200},
		{"PUT /api/v1/flows/" + toolID, `{"name":"Tool","folder_id":"` + projectID + `","mcp_enabled":true,"action_name":"tool","action_description":null}`, 200},
		{"PATCH /api/v1/flows/" + toolID, `{"action_name":"other"}`, 403},
		{"PATCH /api/v1/flows/" + toolID, `{"action_description":"other"}`, 403},
		{"PATCH /api/v1/flows/" + toolID, `{"mcp_enabled":false}`, 200},
		{"PATCH /api/v1/flows/" + toolID, `{"mcp_enabled":false,"folder_id":"` + publicID + `"}`, 403},
		{"PATCH /api/v1/flows/" + plainID, `{"flow_type":"agent"}`, 403}, // which is all that it lacks for A2A
		{"PATCH /api/v1/flows/" + plainID, `{"flow_type":"workflow"}`, 200},
		{"PATCH /api/v1/flows/" + toolID, `{"flow_type":"agent"}`, 200},
		{"PUT /api/v1/flows/" + missing, `{"name":"a","mcp_enabled":true}`, 503},
		{"PUT /api/v1/flows/" + missing, `{"name":"a","mcp_enabled":false}`, 200},

		{"POST /api/v1/projects/", `{"name":"a","flows_list":["` + plainID + `"],"components_list":[]}`, 200},
		{"POST /api/v1/projects/", `{"name":"a","flows_list":[],"components_list":[]}`, 200},
		{"POST /api/v1/projects/", `{"name":"a","flows_list":["` + toolID + `"]}`, 403},
		{"POST /api/v1/projects/", `{"name":"a","components_list":["` + strings.ToUpper(strings.ReplaceAll(toolID, "-", "")) + `"]}`, 403},
		{"POST /api/v1/folders/", `{"name":"a","flows_list":["` + codeID + `"]}`, 403},
		{"PATCH /api/v1/projects/" + publicID, `{"name":"a"}`, 200},
		{"PATCH /api/v1/projects/" + publicID, `{"flows":["` + plainID + `"],"components":[]}`, 200},
		{"PATCH /api/v1/projects/" + publicID, `{"flows":["` + toolID + `"]}`, 403},
		{"PATCH /api/v1/folders/" + publicID, `{"components":["` + toolID + `"]}`, 403},
		{"PATCH /api/v1/projects/" + projectID, `{"flows":["` + toolID + `","` + codeID + `"]}`, 200},
		{"PATCH /api/v1/projects/" + projectID, `{"flows":["` + toolID + `"]}`, 403}, // the other one would leave
		{"PATCH /api/v1/projects/" + projectID, `{"flows":[],"components":[]}`, 403},
	} {
		method, path, _ := strings.Cut(tt.target, " ")
		if res, said := r.ask(method, path, tt.body, "X-Api-Key: lk_edit", "Content-Type: application/json"); res.StatusCode != tt.want {
			t.Errorf("%s %s: %d %s", tt.target, tt.body, res.StatusCode, said)
		}
	}
}

// A flow that is off limits is said to be so by what makes it that, and not by what
// stands before it.
func TestRefusalNamesTheReason(t *testing.T) {
	r := startAccount(t, nil)
	changed := newNode("input_output", "ChatInput")
	at(changed, "data", "node", "template", "files")["file_path"] = "a"
	body, _ := json.Marshal(jsonObject{"data": jsonObject{"nodes": []any{changed, newNode("tools", "PythonREPLTool")}, "edges": []any{}}})
	_, said := r.ask("PATCH", "/api/v1/flows/"+codeID, string(body), "X-Api-Key: lk_edit", "Content-Type: application/json")
	if !strings.Contains(said, "PythonREPLTool-1") || !strings.Contains(said, "could not have written stays as it is, all of it") || strings.Contains(said, "ChatInput") {
		t.Errorf("%s", said)
	}
}

// Folders of knowledge bases are named, and not led to.
func TestNames(t *testing.T) {
	r := startAccount(t, nil)
	for body, want := range map[string]int{
		`{"kb_names":["notes","my notes 2"]}`: 200, `{"kb_names":["../../.."]}`: 403, `{"kb_names":["a/b"]}`: 403, `{"kb_names":["."]}`: 403, `{"kb_names":[""]}`: 403,
		`{"kb_names":["/etc"]}`: 403, `{"kb_names":["a\\b"]}`: 403, `{"kb_names":"notes"}`: 403, `{"names":[]}`: 403,
	} {
		if res, said := r.ask("DELETE", "/api/v1/knowledge_bases", body, "X-Api-Key: lk_edit", "Content-Type: application/json"); res.StatusCode != want {
			t.Errorf("%s: %d %s", body, res.StatusCode, said)
		}
	}
}
