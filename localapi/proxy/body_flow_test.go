package proxy

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

type jsonObject = map[string]any

// newField is a field of a component as /api/v1/all has it, in short.
func newField(name, kind string, value any) jsonObject {
	return jsonObject{"name": name, "type": kind, "_input_type": "StrInput", "display_name": strings.ToUpper(name), "value": value, "load_from_db": false, "show": true, "advanced": false, "info": "", "list": false}
}

// ownComponents are the server's own, in short.
func ownComponents() jsonObject {
	return jsonObject{
		"input_output": jsonObject{
			"ChatInput": jsonObject{
				"template": jsonObject{
					"_type": "Component", "code": jsonObject{"type": "code", "value": "class ChatInput: ...", "name": "code"}, "input_value": newField("input_value", "str", ""), "sender_name": newField("sender_name", "str", "User"),
					"files": jsonObject{"type": "file", "file_path": "", "value": "", "name": "files"},
				},
				"outputs": []any{jsonObject{"name": "message", "method": "message_response"}},
			},
			"ChatOutput": jsonObject{
				"template": jsonObject{
					"_type": "Component", "code": jsonObject{"type": "code", "value": "class ChatOutput: ...", "name": "code"}, "input_value": newField("input_value", "str", ""), "data_template": newField("data_template", "str", "{text}"),
				},
				"outputs": []any{jsonObject{"name": "message", "method": "message_response"}},
			},
		},
		"prompts": jsonObject{"Prompt": jsonObject{
			"template": jsonObject{"_type": "Component", "code": jsonObject{"type": "code", "value": "class Prompt: ...", "name": "code"}, "template": newField("template", "prompt", "")},
			"outputs":  []any{jsonObject{"name": "prompt", "method": "build_prompt"}},
		}},
		"tools": jsonObject{"PythonREPLTool": jsonObject{
			"template": jsonObject{"_type": "Component", "code": jsonObject{"type": "code", "value": "class PythonREPLTool: ...", "name": "code"}, "global_imports": newField("global_imports", "str", "math")},
			"outputs":  []any{jsonObject{"name": "tool", "method": "build_tool"}},
		}},
	}
}

// copied is a copy that can be changed.
func copied(v any) jsonObject {
	text, err := json.Marshal(v)
	var o jsonObject
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		panic(err) // it is no JSON
	}
	return o
}

// newNode is a component in a flow.
func newNode(group, kind string) jsonObject {
	node := copied(ownComponents()[group].(jsonObject)[kind])
	return jsonObject{"id": kind + "-1", "type": "genericNode", "position": jsonObject{"x": 1, "y": 2.5}, "data": jsonObject{"id": kind + "-1", "type": kind, "node": node}}
}

func newEdge(from, output, to, input string) jsonObject {
	source, target := jsonObject{"id": from, "name": output, "dataType": "x"}, jsonObject{"id": to, "fieldName": input, "inputTypes": []any{"Message"}, "type": "str"}
	handle := func(v any) string {
		text, _ := json.Marshal(v)
		return strings.ReplaceAll(string(text), `"`, "œ")
	}
	return jsonObject{"source": from, "target": to, "sourceHandle": handle(source), "targetHandle": handle(target), "data": jsonObject{"sourceHandle": source, "targetHandle": target}}
}

// newFlow is one that says what it is told.
func newFlow() jsonObject {
	prompt := newNode("prompts", "Prompt")
	template := prompt["data"].(jsonObject)["node"].(jsonObject)["template"].(jsonObject)
	template["template"].(jsonObject)["value"] = "Say {what}"
	template["what"] = jsonObject{"type": "str", "name": "what", "display_name": "what", "value": "", "load_from_db": false, "file_path": "", "input_types": []any{"Message"}}
	return jsonObject{
		"nodes": []any{
			newNode("input_output", "ChatInput"), prompt, newNode("input_output", "ChatOutput"),
			jsonObject{"id": "note-1", "type": "noteNode", "data": jsonObject{"id": "note-1", "type": "note", "node": jsonObject{"description": "a", "template": jsonObject{"backgroundColor": "amber"}}}},
		},
		"edges":    []any{newEdge("ChatInput-1", "message", "Prompt-1", "what"), newEdge("Prompt-1", "prompt", "ChatOutput-1", "input_value")},
		"viewport": jsonObject{"x": 0, "y": 0, "zoom": 1},
	}
}

// at walks to a part of a flow.
func at(v any, path ...any) jsonObject {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(jsonObject)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v.(jsonObject)
}

// TestFlows holds flows that are written with the scope edit to the server's own
// components.
func TestFlows(t *testing.T) {
	const id = "11111111-1111-4111-8111-111111111111"
	stored := copied(newFlow())
	stored["nodes"] = append(stored["nodes"].([]any), newNode("tools", "PythonREPLTool"))
	asked := 0
	r := start(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/api/v1/all":
			asked++
			_ = json.NewEncoder(w).Encode(ownComponents())
		case r.URL.Path == "/api/v1/flows/" && r.Method == http.MethodGet:
			_, _ = io.WriteString(w, "[]")
		case r.Method == http.MethodGet:
			_ = json.NewEncoder(w).Encode(jsonObject{"id": id, "data": stored, "mcp_enabled": false})
		default:
			_, _ = io.WriteString(w, "written")
		}
	})
	r.lookup = func(token string) (*guard.Caller, *client.Problem) {
		return &guard.Caller{Name: "edit", Scopes: []guard.Scope{guard.Scope(token[3:])}, Profiles: []string{"prod"}}, nil
	}
	input := []any{"nodes", 0, "data", "node", "template"}
	for name, tt := range map[string]struct {
		change func(flow, data jsonObject)
		want   bool
	}{
		"as it is":               {func(_, _ jsonObject) {}, true},
		"no data":                {func(flow, _ jsonObject) { flow["data"] = nil }, true},
		"other text":             {func(_, d jsonObject) { at(d, append(input, "input_value")...)["value"] = "hello" }, true},
		"hidden":                 {func(_, d jsonObject) { at(d, append(input, "files")...)["show"] = false }, true},
		"code":                   {func(_, d jsonObject) { at(d, append(input, "code")...)["value"] = "import os" }, false},
		"code as lines":          {func(_, d jsonObject) { at(d, append(input, "code")...)["value"] = []any{"import os"} }, false},
		"no code":                {func(_, d jsonObject) { delete(at(d, input...), "code") }, false},
		"code of a kind":         {func(_, d jsonObject) { at(d, append(input, "code")...)["type"] = "str" }, false},
		"code of another":        {func(_, d jsonObject) { at(d, "nodes", 0, "data")["type"] = "ChatOutput" }, false},
		"a custom component":     {func(_, d jsonObject) { at(d, "nodes", 0, "data")["type"] = "CustomComponent" }, false},
		"a component unheard of": {func(_, d jsonObject) { at(d, "nodes", 0, "data")["type"] = "Nothing" }, false},
		"a group":                {func(_, d jsonObject) { at(d, "nodes", 0, "data", "node")["flow"] = jsonObject{"data": copied(d)} }, false},
		"a tool":                 {func(_, d jsonObject) { at(d, "nodes", 0, "data", "node")["tool_mode"] = true }, false},
		"another method":         {func(_, d jsonObject) { at(d, "nodes", 0, "data", "node", "outputs", 0)["method"] = "delete" }, false},
		"a variable": {func(_, d jsonObject) {
			maps.Copy(at(d, append(input, "input_value")...), jsonObject{"load_from_db": true, "value": "SECRET"})
		}, false},
		"a variable by its name": {func(_, d jsonObject) { at(d, append(input, "input_value")...)["display_name"] = "OpenAI API Key" }, false},
		"a variable in a prompt": {func(_, d jsonObject) { at(d, "nodes", 1, "data", "node", "template", "what")["load_from_db"] = true }, false},
		"a name in a prompt": {func(_, d jsonObject) {
			at(d, "nodes", 1, "data", "node", "template", "what")["display_name"] = "OpenAI API Key"
		}, false},
		"a file":                  {func(_, d jsonObject) { at(d, append(input, "files")...)["file_path"] = "/etc/passwd" }, false},
		"a file's value":          {func(_, d jsonObject) { at(d, append(input, "files")...)["value"] = "/etc/passwd" }, false},
		"a field of another kind": {func(_, d jsonObject) { at(d, append(input, "input_value")...)["type"] = "file" }, false},
		"a field more":            {func(_, d jsonObject) { at(d, input...)["more"] = newField("more", "str", "") }, false},
		"a field that is not free": {func(_, d jsonObject) {
			at(d, "nodes", 2, "data", "node", "template", "data_template")["value"] = "{text.__class__}"
		}, false},
		"an object for text":   {func(_, d jsonObject) { at(d, append(input, "input_value")...)["value"] = jsonObject{"a": 1} }, false},
		"a flow in the flow":   {func(_, d jsonObject) { d["data"] = copied(d) }, false},
		"another kind of node": {func(_, d jsonObject) { at(d, "nodes", 0)["type"] = "groupNode" }, false},
		"two of an id": {func(_, d jsonObject) {
			at(d, "nodes", 2)["id"], at(d, "nodes", 2, "data")["id"] = "ChatInput-1", "ChatInput-1"
		}, false},
		"two ids": {func(_, d jsonObject) { at(d, "nodes", 0, "data")["id"] = "ChatInput-2" }, false},
		"a note with code": {func(_, d jsonObject) {
			at(d, "nodes", 3, "data", "node", "template")["code"] = jsonObject{"value": "import os"}
		}, false},
		"a note that is none": {func(_, d jsonObject) {
			at(d, "nodes", 0)["type"], at(d, "nodes", 0, "data")["type"] = "noteNode", "note"
		}, false},
		"an edge to code": {func(_, d jsonObject) {
			d["edges"] = append(d["edges"].([]any), newEdge("ChatInput-1", "message", "ChatOutput-1", "code"))
		}, false},
		"an edge to a file": {func(_, d jsonObject) {
			d["edges"] = append(d["edges"].([]any), newEdge("Prompt-1", "prompt", "ChatInput-1", "files"))
		}, false},
		"an edge from nowhere": {func(_, d jsonObject) {
			d["edges"] = append(d["edges"].([]any), newEdge("ChatInput-1", "none", "ChatOutput-1", "input_value"))
		}, false},
		"an edge of two minds": {func(_, d jsonObject) { at(d, "edges", 0)["targetHandle"] = "{œfieldNameœ:œcodeœ}" }, false},
		"an edge in text":      {func(_, d jsonObject) { delete(at(d, "edges", 0), "data") }, false},
		"an edge to another":   {func(_, d jsonObject) { at(d, "edges", 0)["target"] = "ChatOutput-1" }, false},
		"a Python tool": {func(_, d jsonObject) {
			tool := newNode("tools", "PythonREPLTool")
			tool["id"], at(tool, "data")["id"] = "PythonREPLTool-2", "PythonREPLTool-2"
			d["nodes"] = append(d["nodes"].([]any), tool)
		}, false},

		"another's":  {func(flow, _ jsonObject) { flow["user_id"] = id }, false},
		"a path":     {func(flow, _ jsonObject) { flow["fs_path"] = "/tmp/flow.json" }, false},
		"for all":    {func(flow, _ jsonObject) { flow["access_type"] = "PUBLIC" }, false},
		"for agents": {func(flow, _ jsonObject) { flow["a2a_enabled"] = true }, false},
		"with more":  {func(flow, _ jsonObject) { flow["unheard_of"] = true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			data := copied(newFlow())
			flow := jsonObject{"name": "a", "description": "b", "data": data, "folder_id": nil, "mcp_enabled": false, "is_component": false}
			tt.change(flow, data)
			one, _ := json.Marshal(flow)
			many, _ := json.Marshal(jsonObject{"flows": []any{flow}})
			for target, body := range map[string]string{"POST /api/v1/flows/": string(one), "PATCH /api/v1/flows/" + id: string(one), "POST /api/v1/flows/batch/": string(many)} {
				method, path, _ := strings.Cut(target, " ")
				res, said := r.ask(method, path, body, "X-Api-Key: lk_edit", "Content-Type: application/json")
				if got := res.StatusCode == 200 && said == "written"; got != tt.want || !got && res.StatusCode != 403 {
					t.Errorf("%s: %d %s", target, res.StatusCode, said)
				}
			}
		})
	}
	if asked != 1 {
		t.Errorf("the server was asked %d times for its components", asked)
	}

	// A flow with what is not plain stays as it is.
	for name, tt := range map[string]struct {
		change func(data jsonObject)
		want   bool
	}{
		"as it is":    {func(jsonObject) {}, true},
		"moved":       {func(d jsonObject) { at(d, "nodes", 4)["position"] = jsonObject{"x": 7} }, true},
		"in numbers":  {func(d jsonObject) { d["viewport"] = jsonObject{"zoom": 1.0} }, true},
		"other text":  {func(d jsonObject) { at(d, append(input, "input_value")...)["value"] = "import os" }, false},
		"other value": {func(d jsonObject) { at(d, "nodes", 4, "data", "node", "template", "global_imports")["value"] = "os" }, false},
		"an edge": {func(d jsonObject) {
			d["edges"] = append(d["edges"].([]any), newEdge("ChatInput-1", "message", "PythonREPLTool-1", "global_imports"))
		}, false},
		"an edge less": {func(d jsonObject) { d["edges"] = d["edges"].([]any)[1:] }, false},
		"more":         {func(d jsonObject) { d["data"] = copied(stored) }, false},
	} {
		data := copied(stored)
		tt.change(data)
		body, _ := json.Marshal(jsonObject{"name": "other", "data": data})
		res, said := r.ask("PATCH", "/api/v1/flows/"+id, string(body), "X-Api-Key: lk_edit", "Content-Type: application/json")
		if (res.StatusCode == 200) != tt.want {
			t.Errorf("%s: %d %s", name, res.StatusCode, said)
		}
		if res, said := r.ask("POST", "/api/v1/flows/", string(body), "X-Api-Key: lk_edit", "Content-Type: application/json"); res.StatusCode != 403 {
			t.Errorf("%s, as a new one: %d %s", name, res.StatusCode, said)
		}
	}

	for _, tt := range []struct {
		target, body string
		want         int
	}{
		{"POST /api/v1/projects/", `{"name":"a","description":"b","flows_list":["c"],"components_list":[]}`, 200},
		{"POST /api/v1/projects/", `{"name":"a","auth_settings":{"auth_type":"none"}}`, 403},
		{"PATCH /api/v1/folders/x", `{"name":"a","auth_settings":null}`, 403},
		{"POST /api/v1/flows/upload/", `{}`, 403},
		{"POST /api/v1/projects/upload/", `{}`, 403},
		{"POST /api/v1/build/" + id + "/flow", `{"inputs":{"input_value":"a"},"files":["` + id + `/a.txt"]}`, 200},
		{"POST /api/v1/build/" + id + "/flow", ``, 200},
		{"POST /api/v1/build/" + id + "/flow", `{"files":["/etc/passwd"]}`, 403},
		{"POST /api/v1/build/" + id + "/flow", `{"files":["` + id + `/../../secret_key"]}`, 403},
		{"POST /api/v1/build/" + id + "/flow", `{"files":["` + id + `/.."]}`, 403},
		{"POST /api/v1/build/" + id + "/flow", `{"data":{"nodes":[{"id":"a","type":"genericNode","data":{"id":"a","type":"CustomComponent","node":{"template":{"code":{"value":"import os"}}}}}],"edges":[]}}`, 403},
		{"POST /api/v1/build_public_tmp/" + id + "/flow", `{"inputs":{"input_value":{}}}`, 403},
	} {
		method, path, _ := strings.Cut(tt.target, " ")
		if res, said := r.ask(method, path, tt.body, "X-Api-Key: lk_edit", "Content-Type: application/json"); res.StatusCode != tt.want {
			t.Errorf("%s %s: %d %s", tt.target, tt.body, res.StatusCode, said)
		}
		if res, said := r.ask(method, path, tt.body, "X-Api-Key: lk_tweak", "Content-Type: application/json"); res.StatusCode != 403 {
			t.Errorf("%s %s with tweak: %d %s", tt.target, tt.body, res.StatusCode, said)
		}
	}
}

// The components of a plain flow have the server's own code, and no variable.
func FuzzFlow(f *testing.F) {
	known := map[string]component{}
	for _, group := range ownComponents() {
		for name, v := range group.(jsonObject) {
			if _, plain := plainComponents[name]; plain {
				text, _ := json.Marshal(v)
				own, err := parseJSON(text)
				if err != nil {
					f.Fatal(err)
				}
				known[name] = component{own.(map[string]any)["template"].(map[string]any), map[string]string{"message": "message_response", "prompt": "build_prompt"}}
			}
		}
	}
	seed, _ := json.Marshal(newFlow())
	f.Add(seed)
	f.Add([]byte(`{"nodes":[{"id":"a","type":"noteNode","data":{"id":"a","type":"note"}}],"edges":[]}`))
	f.Add([]byte(`{"nodes":[],"edges":[],"data":{"nodes":[]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parseJSON(text)
		if err != nil || plainFlow(v, known) != "" {
			return
		}
		var flow struct {
			Data  any
			Nodes []struct {
				Type string
				Data struct {
					Type string
					Node struct {
						Flow     any
						Template map[string]any
					}
				}
			}
		}
		if err := json.Unmarshal(text, &flow); err != nil || flow.Data != nil {
			t.Fatalf("%s: %v, %v", text, err, flow.Data)
		}
		for _, n := range flow.Nodes {
			if n.Data.Node.Flow != nil {
				t.Errorf("%s has a flow in it", text)
			}
			if n.Type == "noteNode" {
				continue
			}
			if got := codeOf(n.Data.Node.Template["code"]); got == "" || got != codeOf(known[n.Data.Type].template["code"]) {
				t.Errorf("%s has the code %q", text, got)
			}
			for name, f := range n.Data.Node.Template {
				if o, ok := f.(map[string]any); ok && o["load_from_db"] == true {
					t.Errorf("%s takes a variable for %s", text, name)
				}
			}
		}
	})
}
