package gateway

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"langkeep/agent/langflow"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// jwt is a token that ends at a time.
func jwt(end time.Time) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"RS256"}`) + "." + part(fmt.Sprintf(`{"sub":"ann","exp":%d}`, end.Unix())) + "." + part("signature")
}

func TestOutputs(t *testing.T) {
	in, hour, soon := noon.Add(anyLifetime), noon.Add(time.Hour), noon.Add(time.Minute)
	for name, tc := range map[string]struct {
		header, printed string
		headers         string // "Name: value" in order of the names, with | between
		token           string
		end             time.Time
	}{
		"a line":                  {"", "opaque\n", "Authorization: Bearer opaque", "opaque", in},
		"a line with CRLF":        {"", "opaque\r\n\r\n", "Authorization: Bearer opaque", "opaque", in},
		"a byte order mark":       {"", "\ufeffopaque\n", "Authorization: Bearer opaque", "opaque", in},
		"the scheme before it":    {"", "bearer opaque\n", "Authorization: Bearer opaque", "opaque", in},
		"a JWT":                   {"", jwt(hour), "Authorization: Bearer " + jwt(hour), jwt(hour), hour},
		"a header of its own":     {"cf-access-token", jwt(hour) + "\n", "Cf-Access-Token: " + jwt(hour), jwt(hour), hour},
		"a value with a space":    {"Proxy-Authorization", "Basic dTpw", "Proxy-Authorization: Basic dTpw", "Basic dTpw", in},
		"a token without scheme":  {"X-Serverless-Authorization", jwt(hour), "X-Serverless-Authorization: Bearer " + jwt(hour), jwt(hour), hour},
		"a token with its scheme": {"Proxy-Authorization", "Bearer " + jwt(hour), "Proxy-Authorization: Bearer " + jwt(hour), "Bearer " + jwt(hour), hour},
		"JSON":                    {"", `{"headers":{"apikey":"k"}}`, "Apikey: k", "", in},
		"JSON on many lines":      {"", "{\n \"headers\": {\n  \"a\": \"1\",\n \"B\": \"2\"}\n}\n", "A: 1|B: 2", "", in},
		"JSON with an end":        {"x", `{"headers":{"Authorization":"Bearer t"},"expires_at":"2026-11-28T14:00:00+01:00"}`, "Authorization: Bearer t", "t", hour},
		"JSON, its end far away":  {"", `{"headers":{"a":"x"},"expires_at":"9999-12-31T23:59:59-23:59"}`, "A: x", "", noon.Add(langflow.MaxLifetime)},
		"JSON, its end long ago":  {"", `{"headers":{"a":"x"},"expires_at":"0000-01-01T00:00:00+23:59"}`, "A: x", "", time.Unix(0, 0)},
		"JSON, its end unknown":   {"", `{"headers":{"Authorization":"Basic dTpw"},"expires_at":null}`, "Authorization: Basic dTpw", "", in},
		"JSON with two JWTs":      {"", `{"headers":{"Authorization":"Bearer ` + jwt(hour) + `","a":"` + jwt(soon) + `"}}`, "A: " + jwt(soon) + "|Authorization: Bearer " + jwt(hour), jwt(hour), soon},
		"an end before the JWT's": {"", `{"headers":{"a":"` + jwt(hour) + `"},"expires_at":"2026-11-28T12:01:00Z"}`, "A: " + jwt(hour), "", soon},
		"something of its own":    {"", `{"kind":"x","headers":{"a":"1"}}`, "A: 1", "", in},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := parseOutput([]byte(tc.printed), tc.header, noon)
			if err != nil {
				t.Fatal(err)
			}
			if got := shown(o); got != tc.headers || o.Token.Reveal() != tc.token || !o.ExpiresAt.Equal(tc.end) {
				t.Errorf("headers %s, token %q, end %v", got, o.Token.Reveal(), o.ExpiresAt)
			}
		})
	}
	for name, tc := range map[string]struct{ header, printed, says string }{
		"nothing":                {"", "", "printed nothing"},
		"empty lines":            {"", "\n \r\n", "printed nothing"},
		"two lines":              {"", "hunter2\nhunter2", "more than one line"},
		"a line with a space":    {"", "hunter2 hunter2", "a space"},
		"another scheme":         {"", "Basic hunter2", "a space"},
		"a control character":    {"", "hunter2\x00x", "control"},
		"UTF-16":                 {"", "h\x00u\x00n\x00t\x00", "control"},
		"no text":                {"", "hunter2\xff", "UTF-8"},
		"a header that is taken": {"Cookie", "hunter2", "Cookie"},
		"broken JSON":            {"", `{"headers":{"a":"hunter2"`, "JSON"},
		"JSON of other types":    {"", `{"headers":{"a":["hunter2"]}}`, "JSON"},
		"az's own JSON":          {"", `{"accessToken":"hunter2","expires_on":1800000000}`, "the token alone"},
		"empty headers":          {"", `{"headers":{}}`, "without headers"},
		"two answers":            {"", "{\"headers\":{\"a\":\"hunter2\"}}\n{}", "JSON"},
		"a name that is none":    {"", `{"headers":{"hunter2 hunter2":"x"}}`, "name"},
		"a value of two lines":   {"", `{"headers":{"a":"hunter2\nHost: x"}}`, "line break"},
		"one of HTTP's own":      {"", `{"headers":{"transfer-encoding":"hunter2"}}`, "Transfer-Encoding"},
		"one header twice":       {"", `{"headers":{"a":"hunter2","A":"hunter2"}}`, "twice"},
		"an end that is no time": {"", `{"headers":{"a":"x"},"expires_at":"hunter2"}`, "no time"},
		"an end as a number":     {"", `{"headers":{"a":"hunter2"},"expires_at":1800000000}`, "JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseOutput([]byte(tc.printed), tc.header, noon); err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want %q", err, tc.says)
			}
		})
	}
}

// shown lists an output's headers.
func shown(o Output) string {
	h := http.Header{}
	for name, value := range o.Headers {
		h[name] = []string{value.Reveal()}
	}
	var lines strings.Builder
	_ = h.Write(&lines) // sorts the names
	return strings.ReplaceAll(strings.TrimSuffix(lines.String(), "\r\n"), "\r\n", "|")
}

// With any output of a command, its headers can be sent as they are, it has an end, and an
// error quotes nothing of it.
func FuzzOutput(f *testing.F) {
	f.Add("hunter2hunter2\n", "")
	f.Add("\ufeffBearer hunter2hunter2\r\n", "authorization")
	f.Add(`{"headers":{"A":"hunter2hunter2","b_c":"Bearer `+jwt(noon)+`"},"expires_at":"2026-11-28T12:00:00Z"}`, "x")
	f.Add(`{"headers":{"hunter2hunter2":"\u0000"},"expires_at":"9999-12-31T23:59:59-23:00"}`, "")
	f.Add("{\"headers\":{\"Cookie\":\"hunter2hunter2\"}}{", "X-Api-Key")
	f.Fuzz(func(t *testing.T, printed, header string) {
		o, err := parseOutput([]byte(printed), header, noon)
		if err != nil {
			if strings.Contains(err.Error(), "hunter2hunter2") && !strings.Contains(header, "hunter2") {
				t.Error(err)
			}
			return
		}
		if len(o.Headers) == 0 || o.ExpiresAt.IsZero() || !utf8.ValidString(o.Token.Reveal()) {
			t.Errorf("%q is read as %s, until %v", printed, shown(o), o.ExpiresAt)
		}
		for name, value := range o.Headers {
			if err := CheckHeader(name, value.Reveal()); err != nil || name != http.CanonicalHeaderKey(name) {
				t.Errorf("%q gives %q: %v", printed, name, err)
			}
			if strings.ContainsAny(value.Reveal(), "\r\n\x00") {
				t.Errorf("%q gives a value of two lines", printed)
			}
		}
	})
}
