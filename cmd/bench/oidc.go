package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// provider is a stand-in for an OpenID Connect provider, as much of it as
// oidc-agent needs for a refresh token it is given.
func provider(config []byte) (address string, err error) {
	var lifetime time.Duration
	if err := json.Unmarshal(config, &lifetime); err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	issuer := "http://" + l.Addr().String() + "/"
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // fails only if the client has gone
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": issuer, "token_endpoint": issuer + "token", "authorization_endpoint": issuer + "authorize",
			"jwks_uri": issuer + "jwks", "userinfo_endpoint": issuer + "userinfo",
			"grant_types_supported":    []string{"authorization_code", "refresh_token"},
			"response_types_supported": []string{"code"}, "scopes_supported": []string{"openid", "offline_access"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"HS256"},
		})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
			"sub": "00000000-0000-4000-8000-000000000001", "type": "access", "exp": time.Now().Add(lifetime).Unix(),
		})
		signed, err := token.SignedString([]byte("only for a benchmark"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, map[string]any{
			"access_token": signed, "token_type": "Bearer", "expires_in": int(lifetime.Seconds()),
			"refresh_token": "only-for-a-benchmark", "scope": "openid offline_access",
		})
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.Serve(l) }() // until the process ends
	return issuer, nil
}

// oidcToken starts an oidc-agent with an account at a stand-in provider, and
// returns what asks it for a token. Without oidc-agent the error is
// exec.ErrNotFound.
func (b *bench) oidcToken(ctx context.Context) (command, error) {
	path, err := exec.LookPath("oidc-token")
	if err != nil {
		return command{}, err
	}
	issuer, _, err := b.child(ctx, "provider", time.Hour)
	if err != nil {
		return command{}, err
	}
	home, err := b.home("oidc")
	if err != nil {
		return command{}, err
	}
	socket := home + "/agent"
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "OIDC_CONFIG_DIR=" + home, "OIDC_SOCK=" + socket}
	agent := exec.CommandContext(ctx, "oidc-agent", "--console", "--socket-path="+socket, "--no-webserver", "--no-scheme")
	agent.Env = env
	if err := agent.Start(); err != nil {
		return command{}, err
	}
	b.ends = append(b.ends, func() {
		_ = agent.Process.Kill()
		_ = agent.Wait() // it was killed
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// The socket is there a moment before anybody listens on it.
		if c, err := net.Dial("unix", socket); err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			return command{}, fmt.Errorf("oidc-agent did not start")
		}
	}
	// Its secrets are made up, and come by the environment all the same.
	gen := exec.CommandContext(ctx, "oidc-gen", "--manual", "--issuer="+issuer, "--client-id=bench", "--client-secret=none",
		"--scope=openid offline_access", "--redirect-uri=http://localhost:8080", "--rt-env=BENCH_REFRESH", "--pw-env=BENCH_PASSWORD",
		"--prompt=none", "--confirm-default", "--no-url-call", "--no-webserver", "bench")
	gen.Env = append(env, "BENCH_REFRESH=only-for-a-benchmark", "BENCH_PASSWORD=only-for-a-benchmark")
	gen.Stdin = strings.NewReader("")
	if out, err := gen.CombinedOutput(); err != nil {
		return command{}, fmt.Errorf("oidc-gen: %w: %s", err, out)
	}
	return command{path: path, args: []string{"bench"}, env: env}, nil
}
