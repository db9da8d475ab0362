package gateway

import (
	"strings"
	"testing"
)

func TestCheckHeader(t *testing.T) {
	for _, ok := range [][2]string{
		{"CF-Access-Client-Id", "a.access"}, {"Authorization", "Basic dTpw"}, {"proxy-authorization", "Bearer x"},
		{"X-Serverless-Authorization", "Bearer x"}, {"apikey", "k"}, {"X-API-Gateway-Key", "ü k"}, {"x!#$%&'*+.^_`|~9", "v"},
	} {
		if err := CheckHeader(ok[0], ok[1]); err != nil {
			t.Errorf("%s: %v", ok[0], err)
		}
	}
	for _, bad := range []struct{ name, value, says string }{
		{"", "v", "character"}, {"A B", "v", "character"}, {"A:", "v", "character"}, {"A\r\nB", "v", "character"},
		{"Ä", "v", "character"}, {":path", "v", "character"}, {"A(", "v", "character"},
		{"X", "", "empty"}, {"X", " \t", "empty"}, {"X", "a\r\nHost: b", "line break"}, {"X", "a\nb", "line break"},
		{"X", "a\x00b", "control"}, {"X", "a\x7fb", "control"}, {"X", "a\u0085b", "control"}, {"X", "a\tb", "control"}, {"X", "a\xffb", "UTF-8"},
		{"host", "v", "Host"}, {"COOKIE", "v", "Cookie"}, {"set-cookie", "v", "Set-Cookie"}, {"Content-length", "v", "Content-Length"},
		{"connection", "v", "Connection"}, {"transfer-encoding", "v", "Transfer-Encoding"}, {"upgrade", "v", "Upgrade"}, {"TE", "v", "Te"},
		{"trailer", "v", "Trailer"}, {"keep-alive", "v", "Keep-Alive"}, {"proxy-connection", "v", "Proxy-Connection"},
		{"expect", "v", "Expect"}, {"accept-encoding", "v", "Accept-Encoding"}, {"x-api-key", "v", "X-Api-Key"}, {"x_api_key", "v", "X-Api-Key"},
		{"accept", "v", "Accept"}, {"User-Agent", "v", "User-Agent"}, {"content-type", "v", "Content-Type"},
		{"sec-websocket-key", "v", "Sec-"}, {"X-LANGFLOW-GLOBAL-VAR-A", "v", "X-Langflow-"}, {"x_langflow_session", "v", "X-Langflow-"}, {"Mcp-Session-Id", "v", "Mcp-"},
	} {
		if err := CheckHeader(bad.name, bad.value); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%q: %q: %v, want %q", bad.name, bad.value, err, bad.says)
		}
	}
}
