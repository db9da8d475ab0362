package proxy

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"langkeep/agent/langflow"
)

// The scope edit writes flows without code. That is more than to compare the code of
// components: with values alone a flow of Langflow (1.4.3, 1.10.3, 1.13.0) runs code
// (Python components; MCPTools' command; Smart Transform, of what a model says),
// reads and writes the server's files (File, Directory, SaveToFile, SQL on
// sqlite:///, a vector store's folder, which is unpickled), asks any host, and reads
// variables and the server's environment (load_from_db on a field that is shown;
// 1.13.0 also sets it by a field's display_name). An edge puts a component's output
// into any field of another, whatever types it claims. And a flow may hold a second
// one: Graph.from_payload takes data.data in place of data.
//
// So a flow that is written either has nothing in it but the components below,
// with the server's own code and with other values in the named fields alone, or has
// the same nodes and edges as the flow that the server has under that id. A list of
// what is dangerous would be one component short with each release.
var plainComponents = map[string][]string{
	"ChatInput":       {"input_value", "sender", "sender_name", "session_id", "context_id", "should_store_message", "background_color", "chat_icon", "text_color"},
	"ChatOutput":      {"input_value", "sender", "sender_name", "session_id", "context_id", "should_store_message", "background_color", "chat_icon", "text_color"},
	"TextInput":       {"input_value"},
	"TextOutput":      {"input_value"},
	"CombineText":     {"text1", "text2", "delimiter"},
	"Prompt":          {"template"},
	"Prompt Template": {"template"},
}

// promptComponents have a field more for each name in their template.
var promptComponents = []string{"Prompt", "Prompt Template"}

// promptName is what such a field may be called. Langflow 1.13.0 gives a field whose
// display_name is one that a variable is for ("OpenAI API Key") that variable's value.
var promptName = pattern(`^[a-z][a-z0-9_]{0,60}$`)

const (
	flowBytes     = 8 << 20
	answerBytes   = 64 << 20 // of what the server is asked; /api/v1/all has 2 to 7 MB
	componentsFor = 10 * time.Minute
)

// flowFields are those of FlowCreate and FlowUpdate (1.4.3 to 1.13.0) that do not
// reach further. Those that do: user_id, whose flow it is; fs_path, a file on the
// server that the flow is written to; access_type PUBLIC and a2a_enabled, which let
// anybody run it, as its owner, for ever.
var flowFields = map[string]field{
	"id": text, "name": text, "description": text, "icon": text, "icon_bg_color": text, "gradient": text, "endpoint_name": text, "updated_at": text,
	"folder_id": text, "tags": listOf(text), "locked": boolean, "is_component": boolean, "webhook": boolean, "mcp_enabled": boolean,
	"action_name": text, "action_description": text, "flow_type": text, "last_tested_version": text,
	"data":        anything, // looked at by itself
	"access_type": oneOf("PRIVATE"), "a2a_enabled": falsehood,
	"user_id": nothing, "workspace_id": nothing, "fs_path": nothing, "a2a_card_overrides": nothing,
}

// judgeFlow is for POST /flows/, PATCH and PUT /flows/ID, and 1.13.0's
// /flows/ID/fork, /flows/ID/overwrite and /flows/ID/versions. A fork is a new flow,
// and that of the flow's own graph without data.
func judgeFlow(a *asked) *objection {
	if wrong := a.queryOf(nil); wrong != nil {
		return wrong
	}
	v, wrong := a.json()
	if wrong != nil {
		return wrong
	}
	id := ""
	if parts := strings.Split(a.route, "/"); len(parts) > 1 && a.method != http.MethodPost || len(parts) == 3 {
		id = parts[1]
	}
	if strings.HasSuffix(a.route, "/fork") {
		return a.fork(v, id)
	}
	return a.flow(v, id)
}

func (a *asked) fork(v any, of string) *objection {
	if inner(v, "data") != nil {
		return a.flow(v, "")
	}
	if said := object(v, flowFields); said != "" {
		return rejectEdit(said)
	}
	stored, err := a.stored(of)
	if err != nil {
		return unreachable("the flow can't be had, and so the request can't be checked", err)
	}
	return a.data(stored["data"], "")
}

// judgeVersion is for POST /flows/ID/versions/ID/activate (1.13.0), which writes a
// flow's earlier graph, and is judged like one that is sent.
func judgeVersion(a *asked) *objection {
	if wrong := a.queryOf(map[string]field{"save_draft": truth}); wrong != nil {
		return wrong
	}
	parts := strings.Split(a.route, "/") // flows ID versions ID activate
	v, err := a.server.ask(a.ctx, "/api/v1/flows/"+parts[1]+"/versions/"+parts[3])
	if err == nil && inner(v, "data") == nil {
		err = errors.New("it has no data")
	}
	if err != nil {
		return unreachable("the version can't be had, and so the request can't be checked", err)
	}
	return a.data(inner(v, "data"), parts[1])
}

// judgeFlows is for POST /flows/batch/.
func judgeFlows(a *asked) *objection {
	if wrong := a.queryOf(nil); wrong != nil {
		return wrong
	}
	v, wrong := a.json()
	if wrong != nil {
		return wrong
	}
	if said := object(v, map[string]field{"flows": listOf(anything)}); said != "" {
		return rejectEdit(said)
	}
	flows, _ := v.(map[string]any)["flows"].([]any)
	var nodes []any
	for _, flow := range flows {
		its, wrong := a.graph(flow, "")
		if wrong != nil {
			return wrong
		}
		nodes = append(nodes, its...)
	}
	return a.results(nodes, "")
}

// projectFields are those of FolderCreate and FolderUpdate (1.4.3 to 1.13.0) but for
// auth_settings, which make a project's tools public, as their owner.
var projectFields = map[string]field{
	"name": text, "description": text, "parent_id": text,
	"flows_list": listOf(text), "components_list": listOf(text), "flows": listOf(text), "components": listOf(text),
}

// judgeProject is for POST /projects/ and PATCH /projects/ID, and the same with
// folders.
func judgeProject(a *asked) *objection {
	if wrong := a.queryOf(nil); wrong != nil {
		return wrong
	}
	v, wrong := a.json()
	if wrong != nil {
		return wrong
	}
	if said := object(v, projectFields); said != "" {
		return rejectEdit(said)
	}
	id := ""
	if parts := strings.Split(a.route, "/"); len(parts) > 1 {
		id = parts[1]
	}
	return a.moves(v.(map[string]any), id)
}

// buildFields are those of POST /build/ID/flow and /build_public_tmp/ID/flow (1.4.3 to
// 1.13.0), whose answer has what every component of a flow does. files are paths, in
// 1.4.3 any of the server's; a file of the account is FLOW-OR-USER/NAME.
var buildFields = map[string]field{
	"inputs": func(v any) bool { return v == nil || object(v, inputFields) == "" },
	"files":  listOf(accountFile),
	"data":   anything,
}

var (
	uuid    = pattern(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	ownFile = pattern(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}/[\pL\pN _.()-]*[\pL\pN]$`)
)

func accountFile(v any) bool {
	s, _ := v.(string)
	return ownFile().MatchString(s)
}

// judgeBuild is for the builds of flows, with edit; data replaces a flow's nodes.
func judgeBuild(a *asked) *objection {
	if !a.edit {
		return reject("a build shows what components hand to each other, and may replace them: add a client with the scope edit")
	}
	if wrong := a.queryOf(map[string]field{
		"stop_component_id": text, "start_component_id": text, "log_builds": truth, "flow_name": text, "event_delivery": oneOf("polling", "streaming", "direct"),
	}); wrong != nil || len(a.body) == 0 {
		return wrong
	}
	v, wrong := a.json()
	if wrong != nil {
		return wrong
	}
	if said := object(v, buildFields); said != "" {
		return rejectEdit(said)
	}
	parts := strings.Split(a.route, "/")
	if len(parts) != 3 {
		return reject("this client may build whole flows: add a client with the scope proxy")
	}
	return a.data(v.(map[string]any)["data"], parts[1])
}

func rejectEdit(said string) *objection {
	return reject("%s: the scope edit writes flows without code; add a client with the scope proxy", said)
}

// flow judges a flow that is written; id is that of the flow that it replaces, "" for
// none.
func (a *asked) flow(v any, id string) *objection {
	nodes, wrong := a.graph(v, id)
	if wrong != nil {
		return wrong
	}
	return a.results(nodes, id)
}

// graph judges a flow that is written by itself, and returns its nodes, whose results
// are to be looked at; none if they are as they are stored.
func (a *asked) graph(v any, id string) (nodes []any, wrong *objection) {
	if said := object(v, flowFields); said != "" {
		return nil, rejectEdit(said)
	}
	flow := v.(map[string]any)
	if wrong := a.exposure(flow, id); wrong != nil {
		return nil, wrong
	}
	return a.nodes(flow["data"], id)
}

// data judges a flow's nodes and edges.
func (a *asked) data(v any, id string) *objection {
	nodes, wrong := a.nodes(v, id)
	if wrong != nil {
		return wrong
	}
	return a.results(nodes, id)
}

func (a *asked) nodes(v any, id string) (nodes []any, wrong *objection) {
	if v == nil {
		return nil, nil
	}
	known, wrong := a.known()
	if wrong != nil {
		return nil, wrong
	}
	said := plainFlow(v, known)
	if said == "" {
		nodes, _ = v.(map[string]any)["nodes"].([]any)
		return nodes, nil
	}
	if uuid().MatchString(id) {
		if stored, err := a.stored(id); err == nil && sameFlow(stored["data"], v) {
			return nil, nil
		}
	}
	return nil, rejectEdit(said + "; a flow that this client could not have written stays as it is, all of it")
}

// known are the server's own plain components.
func (a *asked) known() (map[string]component, *objection) {
	known, err := a.server.components(a.ctx)
	if err != nil {
		return nil, unreachable("the server's own components can't be had, and so the flow can't be checked", err)
	}
	return known, nil
}

// plainFlow says what of a flow is not plain, "" if all is.
func plainFlow(v any, known map[string]component) string {
	if said := object(v, map[string]field{"nodes": listOf(optionalObject), "edges": listOf(optionalObject), "viewport": optionalObject}); said != "" {
		return "the flow's data is not plain: " + said
	}
	flow := v.(map[string]any)
	types := map[string]string{} // of nodes, by their ids
	fields := map[string][]string{}
	nodes, _ := flow["nodes"].([]any)
	// This comes first: any other objection to such a flow would name a component that
	// is not the reason.
	for _, n := range nodes {
		kind, _ := inner(n, "data", "type").(string)
		if _, ok := known[kind]; !ok && inner(n, "type") == "genericNode" {
			return fmt.Sprintf("the flow has the component %.60q, a %.60q, which may run code or reach further with values alone", inner(n, "id"), kind)
		}
	}
	for _, n := range nodes {
		node, _ := n.(map[string]any)
		id, _ := node["id"].(string)
		data, _ := node["data"].(map[string]any)
		kind, _ := data["type"].(string)
		if _, twice := types[id]; twice || id == "" || data["id"] != id {
			return fmt.Sprintf("two components of the flow have the id %.60q, or one has none", id)
		}
		types[id] = kind
		if node["type"] == "noteNode" && kind == "note" {
			inner, _ := data["node"].(map[string]any)
			template, _ := inner["template"].(map[string]any)
			for name, field := range template {
				if _, plain := field.(string); !plain {
					return fmt.Sprintf("a note has the field %.60q", name)
				}
			}
			if inner["flow"] != nil {
				return "a note has a flow in it"
			}
			continue
		}
		if node["type"] != "genericNode" {
			return fmt.Sprintf("the component %.60q is of a kind that is not known", id)
		}
		more, said := plainNode(kind, data["node"], known)
		if said != "" {
			return fmt.Sprintf("the component %.60q %s", id, said)
		}
		fields[id] = more
	}
	edges, _ := flow["edges"].([]any)
	for _, e := range edges {
		if said := plainEdge(e, types, fields, known); said != "" {
			return said
		}
	}
	return ""
}

// plainNode says what of a component is not plain, and which fields of it may have
// values, from edges too.
func plainNode(kind string, v any, known map[string]component) (fields []string, said string) {
	own, ok := known[kind]
	if !ok {
		return nil, fmt.Sprintf("is a %.60q, which may run code or reach further with values alone", kind)
	}
	node, _ := v.(map[string]any)
	if f, _ := node["flow"].(map[string]any); len(f) > 0 || node["flow"] != nil && f == nil {
		return nil, "has a flow in it"
	}
	if tool, ok := node["tool_mode"].(bool); tool || !ok && node["tool_mode"] != nil {
		return nil, "is a tool"
	}
	outputs, isList := node["outputs"].([]any)
	if !isList && node["outputs"] != nil {
		return nil, "has outputs that are none"
	}
	for _, o := range outputs {
		output, _ := o.(map[string]any)
		name, _ := output["name"].(string)
		if method, _ := output["method"].(string); method == "" || own.outputs[name] != method {
			return nil, fmt.Sprintf("has an output %.60q that the server's does not have", name)
		}
	}
	template, _ := node["template"].(map[string]any)
	fields = slices.Clone(plainComponents[kind])
	for name, v := range template {
		mine, given := own.template[name]
		if !given {
			if !slices.Contains(promptComponents, kind) || !promptField(name, v) {
				return nil, fmt.Sprintf("has a field %.60q that the server's does not have", name)
			}
			fields = append(fields, name)
			continue
		}
		if name == "code" {
			if !sameJSON(bare(v, "value"), bare(mine, "value")) || codeOf(v) == "" || codeOf(v) != codeOf(mine) {
				return nil, "has code that is not the server's own"
			}
			continue
		}
		free := slices.Contains(plainComponents[kind], name)
		if free {
			if value, _ := v.(map[string]any); !plainValue(value["value"]) {
				return nil, fmt.Sprintf("has a value of %.60q that is no text, number or truth", name)
			}
			v, mine = bare(v, "value"), bare(mine, "value")
		}
		if !sameJSON(bare(v), bare(mine)) {
			return nil, fmt.Sprintf("has a field %.60q that is not as the server's own", name)
		}
	}
	if _, ok := template["code"]; !ok {
		return nil, "has no code"
	}
	if template["_type"] == nil {
		return nil, "has no _type"
	}
	return fields, ""
}

// bare is a field without what only the editor reads, and without more.
func bare(v any, more ...string) any {
	o, ok := v.(map[string]any)
	if !ok {
		return v
	}
	o = maps.Clone(o)
	for _, name := range append(more, "show", "advanced", "placeholder", "info", "api_editable") {
		delete(o, name)
	}
	return o
}

func codeOf(v any) string {
	o, _ := v.(map[string]any)
	code, _ := o["value"].(string)
	return code
}

func plainValue(v any) bool {
	switch v.(type) {
	case nil, string, bool, number:
		return true
	}
	return false
}

// promptField tells whether a field is one of a prompt's template: text, of no
// variable and no file.
func promptField(name string, v any) bool {
	o, ok := v.(map[string]any)
	return ok && promptName().MatchString(name) && name != "code" && o["type"] == "str" && (o["name"] == name || o["name"] == nil) && (o["display_name"] == name || o["display_name"] == nil) &&
		falsehood(o["load_from_db"]) && nothing(o["file_path"]) && plainValue(o["value"]) && nothing(o["_input_type"])
}

// plainEdge says what of an edge is not plain. Langflow reads what it connects from
// data, and from the texts beside it where that is empty.
func plainEdge(v any, types map[string]string, fields map[string][]string, known map[string]component) string {
	edge, _ := v.(map[string]any)
	data, _ := edge["data"].(map[string]any)
	source, _ := data["sourceHandle"].(map[string]any)
	target, _ := data["targetHandle"].(map[string]any)
	from, _ := edge["source"].(string)
	to, _ := edge["target"].(string)
	output, _ := source["name"].(string)
	input, _ := target["fieldName"].(string)
	_, has := known[types[from]].outputs[output]
	if !has || source["id"] != from || target["id"] != to || !slices.Contains(fields[to], input) {
		return fmt.Sprintf("an edge of the flow leads from %.60q to the field %.60q of %.60q, which takes none", from, input, to)
	}
	for name, handle := range map[string]any{"sourceHandle": source, "targetHandle": target} {
		if written, _ := edge[name].(string); written != "" {
			if read, err := parseJSON([]byte(strings.ReplaceAll(written, "œ", `"`))); err != nil || !sameJSON(read, handle) {
				return fmt.Sprintf("an edge of the flow says in %s what it does not say in data", name)
			}
		} else if edge[name] != nil && edge[name] != "" {
			return fmt.Sprintf("an edge of the flow has a %s that is no text", name)
		}
	}
	return ""
}

// sameFlow tells whether two flows run the same: their nodes but for where they
// stand, and their edges.
func sameFlow(stored, sent any) bool {
	a, ok := stored.(map[string]any)
	b, also := sent.(map[string]any)
	if !ok || !also {
		return false
	}
	for name := range b {
		if name != "viewport" && name != "nodes" && name != "edges" && !sameJSON(a[name], b[name]) {
			return false
		}
	}
	return sameJSON(essence(a["nodes"], nodeFields...), essence(b["nodes"], nodeFields...)) &&
		sameJSON(essence(a["edges"], "source", "target", "sourceHandle", "targetHandle", "data"), essence(b["edges"], "source", "target", "sourceHandle", "targetHandle", "data"))
}

// nodeFields are those of a node that count when a flow runs.
var nodeFields = []string{"id", "type", "data", "parentNode"}

// essence has of each object of a list the named fields.
func essence(v any, names ...string) any {
	list, ok := v.([]any)
	if !ok {
		return v
	}
	all := make([]any, len(list))
	for i, one := range list {
		o, ok := one.(map[string]any)
		if !ok {
			return v
		}
		some := map[string]any{}
		for _, name := range names {
			some[name] = o[name]
		}
		all[i] = some
	}
	return all
}

// sameJSON compares two values of parseJSON; numbers by their value.
func sameJSON(a, b any) bool { return reflect.DeepEqual(counted(a), counted(b)) }

// counted has numbers that are written in different ways be the same.
func counted(v any) any {
	switch v := v.(type) {
	case number:
		const exact = 1 << 53
		if f, err := strconv.ParseFloat(string(v), 64); err == nil && f > -exact && f < exact {
			return f
		}
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = counted(v[i])
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for name := range v {
			all[name] = counted(v[name])
		}
		return all
	}
	return v
}

// component is one of the server's own.
type component struct {
	template map[string]any
	outputs  map[string]string // their methods, by their names
}

// upstreamAsk asks the profile's server, as its account.
type upstreamAsk struct {
	h       *Handler
	get     func(ctx context.Context, path, query string) (*http.Response, error)
	version string
}

// ask returns what a GET is answered.
func (u upstreamAsk) ask(ctx context.Context, path string) (v any, err error) {
	err = u.read(ctx, path, "", answerBytes, func(answer io.Reader) error {
		said, err := io.ReadAll(answer)
		if err != nil {
			return err
		}
		if len(said) > answerBytes {
			return fmt.Errorf("%s is answered with more than %d bytes", path, answerBytes)
		}
		v, err = parseJSON(said)
		return err
	})
	return v, err
}

// read has take read what a GET is answered, most bytes and one more, within a
// minute.
func (u upstreamAsk) read(ctx context.Context, path, query string, most int64, take func(answer io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	res, err := u.get(ctx, path, query)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var body io.Reader = res.Body
	if strings.EqualFold(res.Header.Get("Content-Encoding"), "gzip") {
		if body, err = gzip.NewReader(body); err != nil {
			return err
		}
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is answered %d", path, res.StatusCode)
	}
	return take(io.LimitReader(body, most+1))
}

// componentCache has what was asked last of the server's own components.
type componentCache struct {
	sync.Mutex // protects the following
	version    string
	until      time.Time
	known      map[string]component
}

// components are those of plainComponents that the server has. They are asked for
// again when its version changes, and after a while: the server's administrator may
// have added some.
func (u upstreamAsk) components(ctx context.Context) (map[string]component, error) {
	c := &u.h.known
	c.Lock()
	defer c.Unlock() // over the request: all others wait for the same
	if c.known != nil && c.version == u.version && time.Now().Before(c.until) {
		return c.known, nil
	}
	v, err := u.ask(ctx, "/api/v1/all")
	if err != nil {
		return nil, err
	}
	groups, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("/api/v1/all is no object")
	}
	known := map[string]component{}
	for _, group := range groups {
		all, _ := group.(map[string]any)
		for name, one := range all {
			if _, plain := plainComponents[name]; !plain {
				continue
			}
			node, _ := one.(map[string]any)
			template, _ := node["template"].(map[string]any)
			if _, twice := known[name]; twice || codeOf(template["code"]) == "" {
				return nil, fmt.Errorf("/api/v1/all has %q twice, or without code", name)
			}
			k := component{template, map[string]string{}}
			outputs, _ := node["outputs"].([]any)
			for _, o := range outputs {
				output, _ := o.(map[string]any)
				name, _ := output["name"].(string)
				k.outputs[name], _ = output["method"].(string)
			}
			known[name] = k
		}
	}
	c.known, c.version, c.until = known, u.version, time.Now().Add(componentsFor)
	return known, nil
}

// asker makes what a check asks the server with.
func (h *Handler) asker(version string) upstreamAsk {
	return upstreamAsk{h: h, version: version, get: func(ctx context.Context, path, query string) (*http.Response, error) {
		upstream, transport, err := h.Source.Upstream(h.Profile)
		if err != nil {
			return nil, err
		}
		used, err := h.credential(ctx, false)
		if err != nil {
			return nil, err
		}
		u := *upstream
		u.Path, u.RawPath, u.RawQuery = strings.TrimSuffix(upstream.Path, "/")+path, "", query
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("User-Agent", "langkeep/proxy")
		used.put(req.Header)
		req.Header.Set("Accept-Encoding", "gzip")
		res, err := transport.RoundTrip(req)
		if err == nil && langflow.RefusesCredential(res) {
			h.tell(used)
		}
		return res, err
	}}
}
