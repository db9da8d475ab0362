//go:build real

package trials

import (
	"bytes"
	"mime/multipart"
	"os"
	"strings"
)

func (s *scoped) testBodies() {
	variable := object{"value": "STOLEN", "load_from_db": true}
	password := s.server.Password
	code := encode(object{"tweaks": object{"ChatInput-1": object{"code": s.code()}}})
	inputs := []object{{"components": []string{"none"}, "input_value": ""}} // for no component
	byVariable := encode(object{"tweaks": object{"ChatInput-1": object{"input_value": variable}}})
	form := func(tweaks any) (string, []string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		_ = w.WriteField("tweaks", encode(tweaks))
		_ = w.Close()
		return b.String(), []string{"Content-Type: " + w.FormDataContentType()}
	}
	formBody, formHeaders := form(object{"ChatInput-1": object{"input_value": variable}})
	bound := s.echo()
	template(bound["nodes"].([]object)[0])["input_value"].(object)["value"] = "OVERRIDDEN"
	template(bound["nodes"].([]object)[0])["input_value"].(object)["load_from_db"] = true
	boundFlow := s.create("proxy", "Bound", bound)
	run, advanced := "/api/v1/run/"+s.flow, "/api/v1/run/advanced/"+s.flow
	all := []string{"run", "tweak", "edit"}
	s.tries([]abuse{
		{name: "code by a tweak", until: 10, path: run, body: code, gets: password},
		{name: "code by a tweak for all components", until: 10, path: run, body: encode(object{"tweaks": object{"code": s.code()}}), gets: password},
		{name: "a variable by a tweak", path: run, body: byVariable, gets: stolen},
		{name: "a variable by a tweak of an advanced run", since: 13, path: advanced, body: encode(object{"inputs": inputs, "tweaks": object{"ChatInput-1": object{"input_value": variable}}}), gets: stolen},
		{name: "the server's environment by a tweak", since: 10, path: run, body: strings.ReplaceAll(byVariable, "STOLEN", "PWD"), gets: `"text":"` + os.Getenv("PWD") + `"`},
		{name: "tweaks in an embedded request", since: 10, path: run, body: `{"input_request":` + byVariable + `}`, gets: stolen},
		{name: "tweaks twice", path: run, body: `{"tweaks":{},` + byVariable[1:], gets: stolen, refused: all},
		{name: "tweaks in a form", since: 10, path: run, body: formBody, headers: formHeaders, gets: stolen, refused: all},
		{name: "tweaks in a body that says it is text", since: 10, path: run, body: byVariable, headers: []string{"Content-Type: text/plain"}, gets: stolen, refused: all},
		{name: "a variable's value of one's own, in a header", since: 10, path: "/api/v1/run/" + boundFlow, body: `{}`, headers: []string{"X-LANGFLOW-GLOBAL-VAR-OVERRIDDEN: of-my-own"}, gets: "of-my-own"},
		{name: "a variable's value of one's own, in the body", since: 10, path: "/api/v1/run/" + boundFlow, body: `{"input_request":{},"context":{"request_variables":{"OVERRIDDEN":"of-my-own"}}}`, gets: "of-my-own"},
		{name: "what a component hands on", path: run, body: `{"input_value":"between","output_component":"ChatInput-1"}`, gets: `"component_id":"ChatInput-1"`},
		{name: "what all components hand on", path: run, body: `{"input_value":"between","output_type":"debug"}`, gets: `"component_id":"ChatInput-1"`},
		{name: "a flow of one's own in a workflow", since: 13, path: "/api/v2/workflows", body: encode(object{"flow_id": s.flow, "input_value": "a", "mode": "stream", "data": s.hostile()}), gets: password, refused: all},
		{name: "tweaks of a workflow", since: 13, path: "/api/v2/workflows", body: encode(object{"flow_id": s.flow, "tweaks": object{"ChatInput-1": object{"input_value": variable}}}), gets: stolen},
	})
	// A build, whose answer is fetched.
	body := encode(object{"data": s.hostile()})
	if !s.jams() {
		if said := s.build("proxy", s.flow, body); !strings.Contains(said, password) {
			s.Errorf("a flow of one's own in a build: it does not work with proxy, and so shows nothing: %.1500s", said)
		}
	}
	for _, scope := range all {
		if status, said := s.ask(scope, "POST", "/api/v1/build/"+s.flow+"/flow", body); status != 403 {
			s.Errorf("a flow of one's own in a build, with %s: %d %.500s", scope, status, said)
		}
	}
}
