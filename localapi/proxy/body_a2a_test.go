package proxy

import (
	"net/http"
	"strings"
	"testing"
)

// TestA2A holds messages to agents to what they say.
func TestA2A(t *testing.T) {
	r := start(t, "", func(http.ResponseWriter, *http.Request) {})
	for body, want := range map[string]int{
		`{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"role":"user","parts":[{"kind":"text","text":"a"}]},"configuration":{"blocking":true}}}`: 200,
		`{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"id":"a"}}`:                                                                                            200,
		`{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{},"configuration":{"pushNotificationConfig":{"url":"http://evil.example"}}}}`:            400,
		`{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{},"configuration":{"push_notification_config":{"url":"http://evil.example"}}}}`:          400,
		`{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{},"configuration":{"taskPushNotificationConfig":{"url":"http://evil.example"}}}}`:        400,
		`{"jsonrpc":"2.0","id":1,"method":"tasks/pushNotificationConfig/set","params":{"id":"a"}}`:                                                                     0,
		`{"jsonrpc":"2.0","id":1,"method":"tasks/pushNotificationConfig/set","params":{"taskId":"a","pushNotificationConfig":{"url":"http://evil.example"}}}`:          400,
		`{"jsonrpc":"2.0","id":1,"method":"CreateTaskPushNotificationConfig","params":{"id":"a"}}`:                                                                     0,
		`[{"jsonrpc":"2.0","id":1,"method":"message/send","params":{}}]`:                                                                                               400,
	} {
		before := len(r.seen)
		res, said := r.ask("POST", "/api/v1/a2a/f/jsonrpc", body, "X-Api-Key: lk_run", "Content-Type: application/json")
		sent := len(r.seen) - before
		status := max(want, 200)
		if res.StatusCode != status || (sent == 1) != (want == 200) || want != 200 && !strings.Contains(said, `"error"`) {
			t.Errorf("%s: %d %s, %d sent on", body, res.StatusCode, said, sent)
		}
	}
}
