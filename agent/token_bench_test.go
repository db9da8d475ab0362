package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"

	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

// benchAgent runs an agent with signed-in sessions, p0 and so on.
func benchAgent(b *testing.B, sessions int) *Agent {
	server := langflowtest.NewInProcess(langflowtest.Options{Version: "1.13"})
	a := New(Config{
		Store: keychain.NewMemory(), Clock: clock.System(), Log: slog.New(slog.DiscardHandler), ProfilesDir: b.TempDir(),
		Transport: func([]byte) (http.RoundTripper, error) { return server.RoundTripper(), nil },
		Network:   func() string { return "" },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		a.Run(ctx)
		close(done)
	}()
	b.Cleanup(func() {
		cancel()
		<-done
		server.Close()
	})
	admin := langflowtest.Admin()
	for i := range sessions {
		name := fmt.Sprintf("p%d", i)
		if _, err := a.Add(config.Profile{Name: name, ServerURL: server.URL}); err != nil {
			b.Fatal(err)
		}
		if _, err := a.Login(b.Context(), name, Credentials{Method: "password", Username: admin.Name, Password: secret.New(admin.Password)}); err != nil {
			b.Fatal(err)
		}
	}
	return a
}

// BenchmarkRead reads a held token inside the engine.
func BenchmarkRead(b *testing.B) {
	a := benchAgent(b, 10)
	read := func(b *testing.B) {
		if _, err := a.Token(context.Background(), "p5", AnyLifetime); err != nil {
			b.Error(err)
		}
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			read(b)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				read(b)
			}
		})
	})
	b.Run("profile", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := a.Profile("p5"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRefresh renews a session at a server in this process.
func BenchmarkRefresh(b *testing.B) {
	a := benchAgent(b, 10)
	b.ReportAllocs()
	for b.Loop() {
		a.mu.Lock()
		f, _ := a.start(a.all()["p5"], true)
		a.mu.Unlock()
		if err := f.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
