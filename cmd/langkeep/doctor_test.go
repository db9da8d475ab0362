package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/client/clienttest"
	"langkeep/localapi/doctor"
)

// doctored is an agent that answers status and doctor.
func doctored(version string, checks ...client.Check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + r.URL.Path {
		case "GET/v1/status":
			_ = json.NewEncoder(w).Encode(client.Status{Version: version, Store: "memory"})
		case "GET/v1/profiles":
			_, _ = w.Write([]byte(`{"profiles":[{"name":"prod"}]}`))
		case "POST/v1/doctor":
			_ = json.NewEncoder(w).Encode(client.Report{Checks: checks})
		default:
			http.NotFound(w, r)
		}
	}
}

func TestDoctorCounts(t *testing.T) {
	advice := "Mend\x1b[2J it."
	bad := client.Check{Check: "dns", Profile: new("prod"), Verdict: client.CheckFailed, Found: "It is broken.", Advice: &advice}
	code, stdout, stderr := answering(t, doctored(version, bad), "doctor")
	if code != 1 || stderr != "langkeep: 1 of 3 checks failed: follow the advice beside them\n" {
		t.Errorf("%d, %q", code, stderr)
	}
	if !strings.HasSuffix(stdout, "\n\nprod\nfailed   dns              It is broken. Mend[2J it.\n") || !strings.HasPrefix(stdout, "ok       agent ") {
		t.Errorf("got %q", stdout)
	}
	code, stdout, _ = answering(t, doctored(version, bad), "doctor", "--json")
	var report client.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 1 || len(report.Checks) != 3 {
		t.Errorf("%d, %s, %v", code, stdout, err)
	}
	warning := client.Check{Check: "tray", Verdict: client.CheckWarning, Found: "None."}
	if code, _, stderr := answering(t, doctored(version, warning), "doctor"); code != 0 || stderr != "" {
		t.Errorf("%d, %q", code, stderr)
	}
	if code, stdout, _ := answering(t, doctored("0.0.1"), "doctor"); code != 0 || !strings.HasPrefix(stdout, "warning  agent            langkeep 0.0.1 runs ") || !strings.Contains(stdout, " This command is "+version+": run langkeep restart.\n") {
		t.Errorf("another version: %d, %q", code, stdout)
	}
	if code, _, _ := answering(t, problem(client.NewProblem(client.TypeForbidden, "only the owner may")), "doctor"); code != 7 {
		t.Errorf("for a client: %d", code)
	}
}

func TestDoctorOfTheAgent(t *testing.T) {
	dir, err := os.MkdirTemp("", "lk") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := paths.Paths{Config: filepath.Join(dir, "c"), State: filepath.Join(dir, "s"), Run: filepath.Join(dir, "r")}
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	good := httptest.NewServer(clienttest.Agent("lk_owner", http.HandlerFunc(doctored("1"))))
	defer good.Close()
	c, err := client.New(client.Options{URL: good.URL, Token: secret.New("lk_owner")})
	if err != nil {
		t.Fatal(err)
	}
	want := func(check doctor.Check, verdict doctor.Verdict, part string) {
		t.Helper()
		f := check.Look(t.Context())
		if f.Verdict != verdict || !strings.Contains(f.Found, part) || (f.Advice == "") != (verdict == doctor.OK) {
			t.Errorf("%s: %+v, want %s %q", check.Name, f, verdict, part)
		}
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	want(agentCheck(t.Context(), p, nil, fmt.Errorf("%w: x", client.ErrNoAgent)), doctor.Warning, "No agent runs")
	want(agentCheck(t.Context(), p, nil, errors.New("the agent did not start: the port is taken")), doctor.Failed, "port is taken")
	want(agentCheck(t.Context(), p, c, nil), doctor.Warning, "langkeep 1 runs") // this is a version dev

	want(portCheck(p, c), doctor.Failed, "doesn't answer over TCP") // there is no agent.json
	write(p.Agent(), fmt.Sprintf(`{"schema":1,"url":%q,"pid":1}`, good.URL))
	want(portCheck(p, c), doctor.Failed, "does not know this token")
	write(p.Token(), "lk_owner")
	want(portCheck(p, c), doctor.OK, "answers the owner's token")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	write(p.ConfigFile(), fmt.Sprintf("listen = %q\n", taken.Addr()))
	want(portCheck(p, nil), doctor.Failed, taken.Addr().String())
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	want(portCheck(p, nil), doctor.OK, "is free")

	if onWindows {
		want(socketCheck(p, c), doctor.OK, "none on Windows")
		return
	}
	want(socketCheck(p, nil), doctor.Warning, "not tried")
	want(socketCheck(p, c), doctor.Warning, "commands use TCP")
	write(p.Socket(), "")
	want(socketCheck(p, c), doctor.Failed, "doesn't answer on "+p.Socket())
	if err := os.Remove(p.Socket()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", p.Socket())
	if err != nil {
		t.Fatal(err)
	}
	onSocket := &httptest.Server{Listener: l, Config: &http.Server{Handler: doctored("1")}}
	onSocket.Start()
	defer onSocket.Close()
	want(socketCheck(p, c), doctor.OK, "answers")
}
