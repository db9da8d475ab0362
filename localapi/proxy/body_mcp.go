package proxy

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"langkeep/localapi/client"
)

// The codes of JSON-RPC 2.0 for a message that is none, a method that there is not,
// and parameters that are wrong.
const (
	rpcNoRequest = -32600
	rpcNoMethod  = -32601
	rpcNoParams  = -32602
)

// mcpMethods are what a client may ask of Langflow's MCP server, with their
// parameters. Langflow (1.4.3, 1.10.3, 1.13.0) has tools, an empty list of prompts,
// and resources, which are the account's files. No scope but proxy may read those
// here: 1.4.3 lists the files of all accounts, and joins the last two segments of a
// resource's URI, decoded, to its folder of files, so that ../secret_key and
// /etc/passwd are files as well. The scope edit has the routes of files, whose paths
// are judged.
var mcpMethods = map[string]field{
	"initialize":       optionalObject,
	"ping":             optionalObject,
	"server/discover":  optionalObject, // of 2026-07-28: it must fail there, so that a client falls back
	"tools/list":       optionalObject,
	"tools/call":       objectOf(with(callFields, map[string]field{"arguments": plainArguments})),
	"prompts/list":     optionalObject,
	"logging/setLevel": optionalObject,
	// Of 2026-07-28, whose clients hear so of changed lists; not of changed resources.
	"subscriptions/listen": objectOf(map[string]field{"_meta": optionalObject, "notifications": objectOf(map[string]field{
		"toolsListChanged": boolean, "promptsListChanged": boolean, "resourcesListChanged": boolean,
	})}),
}

// inputResponses and requestState, of 2026-07-28, answer what a tool has asked its caller;
// Langflow (1.4.3 to 1.13.0) passes over them.
var callFields = map[string]field{
	"name": text, "arguments": optionalObject, "_meta": optionalObject, "inputResponses": optionalObject, "requestState": text,
}

// plainArguments are a tool's inputs. 1.4.3 and 1.10.3 read input_value and
// session_id of them; 1.13.0 makes tweaks of all others, on the fields of the flow's
// input components that it shows. There an object would set load_from_db, but for
// the tool's schema, by which a field of text takes none. So a value is text, a
// number or a truth, or a list of them.
func plainArguments(v any) bool {
	o, ok := v.(map[string]any)
	for _, value := range o {
		list, isList := value.([]any)
		if !isList {
			list = []any{value}
		}
		for _, item := range list {
			switch item.(type) {
			case nil, string, bool, number:
			default:
				return false
			}
		}
	}
	return ok || v == nil
}

// judgeMCP is for the messages of MCP: POST on /mcp/streamable, on
// /mcp/project/ID/streamable, and beside the streams of the older transport
// (/mcp/sse, with a session_id in the query). A GET opens a stream of the server's
// messages, a DELETE ends a session.
//
// A batch is refused: Langflow answers 400 to one, and MCP has taken them out.
func judgeMCP(a *asked) *objection {
	switch a.method {
	case http.MethodPost:
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		if len(a.body) > 0 {
			return reject("this request may have no body")
		}
		return a.queryOf(map[string]field{"session_id": text, "mcp_enabled": truth}) // the list of a project's tools
	default:
		return reject("this client may only list and call tools: add a client with the scope proxy")
	}
	if wrong := a.queryOf(map[string]field{"session_id": text}); wrong != nil {
		return wrong
	}
	v, wrong := a.json()
	if wrong != nil {
		return wrong
	}
	message, ok := v.(map[string]any)
	if !ok {
		return a.refuseRPC("null", rpcNoRequest, "one message at a time, and no batch")
	}
	id := "null"
	if _, given := message["id"]; given {
		if id = rpcID(message); id == "" {
			return a.refuseRPC("null", rpcNoRequest, "a message's id is text or a number")
		}
	}
	fields := map[string]field{"jsonrpc": func(v any) bool { return v == "2.0" }, "id": anything}
	if _, isMethod := message["method"]; isMethod {
		fields["method"], fields["params"] = text, anything
	} else {
		// The answer to what the server asked.
		fields["result"], fields["error"] = optionalObject, optionalObject
	}
	if said := object(v, fields); said != "" {
		return a.refuseRPC(id, rpcNoRequest, "that is no message of MCP: "+said)
	}
	if _, isMethod := message["method"]; !isMethod {
		return nil
	}
	method, _ := message["method"].(string)
	if _, given := message["id"]; !given && strings.HasPrefix(method, "notifications/") {
		return nil // asks for nothing
	}
	may, known := mcpMethods[method]
	if a.tweak && method == "tools/call" {
		may = objectOf(callFields)
	}
	if !known {
		return a.refuseRPC(id, rpcNoMethod, "this client may list and call tools, and nothing else: add a client with the scope proxy, or use the routes of files with the scope edit")
	}
	if !may(message["params"]) && method == "subscriptions/listen" {
		return a.refuseRPC(id, rpcNoParams, "this client may listen for changes of the lists alone: add a client with the scope proxy")
	}
	if !may(message["params"]) {
		return a.refuseRPC(id, rpcNoParams, "a tool's arguments may be text, numbers and truths, and no objects, of which Langflow makes tweaks: add a client with the scope tweak")
	}
	return nil
}

// rpcID is a message's id as JSON, "" if it has none that counts.
func rpcID(message map[string]any) string {
	switch v := message["id"].(type) {
	case string:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(v) // a string can be
		return strings.TrimSpace(b.String())
	case number:
		return string(v)
	}
	return ""
}

func (a *asked) refuseRPC(id string, code int, words string) *objection {
	o := &objection{problem: client.NewProblem(client.TypeForbidden, words), rpc: []byte(id), code: code}
	// 400 where a client takes no answer from here: the older transport has it come
	// over another connection, and a message without an id asks for none.
	if a.query.Has("session_id") || id == "null" {
		o.status = http.StatusBadRequest
	}
	return o
}
