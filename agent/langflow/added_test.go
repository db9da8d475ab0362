package langflow

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// adding is a way that adds a gateway's headers, to a server that repeats them.
type adding struct{}

func (adding) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r.Clone(r.Context())
	sent.Header.Set("X-Pass", "HEADERSECRET")
	sent.Header.Set("Authorization", "Basic BASICSECRET")
	sent.Header.Set("Cookie", "a=COOKIESECRET")
	body := `{"detail":"not valid: HEADERSECRET, BASICSECRET, COOKIESECRET"}`
	return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: sent}, nil
}

// A gateway that repeats what it was sent puts no secret into an error.
func TestGatewayRepeatsItsHeaders(t *testing.T) {
	c, err := New("https://a.example", Options{Transport: adding{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Version(t.Context()); err == nil || !strings.Contains(err.Error(), "not valid") || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("got %v", err)
	}
}
