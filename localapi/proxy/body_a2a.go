package proxy

import (
	"net/http"
	"slices"
)

// a2aMethods are those of A2A (0.3 and 1.0) that send a message, and ask for and end
// what came of it.
var a2aMethods = []string{
	"message/send", "message/stream", "tasks/get", "tasks/cancel", "tasks/resubscribe",
	"SendMessage", "SendStreamingMessage", "GetTask", "CancelTask", "SubscribeToTask",
}

// judgeA2A is for POST /a2a/FLOW/jsonrpc (1.13.0, off unless it is turned on). The
// server makes one text of a message's parts, and no tweaks. pushNotificationConfig is
// not among the fields: the server would send news of a task to any URL.
func judgeA2A(a *asked) *objection {
	if wrong := a.queryOf(nil); wrong != nil {
		return wrong
	}
	v, wrong := a.json()
	if wrong != nil {
		return wrong
	}
	message, _ := v.(map[string]any)
	id, method := rpcID(message), ""
	if said := object(v, map[string]field{
		"jsonrpc": func(v any) bool { return v == "2.0" }, "id": anything, "method": func(v any) bool { s, ok := v.(string); method = s; return ok },
		"params": objectOf(map[string]field{
			"message": optionalObject, "metadata": optionalObject, "id": text, "tenant": text, "historyLength": numeric,
			"configuration": func(v any) bool {
				return v == nil || object(v, map[string]field{"acceptedOutputModes": listOf(text), "historyLength": numeric, "blocking": boolean, "returnImmediately": boolean}) == ""
			},
		}),
	}); said != "" || id == "" {
		return a.refuseRPC("null", rpcNoRequest, "that is no message of A2A that this client may send: "+said)
	}
	if a.method != http.MethodPost || !slices.Contains(a2aMethods, method) {
		return a.refuseRPC(id, rpcNoMethod, "a client with the scope run may send messages to agents, and ask for what came of them: add a client with the scope proxy")
	}
	return nil
}
