package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"langkeep/localapi/client"
)

// accountBytes bound the account's flows; they are looked at one by one.
const accountBytes = 128 << 20

// eachFlow has take look at each flow of the account, with its data, until take
// returns an error. A list that can't be read is an error too.
func (u upstreamAsk) eachFlow(ctx context.Context, take func(flow map[string]any) error) error {
	// All are asked for: without the examples, 1.4.3 to 1.13.0 leave out those that
	// are in no project as well.
	return u.read(ctx, "/api/v1/flows/", "get_all=true", accountBytes, func(answer io.Reader) error {
		d := json.NewDecoder(answer)
		if begin, err := d.Token(); err != nil || begin != json.Delim('[') {
			return errors.New("/api/v1/flows/ is no list")
		}
		for d.More() {
			var text json.RawMessage
			if err := d.Decode(&text); err != nil {
				return fmt.Errorf("/api/v1/flows/ can't be read: %w", err)
			}
			v, err := parseJSON(text)
			if err != nil {
				return fmt.Errorf("/api/v1/flows/ can't be read: %w", err)
			}
			flow, ok := v.(map[string]any)
			if id, _ := flow["id"].(string); !ok || !uuid().MatchString(id) {
				return errors.New("/api/v1/flows/ has a flow without an id")
			}
			if err := take(flow); err != nil {
				return err
			}
		}
		if _, err := d.Token(); err != nil {
			return fmt.Errorf("/api/v1/flows/ has no end within %d bytes", accountBytes)
		}
		return nil
	})
}

// unreachable is an objection since the server did not say what a check needs.
func unreachable(what string, err error) *objection {
	return &objection{problem: client.NewProblem(client.TypeServerUnreachable, what+": "+err.Error())}
}

// foundError is what a look at the account's flows ends with that finds something.
type foundError string

func (e foundError) Error() string { return string(e) }

// ofAccount is what a look at the account's flows says of a request.
func (a *asked) ofAccount(take func(flow map[string]any) error) *objection {
	err := a.server.eachFlow(a.ctx, take)
	var found foundError
	switch {
	case errors.As(err, &found):
		return rejectEdit(found.Error())
	case err != nil:
		return unreachable("the account's flows can't be had, and so the request can't be checked", err)
	}
	return nil
}

// results holds the nodes of a flow of plain components, which is sent to be in place
// of the flow id ("" for none), to results of their own.
//
// Langflow keeps the result of every component that ran by the component's id alone
// (1.4.3, 1.10.3), or by that and the user's (1.13.0), for all flows, and takes it
// from there where a component is frozen: Graph.build_vertex. So a component of the
// same id in a flow of a client's own says what an untouched flow hands to its next
// component, which may be Python; and one that is frozen says what another flow's,
// before 1.13 another user's, came to. A flow that runs is asked nothing here, and
// whether a component is frozen may change later: so the ids of all components
// beside what is not plain are taken, frozen or not.
func (a *asked) results(sent []any, id string) *objection {
	if len(sent) == 0 {
		return nil
	}
	known, wrong := a.known()
	if wrong != nil {
		return wrong
	}
	nodes := map[string]map[string]any{}
	frozen := map[string]bool{} // those that are sent so
	for _, n := range sent {
		node, _ := n.(map[string]any) // as plainFlow found
		name, _ := node["id"].(string)
		nodes[name] = node
		if isFrozen(node) {
			frozen[name] = true
		}
	}
	wrong = a.ofAccount(func(flow map[string]any) error {
		stored, own := flow["data"], sameID(flow["id"], id)
		name, _ := flow["name"].(string)
		var plain, judged bool
		return eachNode(stored, func(node map[string]any) error {
			for _, nodeID := range []any{node["id"], inner(node, "data", "id")} {
				nodeID, _ := nodeID.(string)
				mine, taken := nodes[nodeID]
				if !taken {
					continue
				}
				if !judged {
					plain, judged = plainFlow(stored, known) == "", true
				}
				switch {
				case plain && !isFrozen(node):
				case plain && own && sameNode(node, mine):
					delete(frozen, nodeID)
				default:
					return foundError(fmt.Sprintf("the component %.60q has the id of one in the flow %.60q, which is frozen there or beside components that this client can't change; "+
						"Langflow keeps results by ids, so give it one of its own", nodeID, name))
				}
			}
			return nil
		})
	})
	if wrong != nil {
		return wrong
	}
	for name := range frozen {
		return rejectEdit(fmt.Sprintf("the component %.60q is frozen, and so may show what another flow's came to; send it with \"frozen\": false", name))
	}
	return nil
}

// eachNode has take look at each node in a flow's data, those in groups and in flows
// in the flow included.
func eachNode(v any, take func(node map[string]any) error) error {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if nodes, ok := inner.([]any); ok && name == "nodes" {
				for _, n := range nodes {
					if node, ok := n.(map[string]any); ok {
						if err := take(node); err != nil {
							return err
						}
					}
				}
			}
			if err := eachNode(inner, take); err != nil {
				return err
			}
		}
	case []any:
		for _, inner := range v {
			if err := eachNode(inner, take); err != nil {
				return err
			}
		}
	}
	return nil
}

// inner is what stands in an object, by names; nil where there is none.
func inner(v any, names ...string) any {
	for _, name := range names {
		o, _ := v.(map[string]any)
		v = o[name]
	}
	return v
}

// isFrozen tells whether Langflow takes a component's result from its cache: Python
// takes much for a truth.
func isFrozen(node map[string]any) bool { return !falsehood(inner(node, "data", "node", "frozen")) }

func sameNode(a, b map[string]any) bool {
	return sameJSON(essence([]any{a}, nodeFields...), essence([]any{b}, nodeFields...))
}

func sameID(a any, b string) bool {
	id, _ := a.(string)
	return b != "" && strings.EqualFold(id, b)
}

// A project's auth_type, which may be none, and a flow's mcp_enabled decide which users
// besides its account may use the flow, as a tool of the project's MCP server. So
// nothing that edit writes may put a flow among a project's tools, or one of them
// into another project, or under another name. The same goes for flow_type, without
// which 1.13.0 has no agent of A2A of a flow with a2a_enabled.
//
// Webhooks need nothing of the kind: a server that wants no key for them (1.4.3, or
// LANGFLOW_WEBHOOK_AUTH_ENABLE=false) runs any flow whose id or endpoint_name is
// known.

// exposed tells whether a stored flow is, or may come to be, a tool of its project:
// servers since 1.10 turn mcp_enabled on where it is null (config_utils.py).
func exposed(flow map[string]any) bool { return flow["mcp_enabled"] != false }

// exposure judges what a flow that is written says of that. id is the flow's that it
// replaces, "" for none.
func (a *asked) exposure(flow map[string]any, id string) *objection {
	if id == "" {
		if enabled, given := flow["mcp_enabled"]; given && enabled != false {
			return rejectEdit(`a new flow with "mcp_enabled" is a tool of its project, which may be public; send false`)
		}
		return nil
	}
	said := map[string]any{}
	for _, name := range []string{"mcp_enabled", "folder_id", "action_name", "action_description", "flow_type"} {
		// A PATCH leaves alone what is null; whether it does so with mcp_enabled is not
		// relied on.
		if v, given := flow[name]; given && (v != nil || a.method != http.MethodPatch || name == "mcp_enabled") {
			said[name] = v
		}
	}
	if said["mcp_enabled"] == false {
		delete(said, "mcp_enabled")
	}
	if len(said) == 0 {
		return nil
	}
	stored, err := a.stored(id)
	if err != nil {
		return unreachable("the flow can't be had, and so the request can't be checked", err)
	}
	if v, given := said["flow_type"]; given && !falsehood(stored["a2a_enabled"]) && !sameJSON(v, stored["flow_type"]) {
		return rejectEdit(`the flow is open to agents (a2a_enabled), and so "flow_type" stays as it is`)
	}
	delete(said, "flow_type")
	if !exposed(stored) {
		if _, given := said["mcp_enabled"]; given { // true or null
			return rejectEdit(`"mcp_enabled" makes the flow a tool of its project, which may be public; leave it out`)
		}
		return nil
	}
	for name, v := range said {
		if before, _ := stored[name].(string); name == "folder_id" && sameID(v, before) {
			continue
		}
		if !sameJSON(v, stored[name]) {
			return rejectEdit(fmt.Sprintf("the flow is a tool of its project (mcp_enabled), which may be public, and so %q stays as it is", name))
		}
	}
	return nil
}

// stored is a flow as the server has it.
func (a *asked) stored(id string) (map[string]any, error) {
	v, err := a.server.ask(a.ctx, "/api/v1/flows/"+id)
	if err != nil {
		return nil, err
	}
	flow, ok := v.(map[string]any)
	if !ok || !sameID(flow["id"], id) {
		return nil, errors.New("the answer is no flow")
	}
	return flow, nil
}

// moves judges the flows that a project is written with; id is the project's, "" for
// a new one. 1.4.3 puts a project's flows that are not among them into another one;
// since 1.10 a PATCH passes over them.
func (a *asked) moves(project map[string]any, id string) *objection {
	listed, given := map[string]bool{}, false
	for _, name := range []string{"flows_list", "components_list", "flows", "components"} {
		list, ok := project[name].([]any)
		given = given || ok && (id != "" || len(list) > 0)
		for _, flow := range list {
			flow, _ := flow.(string)
			listed[bareID(flow)] = true
		}
	}
	if !given {
		return nil
	}
	return a.ofAccount(func(flow map[string]any) error {
		name, _ := flow["id"].(string)
		in := listed[bareID(name)]
		if was := sameID(flow["folder_id"], id); in != was && exposed(flow) {
			return foundError(fmt.Sprintf("the flow %.60q is a tool of its project (mcp_enabled), which may be public, and so stays in it", flow["name"]))
		}
		return nil
	})
}
