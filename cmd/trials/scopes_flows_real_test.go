//go:build real

package trials

import (
	"strings"
)

// testFlows has edit write flows.
func (s *scoped) testFlows() {
	password := s.server.Password
	// These work with proxy: code, a flow in the flow, a variable, the environment.
	variable := s.echo()
	field := template(variable["nodes"].([]object)[0])["input_value"].(object)
	field["value"], field["load_from_db"] = "STOLEN", true
	inner := s.echo()
	inner["data"] = s.hostile()
	named := s.echo()
	template(named["nodes"].([]object)[0])["input_value"].(object)["display_name"] = "Stolen"
	python := s.echo()
	kind := "PythonREPLComponent"
	python["nodes"] = append(python["nodes"].([]object), s.node(kind, kind+"-1"))
	for name, tt := range map[string]struct {
		since int
		data  object
		gets  string
	}{
		"code": {0, s.hostile(), password}, "a flow in the flow": {0, inner, password}, "a variable": {0, variable, stolen}, "a variable by a field's name": {10, named, stolen},
	} {
		if !s.at(tt.since) {
			continue
		}
		id := s.create("proxy", "By proxy: "+name, tt.data)
		if _, said := s.ask("proxy", "POST", "/api/v1/run/"+id, `{}`); !strings.Contains(said, tt.gets) {
			s.Errorf("%s: it does not work with proxy, and so shows nothing: %.1500s", name, said)
		}
		plain := s.create("edit", "By edit: "+name, s.owned(s.echo(), strings.ReplaceAll(name, " ", "")))
		for target, body := range map[string]string{
			"POST /api/v1/flows/": encode(object{"name": "x", "data": tt.data}), "POST /api/v1/flows/batch/": encode(object{"flows": []object{{"name": "x", "data": tt.data}}}),
			"PATCH /api/v1/flows/" + plain: encode(object{"data": tt.data}),
		} {
			method, path, _ := strings.Cut(target, " ")
			if status, said := s.ask("edit", method, path, body); status != 403 {
				s.Errorf("%s: %s with edit: %d %.500s", name, target, status, said)
			}
		}
	}
	if status, said := s.ask("edit", "POST", "/api/v1/flows/", encode(object{"name": "x", "data": python})); status != 403 || !strings.Contains(said, kind) {
		s.Errorf("a flow with %s: %d %.500s", kind, status, said)
	}

	// edit may make, change and run a flow of plain components, and change one with a
	// component that is not plain and that it leaves as it is.
	id := s.create("edit", "Edited", s.owned(s.echo(), "edited"))
	changed := s.owned(s.echo(), "edited")
	template(changed["nodes"].([]any)[0].(object))["input_value"].(object)["value"] = "as I left it"
	s.must(200, "edit", "PATCH", "/api/v1/flows/"+id, encode(object{"name": "Edited again", "data": changed}))
	if said := s.must(200, "edit", "POST", "/api/v1/run/"+id, `{}`); !strings.Contains(said, "as I left it") {
		s.Errorf("the flow that edit changed says %.700s", said)
	}
	if !s.jams() {
		if said := s.build("edit", id, encode(object{"data": changed, "inputs": object{"input_value": "built"}})); !strings.Contains(said, "built") {
			s.Errorf("the flow that edit builds says %.700s", said)
		}
	}
	other := s.create("proxy", "With Python", python)
	var stored object
	s.decode(s.must(200, "edit", "GET", "/api/v1/flows/"+other, ""), &stored)
	data := stored["data"].(object)
	data["nodes"].([]any)[0].(object)["position"] = object{"x": 100, "y": 1}
	s.must(200, "edit", "PATCH", "/api/v1/flows/"+other, encode(object{"name": "Moved", "data": data}))
	data["nodes"].([]any)[0].(object)["data"].(object)["node"].(object)["template"].(object)["input_value"].(object)["value"] = "import os"
	if status, said := s.ask("edit", "PATCH", "/api/v1/flows/"+other, encode(object{"data": data})); status != 403 || !strings.Contains(said, kind+"-1") {
		s.Errorf("a flow with %s, changed: %d %.500s", kind, status, said)
	}
}

// owned is a flow with ids that no other flow has.
func (s *scoped) owned(flow object, suffix string) object {
	var own object
	s.decode(strings.NewReplacer("ChatInput-1", "ChatInput-"+suffix, "ChatOutput-1", "ChatOutput-"+suffix).Replace(encode(flow)), &own)
	return own
}
