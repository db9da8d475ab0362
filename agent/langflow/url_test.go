package langflow_test

import (
	"errors"
	"strings"
	"testing"

	"langkeep/agent/langflow"
)

func TestParseURL(t *testing.T) {
	for _, tt := range []struct{ raw, want, origin string }{
		{"https://Host.Example", "https://host.example", "https://host.example"},
		{" https://host/ ", "https://host", "https://host"},
		{"HTTPS://host:443/", "https://host", "https://host"},
		{"http://127.0.0.1:80", "http://127.0.0.1", "http://127.0.0.1"},
		{"https://host:80", "https://host:80", "https://host:80"},
		{"https://host:", "https://host", "https://host"},
		{"http://[::1]:7860/", "http://[::1]:7860", "http://[::1]:7860"},
		{"http://[::1]:80/", "http://[::1]", "http://[::1]"},
		{"https://host/team/a/", "https://host/team/a", "https://host"},
		{"https://host/Team/A//", "https://host/Team/A", "https://host"},
		{"https://host/team/a/api/v1", "https://host/team/a", "https://host"},
		{"https://host/api/v1/login", "https://host", "https://host"},
		{"https://host/api/v12", "https://host/api/v12", "https://host"},
		{"https://host/te am", "https://host/te%20am", "https://host"},
		{"https://host?", "https://host", "https://host"},
		// One host, however it is written.
		{"https://b\u00fccher.example:8443/a", "https://xn--bcher-kva.example:8443/a", "https://xn--bcher-kva.example:8443"},
		{"https://B\u00dcCHER.example", "https://xn--bcher-kva.example", "https://xn--bcher-kva.example"},
		{"https://bu\u0308cher.example", "https://xn--bcher-kva.example", "https://xn--bcher-kva.example"}, // decomposed, as on a Mac
		{"https://b%C3%BCcher.example", "https://xn--bcher-kva.example", "https://xn--bcher-kva.example"},
		{"https://XN--BCHER-KVA.example", "https://xn--bcher-kva.example", "https://xn--bcher-kva.example"},
		{"https://stra\u00dfe.example", "https://xn--strae-oqa.example", "https://xn--strae-oqa.example"},
		{"https://b\u00fccher\u3002example", "https://xn--bcher-kva.example", "https://xn--bcher-kva.example"},
		{"https://\uff48ost.example", "https://host.example", "https://host.example"},
		{"https://host.example.", "https://host.example", "https://host.example"},
		{"http://[0:0:0:0:0:0:0:1]:7860", "http://[::1]:7860", "http://[::1]:7860"},
		{"https://my_langflow", "https://my_langflow", "https://my_langflow"}, // of a container
	} {
		got, err := langflow.ParseURL(tt.raw)
		if err != nil || got != tt.want {
			t.Errorf("ParseURL(%q) = %q, %v; want %q", tt.raw, got, err, tt.want)
		}
		if again, err := langflow.ParseURL(got); err != nil || again != got {
			t.Errorf("ParseURL(%q) = %q, %v; want it unchanged", got, again, err)
		}
		if origin, err := langflow.Origin(tt.raw); err != nil || origin != tt.origin {
			t.Errorf("Origin(%q) = %q, %v; want %q", tt.raw, origin, err, tt.origin)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for raw, hint := range map[string]string{
		"":                              "https://host",
		"host.example":                  "no scheme",
		"localhost:7860":                "no scheme",
		"ftp://host":                    "use https or http",
		"https://":                      "names no host",
		"https://:443":                  "names no host",
		"https://host:0":                "ports are",
		"https://host:65536":            "ports are",
		"https://host:x":                "can't be read",
		"https://b\u00fc\u2028.example": "no name of the DNS",
		"https://b%FFcher.example":      "no name of the DNS",
		"https://me:swordfish@host":     "user name or password",
		"https://swordfish@host":        "user name or password",
		"https://host/?k=swordfish":     "before any ?",
		"https://host/#swordfish":       "before any ?",
		"https://me:swordfish@h:x":      "can't be read",
		"https://host/a/../b":           "odd path",
		"https://host/a//b":             "odd path",
		"https://host/a%2fb":            "odd path",
		"https://host/a%5cb":            "odd path",
		"https://host/a%0ab":            "odd path",
		"https://host/a;b":              "odd path",
		"https://host/a\\b":             "odd path",
		"https://host/a\nswordfish":     "can't be read",
		"https://ho\x1b[31mst/a":        "can't be read",
		"https://host/./api/v1/user":    "odd path",
	} {
		got, err := langflow.ParseURL(raw)
		if err == nil || !strings.Contains(err.Error(), hint) || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("ParseURL(%q) = %q, %v; want an error with %q", raw, got, err, hint)
		}
		if _, err := langflow.Origin(raw); err == nil {
			t.Errorf("Origin(%q) gives no error", raw)
		}
		if _, err := langflow.New(raw, langflow.Options{}); err == nil {
			t.Errorf("New(%q) gives no error", raw)
		}
	}
}

func TestPlainHTTPOnlyToThisComputer(t *testing.T) {
	for raw, ok := range map[string]bool{
		"https://host.example": true, "http://localhost:7860": true, "http://127.0.0.1": true, "http://127.9.9.9": true,
		"http://[::1]:7860": true, "http://host.example": false, "http://192.168.1.2": false, "http://0.0.0.0": false,
		"http://localhost.example": false, "http://127.0.0.1.example": false,
	} {
		_, err := langflow.New(raw, langflow.Options{})
		var e *langflow.Error
		if ok && err != nil || !ok && (!errors.As(err, &e) || e.Kind != langflow.PlainHTTP) {
			t.Errorf("New(%q): %v, want allowed %v", raw, err, ok)
		}
		if c, err := langflow.New(raw, langflow.Options{AllowHTTP: true}); err != nil || c.URL() != raw {
			t.Errorf("New(%q) with AllowHTTP: %v", raw, err)
		}
	}
}
