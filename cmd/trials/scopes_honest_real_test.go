//go:build real

package trials

import (
	"strings"
)

// testHonest is what clients send that only run flows.
func (s *scoped) testHonest() {
	run := "/api/v1/run/" + s.flow
	for _, scope := range []string{"run", "tweak", "edit"} {
		for name, body := range map[string]string{
			"langflow-sdk":        `{"input_value":"hello you","input_type":"chat","output_type":"chat","stream":false}`,
			"the API page's code": `{"output_type":"chat","input_type":"chat","input_value":"hello you","session_id":"s","tweaks":{}}`,
			"curl":                `{"input_value":"hello you"}`,
		} {
			if said := s.must(200, scope, "POST", run+"?stream=false", body); !strings.Contains(said, "hello you") {
				s.Errorf("%s with %s: %.500s", name, scope, said)
			}
		}
	}
	if said := s.must(200, "run", "POST", run+"?stream=true", `{"input_value":"hello stream"}`); !strings.Contains(said, "hello stream") || !strings.Contains(said, `"end"`) {
		s.Errorf("a stream: %.500s", said)
	}
	// 1.4.3 fails at that with a database of SQLite.
	if s.at(10) {
		if said := s.must(200, "run", "POST", "/api/v1/run/advanced/"+s.flow, `{"inputs":[{"components":["ChatInput-1"],"input_value":"hello advanced","type":"chat"}],"outputs":[],"stream":false}`); !strings.Contains(said, "hello advanced") {
			s.Errorf("an advanced run: %.500s", said)
		}
	}
	for _, kind := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded"} {
		s.must(202, "run", "POST", "/api/v1/webhook/"+s.flow, `{"event":"push","tweaks":{"a":1}}`, "Content-Type: "+kind)
	}
	if s.at(10) {
		for _, more := range []string{``, `,"previous_response_id":"r"`, `,"temperature":0.1,"metadata":{"a":"b"},"store":false`} {
			if said := s.must(200, "run", "POST", "/api/v1/responses", `{"model":"`+s.flow+`","input":"hello responses"`+more+`}`, "X-Stainless-Lang: python"); !strings.Contains(said, "hello responses") {
				s.Errorf("responses%s: %.500s", more, said)
			}
		}
		if said := s.must(200, "run", "POST", "/api/v1/responses", `{"model":"`+s.flow+`","input":"hello responses","stream":true}`); !strings.Contains(said, "[DONE]") {
			s.Errorf("responses, streamed: %.500s", said)
		}
	}
	if s.at(13) {
		if said := s.must(200, "run", "POST", "/api/v2/workflows", encode(object{"flow_id": s.flow, "input_value": "hello workflow", "mode": "sync"})); !strings.Contains(said, "hello workflow") {
			s.Errorf("a workflow: %.500s", said)
		}
		if said := s.must(200, "run", "POST", "/api/v2/workflows", encode(object{"flow_id": s.flow, "input_value": "hello workflow", "mode": "stream", "expose_graph_state": false})); !strings.Contains(said, "hello workflow") {
			s.Errorf("a workflow's stream: %.500s", said)
		}
	}
	if said := s.message("run", `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`); !strings.Contains(said, `"echo"`) {
		s.Errorf("tools/list: %.500s", said)
	}
	if !s.jams() {
		if said := s.message("run", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"input_value":"hello tool"},"_meta":{"progressToken":1}}}`); !strings.Contains(said, "hello tool") {
			s.Errorf("tools/call: %.500s", said)
		}
	}
	if said := s.must(200, "tweak", "POST", run, `{"input_value":"hello tweak","tweaks":{"ChatOutput-1":{"sender_name":"Tweaked"}}}`); !strings.Contains(said, "Tweaked") {
		s.Errorf("a tweak: %.500s", said)
	}
}
