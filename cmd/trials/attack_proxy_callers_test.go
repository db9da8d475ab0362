package trials

import (
	"strings"
	"testing"
	"time"
)

// Tools put their key in many places.
func TestAttackProxyCallers(t *testing.T) {
	const version = "GET /api/v1/version"
	places := func(token string) []string {
		return []string{
			version + toProd + "X-Api-Key: " + token + "\n", version + toProd + "Authorization: Bearer " + token + "\n", version + "?x-api-key=" + token + toProd,
			version + "?a=b&X-Api-Key=" + token + toProd, version + "?%78-api-key=" + token + toProd, version + toProd + "authorization: BEARER  " + token + "\n",
		}
	}
	everywhere := func(token, want string) func(*testing.T, *between) string {
		return func(t *testing.T, b *between) string {
			for _, place := range places(token) {
				b.words["it"] = ""
				b.try(t, trick{request: place + "\n", want: want})
			}
			return answersSaid(want)
		}
	}
	tricks(t, []trick{
		{tried: "no token; a client's in each place that one may be: `x-api-key`, `Authorization: Bearer`, `?x-api-key=`, in any case",
			run: func(t *testing.T, b *between) string {
				none := trick{request: version + toProd + "\n", want: "401 unauthorized"}
				b.try(t, none)
				return none.said() + "; and " + everywhere("{whole}", "200")(t, b) + ", with nothing of the token on the way to the server"
			}},
		{tried: "a wrong token in each place, a part of a right one, one with more, one in another case",
			run: func(t *testing.T, b *between) string {
				var said string
				whole := b.words["whole"]
				for _, token := range []string{"lk_" + strings.Repeat("A", 43), whole[:45], whole[:20], whole[3:], whole + "A", strings.ToUpper(whole), "lk_", "%00", "sk-stale"} {
					said = everywhere(token, "401 unauthorized")(t, b)
				}
				return said
			}},
		{tried: "the owner's token, in each place: it would give a tool every right", run: everywhere("{owner}", "403 forbidden")},
		{tried: "a client of another profile", run: everywhere("{stranger}", "403 forbidden")},
		{tried: "a client with `read`, `token`, `api-key` and `manage`, but neither `run` nor `proxy`", run: everywhere("{reader}", "403 forbidden")},
		{tried: "a token that was revoked, and one whose time is over", run: func(t *testing.T, b *between) string {
			everywhere("{revoked}", "401 unauthorized")(t, b)
			for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(50 * time.Millisecond) {
				b.words["it"] = ""
				if b.send(t, "prod", version+toProd+"X-Api-Key: {over}\n\n", 1) == "401 unauthorized" {
					break
				}
			}
			b.server.take()
			return everywhere("{over}", "401 unauthorized")(t, b)
		}},
		{tried: "what the server itself takes: its access token, and the managed key", run: func(t *testing.T, b *between) string {
			everywhere("{access}", "401 unauthorized")(t, b)
			return everywhere("{key}", "401 unauthorized")(t, b) + ": whoever has one needs no proxy"
		}},
		{tried: "the right token where the proxy does not look: a cookie, `api_key` as header or query, `?token=`, Basic, `Proxy-Authorization`, the body",
			request: "{it}\n\n", want: "401 unauthorized",
			each: []string{version + " HTTP/1.1\nHost: {prod}\nCookie: x-api-key={whole}", version + " HTTP/1.1\nHost: {prod}\napi_key: {whole}", version + "?api_key={whole} HTTP/1.1\nHost: {prod}",
				version + "?token={whole} HTTP/1.1\nHost: {prod}", version + " HTTP/1.1\nHost: {prod}\nAuthorization: Basic {whole}", version + " HTTP/1.1\nHost: {prod}\nAuthorization: {whole}",
				version + " HTTP/1.1\nHost: {prod}\nProxy-Authorization: Bearer {whole}", "POST /api/v1/version HTTP/1.1\nHost: {prod}\nContent-Length: 56\n\nx-api-key={whole}"}},
		{tried: "two of ours, a wrong one first: in two headers, in header and query, in header and bearer",
			request: version + "{it}\n\n", want: "401 unauthorized", why: "the first of ours counts",
			each: []string{" HTTP/1.1\nHost: {prod}\nX-Api-Key: lk_wrong\nX-Api-Key: {whole}", "?x-api-key={whole} HTTP/1.1\nHost: {prod}\nX-Api-Key: lk_wrong",
				" HTTP/1.1\nHost: {prod}\nAuthorization: Bearer {whole}\nX-Api-Key: {revoked}", "?x-api-key=lk_wrong&x-api-key={whole} HTTP/1.1\nHost: {prod}"}},
		{tried: "two, of which the narrower comes first: a client that only runs flows, with the whole account's token behind it",
			request: "GET /api/v1/flows/{it}\n\n", want: "403 forbidden", why: "rights do not add up",
			each: []string{" HTTP/1.1\nHost: {prod}\nX-Api-Key: {run}\nX-Api-Key: {whole}", "?x-api-key={whole} HTTP/1.1\nHost: {prod}\nAuthorization: Bearer {run}"}},
		{tried: "a right token beside stale keys of the server's, in every place that Langflow reads one from",
			want: "200", request: "GET /api/v1/users/whoami?x-api-key=sk-stale&api_key=stale&API_KEY=stale&x%2dapi-key=stale" + toProd + asWhole + "{it}\n\n",
			each: []string{"Authorization: Bearer stale", "X-Api-Key: sk-stale", "api_key: stale", "API_KEY: stale", "Cookie: access_token_lf=stale; apikey_tkn_lflw=stale", "X-Langflow-Mcp-Composer-Token: stale",
				"Proxy-Authorization: Basic stale"},
			sent: sentAs("GET /api/v1/users/whoami"), why: "none of the stale ones gets there"},
		{tried: "stale credentials in a WebSocket's query, which takes `token` as well", want: "200",
			request: "GET /api/v1/voice/ws/flow_tts/x?token=stale&a=b&api_key=stale&Token=stale" + toProd + asWhole + "Connection: Upgrade\nUpgrade: websocket\n\n", sent: sentAs("GET /api/v1/voice/ws/flow_tts/x?a=b")},
	})
}
