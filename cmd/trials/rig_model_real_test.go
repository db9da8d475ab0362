//go:build real

package trials

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// model stands in for a language model. It has one rule: it repeats the tool's result if
// there is one since it last spoke; else it calls the tool, if the request offers that. It
// speaks Responses and chat completions (OpenAI), Messages (Anthropic) and
// generateContent (Google), each with and without streaming.
type model struct {
	*httptest.Server
	tool      string // the end of its name: clients put the MCP server's before it
	arguments object // that it calls the tool with

	mu      sync.Mutex // protects the following
	asked   []string   // the method and path of each request
	results []string   // of the tool, as they came
}

func newModel(t *testing.T, tool string, arguments object) *model {
	m := &model{tool: tool, arguments: arguments}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

// requests are the method and path of each so far.
func (m *model) requests() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.asked)
}

// heard are the tool's results so far.
func (m *model) heard() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.results)
}

// turn is what the model says: text, or a call.
type turn struct {
	text            string
	name, namespace string // of the tool to call; Codex has a namespace for each MCP server
	arguments       object
	id              string // of its own: Claude Code takes two messages of one id for one
}

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	var request object
	_ = json.Unmarshal(body, &request) // else it is empty, and offers nothing
	turn := m.answer(request)
	m.mu.Lock()
	m.asked = append(m.asked, r.Method+" "+r.URL.Path)
	turn.id = strconv.Itoa(len(m.asked))
	m.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	stream := request["stream"] == true
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/responses"):
		turn.responses(w, stream)
	case strings.HasSuffix(path, "/chat/completions"):
		turn.completions(w, stream)
	case strings.HasSuffix(path, "/messages"):
		turn.messages(w, stream)
	case strings.HasSuffix(path, "enerateContent"):
		turn.generate(w, strings.HasSuffix(path, ":streamGenerateContent"))
	default:
		send(w, object{"object": "list", "data": []object{{"id": "stand-in", "object": "model"}}, "input_tokens": 1, "totalTokens": 1})
	}
}

// answer is the rule.
func (m *model) answer(request object) turn {
	result := ""
	for _, key := range []string{"messages", "input", "contents"} {
		list, _ := request[key].([]any)
		within(sinceModel(list), func(o object) {
			switch {
			case o["role"] == "tool", o["type"] == "tool_result":
				result = encode(o["content"])
			case o["type"] == "function_call_output":
				result = encode(o["output"])
			case o["functionResponse"] != nil:
				result = encode(o["functionResponse"])
			}
		})
	}
	if result != "" {
		m.mu.Lock()
		m.results = append(m.results, result)
		m.mu.Unlock()
		return turn{text: result}
	}
	found := turn{text: "nothing to do"}
	within(request["tools"], func(o object) {
		name, _ := o["name"].(string)
		switch {
		case strings.HasSuffix(name, m.tool):
			found = turn{name: name, arguments: m.arguments}
		case o["type"] == "namespace" && found.name != "" && strings.Contains(encode(o["tools"]), strconv.Quote(found.name)):
			found.namespace = name
		}
	})
	return found
}

// sinceModel are the messages after the model's last one. Claude Code adds some of its
// own behind a tool's result.
func sinceModel(messages []any) []any {
	for i, m := range slices.Backward(messages) {
		if o, _ := m.(object); o["role"] == "assistant" || o["role"] == "model" || o["type"] == "function_call" {
			return messages[i+1:]
		}
	}
	return messages
}

// within visits every object in a JSON value, the inner ones first.
func within(v any, visit func(object)) {
	switch v := v.(type) {
	case []any:
		for _, inner := range v {
			within(inner, visit)
		}
	case object:
		for _, inner := range v {
			within(inner, visit)
		}
		visit(v)
	}
}

// send writes an answer that is no stream.
func send(w io.Writer, v object) { _, _ = io.WriteString(w, encode(v)) }

// events writes an answer as Server-Sent Events, each with its type as its name.
func events(w http.ResponseWriter, all ...object) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range all {
		if kind, ok := e["type"].(string); ok {
			fmt.Fprintf(w, "event: %s\n", kind)
		}
		fmt.Fprintf(w, "data: %s\n\n", encode(e))
	}
}

func (t turn) responses(w http.ResponseWriter, stream bool) {
	item := object{"type": "message", "id": "msg_" + t.id, "status": "completed", "role": "assistant", "content": []object{{"type": "output_text", "text": t.text, "annotations": []object{}}}}
	if t.name != "" {
		item = object{"type": "function_call", "id": "fc_" + t.id, "status": "completed", "call_id": "call_" + t.id, "name": t.name, "arguments": encode(t.arguments)}
		if t.namespace != "" {
			item["namespace"] = t.namespace
		}
	}
	usage := object{"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
	response := object{"id": "resp_" + t.id, "object": "response", "status": "completed", "model": "stand-in", "output": []object{item}, "usage": usage}
	if !stream {
		send(w, response)
		return
	}
	events(w,
		object{"type": "response.created", "response": object{"id": "resp_" + t.id}},
		object{"type": "response.output_item.done", "output_index": 0, "item": item},
		object{"type": "response.completed", "response": response},
	)
}

func (t turn) completions(w http.ResponseWriter, stream bool) {
	message, reason := object{"role": "assistant", "content": t.text}, "stop"
	if t.name != "" {
		call := object{"index": 0, "id": "call_" + t.id, "type": "function", "function": object{"name": t.name, "arguments": encode(t.arguments)}}
		message, reason = object{"role": "assistant", "content": nil, "tool_calls": []object{call}}, "tool_calls"
	}
	completion := object{"id": "chatcmpl-" + t.id, "object": "chat.completion", "created": 1, "model": "stand-in"}
	usage := object{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
	if !stream {
		completion["choices"] = []object{{"index": 0, "message": message, "finish_reason": reason}}
		completion["usage"] = usage
		send(w, completion)
		return
	}
	chunk := func(with object) object {
		all := maps.Clone(completion)
		all["object"] = "chat.completion.chunk"
		maps.Copy(all, with)
		return all
	}
	events(w,
		chunk(object{"choices": []object{{"index": 0, "delta": message, "finish_reason": nil}}}),
		chunk(object{"choices": []object{{"index": 0, "delta": object{}, "finish_reason": reason}}}),
		chunk(object{"choices": []object{}, "usage": usage}), // as OpenAI does: Continue reads no call beside it
	)
	fmt.Fprint(w, "data: [DONE]\n\n")
}

func (t turn) messages(w http.ResponseWriter, stream bool) {
	block, delta, reason := object{"type": "text", "text": ""}, object{"type": "text_delta", "text": t.text}, "end_turn"
	whole := object{"type": "text", "text": t.text}
	if t.name != "" {
		block = object{"type": "tool_use", "id": "toolu_" + t.id, "name": t.name, "input": object{}}
		whole = object{"type": "tool_use", "id": "toolu_" + t.id, "name": t.name, "input": t.arguments}
		delta, reason = object{"type": "input_json_delta", "partial_json": encode(t.arguments)}, "tool_use"
	}
	usage := object{"input_tokens": 1, "output_tokens": 1}
	message := object{"id": "msg_" + t.id, "type": "message", "role": "assistant", "model": "stand-in", "stop_sequence": nil, "usage": usage}
	if !stream {
		message["content"], message["stop_reason"] = []object{whole}, reason
		send(w, message)
		return
	}
	message["content"], message["stop_reason"] = []object{}, nil
	events(w,
		object{"type": "message_start", "message": message},
		object{"type": "content_block_start", "index": 0, "content_block": block},
		object{"type": "content_block_delta", "index": 0, "delta": delta},
		object{"type": "content_block_stop", "index": 0},
		object{"type": "message_delta", "delta": object{"stop_reason": reason, "stop_sequence": nil}, "usage": usage},
		object{"type": "message_stop"},
	)
}

func (t turn) generate(w http.ResponseWriter, stream bool) {
	part := object{"text": t.text}
	if t.name != "" {
		part = object{"functionCall": object{"name": t.name, "args": t.arguments}}
	}
	content := object{
		"candidates":    []object{{"index": 0, "content": object{"role": "model", "parts": []object{part}}, "finishReason": "STOP"}},
		"usageMetadata": object{"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
	}
	if !stream {
		send(w, content)
		return
	}
	events(w, content)
}
