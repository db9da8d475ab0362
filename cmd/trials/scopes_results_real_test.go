//go:build real

package trials

import (
	"strings"
)

// says is a flow's data that says a text, by a component of an id.
func (s *scoped) says(id, text string, frozen bool) object {
	in, out := s.node("TextInput", id), s.node("ChatOutput", "ChatOutput-of-"+id)
	template(in)["input_value"].(object)["value"] = text
	in["data"].(object)["node"].(object)["frozen"] = frozen
	types := template(out)["input_value"].(object)["input_types"]
	return object{"nodes": []object{in, out}, "edges": []object{edge(id, s.output("TextInput"), "ChatOutput-of-"+id, "input_value", types)}, "viewport": object{"x": 0, "y": 0, "zoom": 1}}
}

// computes is a flow's data that runs a text, of a component of an id, as Python.
func (s *scoped) computes(id, text string, frozen bool) object {
	const kind = "PythonREPLComponent"
	flow := s.says(id, text, frozen)
	python := s.node(kind, kind+"-of-"+id)
	out := flow["nodes"].([]object)[1]
	flow["nodes"] = append(flow["nodes"].([]object), python)
	flow["edges"] = []object{
		edge(id, s.output("TextInput"), kind+"-of-"+id, "python_code", template(python)["python_code"].(object)["input_types"]),
		edge(kind+"-of-"+id, "results", out["id"].(string), "input_value", template(out)["input_value"].(object)["input_types"]),
	}
	return flow
}

// output is the name of a component's first output.
func (s *scoped) output(kind string) string {
	s.Helper()
	node := s.node(kind, "a")["data"].(object)["node"].(object)
	return node["outputs"].([]any)[0].(object)["name"].(string)
}

// testResults has a component of another flow's id say what that flow's frozen
// component came to, and hands it to code.
func (s *scoped) testResults() {
	const hostile, honest = `print("a result", 6*7)`, `print("its owner's", 2*7)`
	// Only code that ran can say these. 1.4.3's Python takes no message for code, and so
	// shows what it is handed.
	answer, owners := "a result 42", "its owner's 14"
	if !s.at(10) {
		answer, owners = "6*7", "2*7"
	}
	run := func(id string) string {
		s.Helper()
		return s.must(200, "proxy", "POST", "/api/v1/run/"+id, `{"output_type":"debug"}`)
	}
	// It works with proxy.
	victim := s.create("proxy", "Frozen", s.computes("TextInput-poisoned", honest, true))
	if said := run(victim); !strings.Contains(said, owners) {
		s.Fatalf("the flow says %.700s", said)
	}
	run(s.create("proxy", "Poison", s.says("TextInput-poisoned", hostile, false)))
	if said := run(victim); !strings.Contains(said, answer) {
		s.Errorf("it does not work with proxy, and so shows nothing: %.900s", said)
	}
	thief := s.create("proxy", "Thief", s.says("TextInput-poisoned", "nothing", true))
	if said := run(thief); !strings.Contains(said, "6*7") {
		s.Errorf("a frozen component does not read another's with proxy, and so shows nothing: %.900s", said)
	}

	// With edit neither does, whether the component is frozen yet or not.
	victim = s.create("proxy", "Frozen too", s.computes("TextInput-kept", honest, true))
	thawed := s.create("proxy", "Not frozen yet", s.computes("TextInput-thawed", honest, false))
	mine := s.create("edit", "Mine", s.says("TextInput-mine", hostile, false))
	for name, data := range map[string]object{
		"a frozen one's id": s.says("TextInput-kept", hostile, false), "a frozen one's id, frozen": s.says("TextInput-kept", hostile, true),
		"the id of one before code": s.says("TextInput-thawed", hostile, false), "frozen": s.says("TextInput-new", hostile, true),
	} {
		for target, body := range map[string]any{
			"POST /api/v1/flows/": object{"name": "x", "data": data}, "POST /api/v1/flows/batch/": object{"flows": []object{{"name": "x", "data": data}}},
			"PATCH /api/v1/flows/" + mine: object{"data": data}, "POST /api/v1/build/" + mine + "/flow": object{"data": data}, "POST /api/v1/build/" + thawed + "/flow": object{"data": data},
			"PATCH /api/v1/flows/" + thawed: object{"data": data},
		} {
			method, path, _ := strings.Cut(target, " ")
			if status, said := s.ask("edit", method, path, encode(body)); status != 403 {
				s.Errorf("%s: %s with edit: %d %.500s", name, target, status, said)
			}
		}
	}
	s.must(200, "edit", "POST", "/api/v1/run/"+mine, `{}`)
	for _, id := range []string{victim, thawed} {
		if said := run(id); !strings.Contains(said, owners) || strings.Contains(said, answer) {
			s.Errorf("the flow says %.700s", said)
		}
	}
	// An owner's flow with a frozen component stays edit's to save as it is.
	var stored object
	s.decode(s.must(200, "edit", "GET", "/api/v1/flows/"+victim, ""), &stored)
	s.must(200, "edit", "PATCH", "/api/v1/flows/"+victim, encode(object{"name": "Frozen, renamed", "data": stored["data"]}))
	if !s.at(13) {
		return
	}
	// Nor is there a way round by an earlier version, or by a copy.
	var version struct{ ID string }
	s.decode(s.must(201, "proxy", "POST", "/api/v1/flows/"+thawed+"/versions/", `{"description":"with Python"}`), &version)
	s.must(200, "proxy", "PATCH", "/api/v1/flows/"+thawed, encode(object{"data": s.says("TextInput-plain", "hello", false)}))
	activate := "/api/v1/flows/" + thawed + "/versions/" + version.ID + "/activate"
	for _, scope := range []string{"run", "tweak", "edit"} {
		s.must(403, scope, "POST", activate, "")
		s.must(403, scope, "POST", "/api/v1/flows/"+victim+"/fork", `{}`)
	}
	s.must(200, "proxy", "POST", activate, "")
	s.must(201, "edit", "POST", "/api/v1/flows/"+mine+"/fork", `{}`)
}
