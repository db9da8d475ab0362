package proxy

import (
	"maps"
	"strings"
	"unicode/utf8"
)

// truth is what a query's boolean may be, as pydantic reads it.
var truth = oneOf("true", "false", "True", "False", "1", "0")

// runFields are those of a SimplifiedAPIRequest (1.4.3, 1.10.3 and 1.13.0; user_id
// came after 1.4.3) that choose inputs; langflow-sdk adds stream, which the servers
// do not read.
//
// Not among them are:
//   - tweaks, which replace any field of any component: its code (1.4.3; 1.10.3 and
//     1.13.0 refuse that), load_from_db, which has the server put a variable's value there,
//     a Credential's among them (1.4.3), or one of its environment (1.10.3, 1.13.0), a
//     file's path, and the command or URL of an MCPTools component (1.13.0 too);
//   - output_component and the output_type debug, which return what components hand
//     to each other, a variable's value among it;
//   - input_request and context: FastAPI reads a body of several parameters by their
//     names (1.10.3, 1.13.0). The first is a whole request, tweaks in it; the second
//     has request_variables, which replace the account's variables.
var runFields = map[string]field{
	"input_value":      text,
	"input_type":       oneOf("chat", "text", "any"),
	"output_type":      oneOf("chat", "text", "any"),
	"output_component": nothing,
	"session_id":       text,
	"user_id":          text,
	"stream":           boolean,
	"tweaks":           nothing,
}

var runTweakFields = with(runFields, map[string]field{
	"output_type":      oneOf("chat", "text", "any", "debug"),
	"output_component": text,
	"tweaks":           optionalObject,
	"input_request":    optionalObject,
	"context":          optionalObject,
})

// judgeRun is for POST /run/ID and /run/session/ID (the latter since 1.10).
//
// 1.10.3 and 1.13.0 read a body on these as JSON whatever its type says, with a
// parser that takes the last of two fields of a name, and forms as well, with tweaks
// in a field of the form.
func judgeRun(a *asked) *objection {
	if wrong := a.queryOf(map[string]field{"stream": truth}); wrong != nil || len(a.body) == 0 {
		return wrong
	}
	return a.bodyOf(runFields, runTweakFields)
}

// inputFields are those of an InputValueRequest (1.4.3 to 1.13.0, client_request_time
// since 1.10). components names input components only: Graph._set_inputs passes over
// all others.
var inputFields = map[string]field{
	"components":          listOf(text),
	"input_value":         text,
	"session":             text,
	"type":                oneOf("chat", "text", "any"),
	"client_request_time": numeric,
}

// advancedFields are for /run/advanced/ID. outputs names any component, and an empty
// list the outputs of the flow (Graph._run).
var advancedFields = map[string]field{
	"inputs":     listOf(objectOf(inputFields)),
	"outputs":    nothing,
	"session_id": text,
	"stream":     boolean,
	"tweaks":     nothing,
}

var advancedTweakFields = with(advancedFields, map[string]field{"outputs": listOf(text), "tweaks": optionalObject})

// judgeAdvanced is for POST /run/advanced/ID.
func judgeAdvanced(a *asked) *objection {
	if wrong := a.queryOf(nil); wrong != nil || len(a.body) == 0 {
		return wrong
	}
	return a.bodyOf(advancedFields, advancedTweakFields)
}

// responsesFields are those of an OpenAIResponsesRequest (1.10.3 and 1.13.0, which
// leave it at that: no tweaks are made of them), and those of OpenAI's own API that
// the servers pass over.
var responsesFields = map[string]field{
	"model":                text,
	"input":                text,
	"stream":               boolean,
	"background":           boolean,
	"tools":                nothing,
	"previous_response_id": text,
	"include":              listOf(text),

	"instructions": text, "user": text, "safety_identifier": text, "prompt_cache_key": text, "service_tier": text, "truncation": text,
	"temperature": numeric, "top_p": numeric, "max_output_tokens": numeric, "max_tool_calls": numeric, "top_logprobs": numeric,
	"store": boolean, "parallel_tool_calls": boolean,
	"tool_choice": anything, "metadata": optionalObject, "reasoning": optionalObject, "text": optionalObject, "stream_options": optionalObject,
}

// judgeResponses is for POST /responses.
func judgeResponses(a *asked) *objection {
	if wrong := a.queryOf(nil); wrong != nil {
		return wrong
	}
	return a.bodyOf(responsesFields, responsesFields)
}

// judgeWebhook is for POST /webhook/ID. All versions make one string of the body,
// whatever its type, and put it into the field data of the flow's Webhook
// components (a tweak of the server's own, whose value is no object and so can set
// nothing else): it is an input. A body that is no UTF-8 is a 500 there.
func judgeWebhook(a *asked) *objection {
	if wrong := a.queryOf(nil); wrong != nil {
		return wrong
	}
	if !utf8.Valid(a.body) {
		return reject("a webhook's body must be text in UTF-8")
	}
	return nil
}

// workflowFields are those of a WorkflowRunRequest (1.13.0) and of a
// WorkflowExecutionRequest (1.10.3: background, stream, inputs) that choose inputs.
//
// Not among them are data, which replaces the flow's nodes with code of the
// caller's; tweaks; globals, which replace the account's variables; files, which
// are paths on the server; start and stop, which make another flow of it; and
// idempotency_key, by which 1.13.0 answers with the job of an earlier run of the
// account's, which another body may have begun.
var workflowFields = map[string]field{
	"flow_id":            text,
	"input_value":        text,
	"session_id":         text,
	"mode":               oneOf("sync", "stream", "background"),
	"stream_protocol":    text,
	"expose_graph_state": falsehood,
	"output_ids":         listOf(text),
	"idempotency_key":    nothing,
	"background":         boolean,
	"stream":             boolean,
	"inputs":             flatInputs,
	"tweaks":             nothing,
	"globals":            nothing,
	"data":               isNull,
	"files":              nothing,
	"start_component_id": isNull,
	"stop_component_id":  isNull,
}

var workflowTweakFields = with(workflowFields, map[string]field{
	"expose_graph_state": boolean,
	"inputs":             optionalObject,
	"tweaks":             optionalObject,
	"globals":            optionalObject,
	"files":              listOf(accountFile),
	"start_component_id": text,
	"stop_component_id":  text,
})

// flatInputs are inputs as 1.10.3 has them: "COMPONENT.FIELD": value. It makes
// tweaks of all of them, so only those that are inputs may be there.
func flatInputs(v any) bool {
	o, ok := v.(map[string]any)
	for name, value := range o {
		component, field, _ := strings.Cut(name, ".")
		input := strings.HasPrefix(component, "ChatInput-") || strings.HasPrefix(component, "TextInput-")
		if _, plain := value.(string); !input || !plain || field != "input_value" && field != "session_id" {
			return false
		}
	}
	return ok || v == nil
}

// judgeWorkflow is for /api/v2/workflows (1.10.3, 1.13.0): to run one, to ask for a
// run's state and events, to stop it. An answer for a run that waits for a person
// is a person's.
func judgeWorkflow(a *asked) *objection {
	switch {
	case a.method != "POST":
		if len(a.body) > 0 {
			return reject("this request may have no body")
		}
		if wrong := a.queryOf(map[string]field{"job_id": text}); wrong != nil {
			return wrong
		}
		job := a.query.Get("job_id")
		if parts := strings.Split(a.route, "/"); len(parts) == 3 { // workflows/ID/events
			job = parts[1]
		}
		return a.job(job)
	case a.route == "workflows/stop":
		if wrong := a.queryOf(nil); wrong != nil {
			return wrong
		}
		stop := map[string]field{"job_id": text, "force": boolean}
		if wrong := a.bodyOf(stop, stop); wrong != nil {
			return wrong
		}
		job, _ := inner(a.value, "job_id").(string)
		return a.job(job)
	case a.route != "workflows":
		return reject("this client may only run workflows: add a client with the scope proxy")
	}
	if wrong := a.queryOf(nil); wrong != nil {
		return wrong
	}
	if wrong := a.bodyOf(workflowFields, workflowTweakFields); wrong != nil || a.tweak {
		return wrong
	}
	// Unless told not to, a stream has what components hand to each other (1.13.0).
	o, _ := a.value.(map[string]any)
	if mode, _ := o["mode"].(string); mode != "" && mode != "sync" && o["expose_graph_state"] != false {
		return reject(`a workflow's stream shows what its components hand to each other: send "expose_graph_state": false, or add a client with the scope tweak`)
	}
	return nil
}

// job holds a client that may not read what runs left behind to jobs of its own.
func (a *asked) job(id string) *objection {
	if a.edit || a.began(id) {
		return nil
	}
	return reject("the proxy has seen no answer with that job to this client, since the agent started: it may ask for the jobs that it began; add a client with the scope edit to ask for others")
}

// with are fields, and more of them.
func with(fields, more map[string]field) map[string]field {
	all := maps.Clone(fields)
	maps.Copy(all, more)
	return all
}
