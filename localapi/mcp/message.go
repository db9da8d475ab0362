package mcp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// byteOrderMark may begin a client's messages and a server's answer (RFC 8259,
// section 8.1, lets a reader ignore it).
var byteOrderMark = []byte("\ufeff")

// envelope has the parts of a JSON-RPC 2.0 message that the relay needs. They are parts of
// the message's own text.
type envelope struct {
	text   []byte          // the message
	lines  bool            // it is written on more than one line
	id     json.RawMessage // as it is written; nil without one
	method string
	params json.RawMessage // as they are written; nil without any
	asks   bool            // it is a request: it has a method and an id
	answer bool            // it has a result or an error
}

// errNoJSON means that a text is no JSON.
var errNoJSON = errors.New("that is no json")

// open reads one message's envelope. It compares names of members exactly: for
// encoding/json's structs "ID" would be an id too. The error is errNoJSON, or says why the
// text is no message of JSON-RPC; the id is then nil unless an answer can carry it.
func open(message []byte) (envelope, error) {
	s := scanner{text: message}
	var id, method, params []byte
	answer := false
	s.space()
	isObject := s.next() == '{'
	if isObject && !s.object(0, func(name, value []byte) {
		switch nameOf(name) {
		case "id":
			id = value
		case "method":
			method = value
		case "params":
			params = value
		case "result", "error":
			answer = true
		}
	}) || !isObject && !s.value(0) {
		return envelope{}, errNoJSON
	}
	s.space()
	e := envelope{text: message, lines: s.lines, answer: answer}
	switch {
	case s.at < len(message):
		return envelope{}, errNoJSON
	case !isObject:
		return e, errors.New("a message is an object")
	}
	if id != nil {
		if _, ok := idValue(id); !ok {
			return e, errors.New("an id is a string or a number")
		}
		e.id = id
	}
	switch {
	case method == nil && !e.answer:
		return e, errors.New("it has no method")
	case method == nil:
		return e, nil
	}
	if err := json.Unmarshal(method, &e.method); err != nil || string(method) == "null" {
		return e, errors.New("its method is not a string")
	}
	e.asks, e.answer, e.params = e.id != nil, false, params
	return e, nil
}

// idValue is the id in one spelling for its value.
func (e envelope) idValue() string {
	value, _ := idValue(e.id) // open has checked it
	return value
}

// param is one of the parameters; nil if there is none of that name.
func (e envelope) param(name string) json.RawMessage { return memberOf(e.params, name) }

// cancels is the value of the id of the request that a notifications/cancelled names.
func (e envelope) cancels() (id string, ok bool) { return idValue(e.param("requestId")) }

// repeatable tells whether a server that gets the message twice does no more than one that
// gets it once.
func (e envelope) repeatable() bool {
	switch e.method {
	case "initialize", "server/discover", "ping", "tools/list", "prompts/list", "resources/list", "resources/templates/list":
		return e.asks
	}
	return false
}

// version is the protocol's version that a request names in itself, as those from
// 2026-07-28 on do; "" for an earlier protocol's.
func (e envelope) version() string {
	var version string
	_ = json.Unmarshal(memberOf(e.param("_meta"), "io.modelcontextprotocol/protocolVersion"), &version) // else it is the server's to refuse
	return version
}

// stateless tells whether a request belongs to no session: MCP has none since 2026-07-28.
func (e envelope) stateless() bool { return e.asks && e.version() != "" }

// named are the parameters that Mcp-Name repeats.
var named = map[string]string{"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}

// describe sets the headers that repeat parts of a message (MCP 2026-07-28, Streamable
// HTTP, "Request Metadata"). Servers of an earlier protocol ignore them.
func (e envelope) describe(h http.Header) {
	if e.method == "" {
		return
	}
	if version := e.version(); headerSafe(version) && version != "" {
		h.Set("Mcp-Protocol-Version", version)
	}
	if headerSafe(e.method) {
		h.Set("Mcp-Method", e.method)
	}
	var name string
	if json.Unmarshal(e.param(named[e.method]), &name) == nil && named[e.method] != "" {
		h.Set("Mcp-Name", headerValue(name))
	}
}

// headerValue is a text as the value of a header, by that section's "Value Encoding".
func headerValue(text string) string {
	const begin, end = "=?base64?", "?="
	if headerSafe(text) && !(strings.HasPrefix(text, begin) && strings.HasSuffix(text, end)) {
		return text
	}
	return begin + base64.StdEncoding.EncodeToString([]byte(text)) + end
}

// headerSafe tells whether a header can have a text as its value, as it is.
func headerSafe(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return strings.Trim(text, " \t") == text
}

// answers tells whether e is the answer to a request. Each side writes an id in
// its own way ("a\/b" and "a/b", 1 and 1.0), so the values count.
func (e envelope) answers(request envelope) bool {
	if !e.answer || e.id == nil || !request.asks {
		return false
	}
	return e.idValue() == request.idValue()
}

// idValue writes an id in one spelling for its value; false for a value that is neither
// a string, a number nor null.
func idValue(id json.RawMessage) (string, bool) {
	d := json.NewDecoder(bytes.NewReader(id))
	d.UseNumber()
	var value any
	if d.Decode(&value) != nil {
		return "", false
	}
	switch v := value.(type) {
	case nil:
		return "null", true
	case string:
		return `"` + v, true
	case json.Number:
		return numberValue(strings.ToLower(v.String())), true
	}
	return "", false
}

// numberValue writes a JSON number as digits without zeros at either end, and an
// exponent. It works on the text: 1e999999999 costs nothing, and no digit is rounded
// away.
func numberValue(number string) string {
	mantissa, exponent, _ := strings.Cut(number, "e")
	power := int64(0)
	if exponent != "" {
		var err error
		if power, err = strconv.ParseInt(exponent, 10, 32); err != nil {
			return number // no id is that large
		}
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0"
	}
	short := strings.TrimRight(digits, "0")
	power += int64(len(digits) - len(short) - len(fraction))
	sign := ""
	if negative {
		sign = "-"
	}
	return sign + short + "e" + strconv.FormatInt(power, 10)
}

// members returns the messages of a batch, false for a text that is none. Only MCP
// 2025-03-26 had batches; the relay sends each member on its own.
func members(text []byte) (batch [][]byte, ok bool) {
	s := scanner{text: text}
	s.space()
	if s.next() != '[' || !s.array(0, func(element []byte) { batch = append(batch, element) }) {
		return nil, false
	}
	s.space()
	return batch, s.at == len(text)
}
