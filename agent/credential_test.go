package agent

import (
	"errors"
	"log/slog"
	"testing"

	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

func TestCredential(t *testing.T) {
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	a := New(Config{Store: keychain.NewMemory(), Clock: clock.System(), Log: slog.New(slog.DiscardHandler), ProfilesDir: t.TempDir()})
	refused := func(kind ErrorKind) {
		t.Helper()
		_, _, err := a.Credential(t.Context(), "prod")
		var e *Error
		if !errors.As(err, &e) || e.Kind != kind {
			t.Errorf("got %v, want %s", err, kind)
		}
	}
	accepted := func() {
		t.Helper()
		client, credential, err := a.Credential(t.Context(), "prod")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.WhoAmI(t.Context(), credential); err != nil {
			t.Error(err)
		}
	}
	login := func(c Credentials) {
		t.Helper()
		if _, err := a.Login(t.Context(), "prod", c); err != nil {
			t.Fatal(err)
		}
	}
	refused(NotFound)
	if _, err := a.Add(config.Profile{Name: "prod", ServerURL: server.URL}); err != nil {
		t.Fatal(err)
	}
	login(Credentials{Method: "password", Username: "admin", Password: secret.New(langflowtest.Admin().Password)})
	accepted()
	login(Credentials{Method: "api-key", APIKey: server.AddAPIKey("admin")})
	accepted()
	if _, err := a.Logout(t.Context(), "prod"); err != nil {
		t.Fatal(err)
	}
	refused(SigningInRequired)
}
