package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"langkeep/agent/secret"
)

// answers gives every request the same answer.
type answers struct{ kind, body, session string }

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return &http.Response{StatusCode: 405, Body: http.NoBody, Request: r}, nil
	}
	return &http.Response{
		StatusCode: 200, Header: http.Header{"Content-Type": {a.kind}, "Mcp-Session-Id": {a.session}}, Request: r, Body: io.NopCloser(strings.NewReader(a.body)),
	}, nil
}

// Whatever a client writes and a server answers, what the client reads is one
// JSON value a line.
func FuzzRelay(f *testing.F) {
	const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}` + "\n"
	f.Add(initialize, "application/json", `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18"}}`, "s")
	f.Add(initialize+`{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n[]\n", "text/event-stream", "data: {\"id\":1,\ndata: \"result\":{}}\n\n", "a b\r\nX: y")
	f.Add("{\n\nnull\n7\n"+`{"id":{},"method":"\n"}`, "text/event-stream; x=y", "event: x\ndata: {}\n\ndata: \x1b\n\n", "")
	f.Add(`{"id":"\u2028","method":"ping"}`, "text/html", "<html>", "\x00")
	f.Add(`[{"id":1,"method":"a"},{"id":1,"method":"a"}]`, "application/json", "[{\"id\":1}\n,\n{}]", "")
	f.Add("\ufeff"+`{"id":"a\/b","method":"initialize"}`, "application/json", "\ufeff[{\"id\":\"a/b\",\"result\":{}}]", "s")
	f.Add(`{"id":1,"method":"m"}`, "text/event-stream", "\ufeffdata: [{\"id\":1.0,\"result\":{}},7]\r\r", "s")
	f.Fuzz(func(t *testing.T, in, kind, body, session string) {
		var out bytes.Buffer
		err := Run(context.Background(), Config{
			URL: "http://127.0.0.1:1/api/v1/mcp/streamable", Token: secret.New("lk_x"), Client: &http.Client{Transport: answers{kind, body, session}},
			In: strings.NewReader(in), Out: &out, Warn: func(string) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(out.Bytes()) {
			if !json.Valid(line) || !bytes.HasSuffix(line, []byte("\n")) {
				t.Errorf("the client reads %q", line)
			}
			if bytes.Contains(line, []byte("lk_x")) && !strings.Contains(in+body, "lk_x") {
				t.Errorf("the client reads a token: %q", line)
			}
		}
	})
}
