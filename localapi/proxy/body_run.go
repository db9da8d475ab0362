package proxy

// truth is what a query's boolean may be, as pydantic reads it.
var truth = oneOf("true", "false", "True", "False", "1", "0")

// runFields are those of a SimplifiedAPIRequest (1.4.3, 1.10.3 and 1.13.0, where
// user_id has come) that choose inputs; langflow-sdk adds stream, which the
// servers do not read.
//
// Not among them: tweaks, which replace any field of any component, its code
// (before 1.13) and load_from_db with it. output_component and the output_type
// debug, which return what goes on between components: a variable's value, if a
// component loads one. And input_request and context, which 1.10.3 and 1.13.0 read
// as well (FastAPI embeds the body's parts): the first has tweaks in it, the second
// request_variables, in place of the account's.
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

// tweakFields are what the scope tweak adds.
var tweakFields = map[string]field{
	"output_type":      oneOf("chat", "text", "any", "debug"),
	"output_component": text,
	"tweaks":           func(v any) bool { _, ok := v.(map[string]any); return ok || v == nil },
	"input_request":    func(any) bool { return true },
	"context":          func(any) bool { return true },
}

// judgeRun is for POST /run/ID and /run/session/ID.
func judgeRun(a *asked) *objection {
	if wrong := a.queryOf(map[string]field{"stream": truth}); wrong != nil {
		return wrong
	}
	if len(a.body) == 0 {
		return nil
	}
	v, wrong := a.json()
	if wrong != nil {
		return wrong
	}
	if said := object(v, with(runFields, tweakFields, a.tweak)); said != "" {
		return reject("the body may only choose inputs, and %s: add a client with the scope tweak", said)
	}
	return nil
}

// with are fields, and more of them for those who have the scope.
func with(fields, more map[string]field, has bool) map[string]field {
	if !has {
		return fields
	}
	all := make(map[string]field, len(fields)+len(more))
	for name, f := range fields {
		all[name] = f
	}
	for name, f := range more {
		all[name] = f
	}
	return all
}
