package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"langkeep/localapi/client"
)

const (
	mcpPath = "/api/v1/mcp/streamable"
	calls   = 20       // in one slice of a session
	large   = 20 << 20 // bytes of a tool's output
)

// mcpServer is a stand-in for Langflow's MCP server, stateless as that is, with the tools
// small and large.
func mcpServer() http.Handler {
	output := map[string]string{"small": "hello", "large": strings.Repeat("0123456789abcdef", large/16)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				Name            string `json:"name"`
				ProtocolVersion string `json:"protocolVersion"`
			} `json:"params"`
		}
		if r.Method != http.MethodPost {
			http.Error(w, "it has nothing to say by itself", http.StatusMethodNotAllowed)
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if m.ID == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		type object = map[string]any
		tool := func(name string) object { return object{"name": name, "inputSchema": object{"type": "object"}} }
		answer := object{"jsonrpc": "2.0", "id": m.ID}
		switch m.Method {
		case "initialize":
			answer["result"] = object{"protocolVersion": m.Params.ProtocolVersion, "capabilities": object{"tools": object{}}, "serverInfo": object{"name": "bench", "version": "1"}}
		case "tools/list":
			answer["result"] = object{"tools": []object{tool("small"), tool("large")}}
		case "tools/call":
			answer["result"] = object{"content": []object{{"type": "text", "text": output[m.Params.Name]}}}
		default:
			answer["error"] = object{"code": -32601, "message": "there is no such method"}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // it fails only if the client has gone
	})
}

// The messages of a client.
const (
	initialize  = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`
	initialized = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	callSmall   = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"small","arguments":{}}}`
	callLarge   = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"large","arguments":{}}}`
)

// bridge is a program that speaks MCP on stdio and passes it on to a server.
type bridge struct {
	name string
	command
	first, call, output []time.Duration
	peak                int64 // of its memory, in bytes
}

// spoken is a session with a bridge.
type spoken struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// speak starts a bridge and waits for its first answer.
func (g *bridge) speak(ctx context.Context) (*spoken, time.Duration, error) {
	s := &spoken{cmd: exec.CommandContext(ctx, g.path, g.args...)}
	s.cmd.Env = g.env
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, 0, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	s.out = bufio.NewReaderSize(out, 64<<10)
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, 0, err
	}
	if err := s.ask(initialize, 0); err != nil {
		s.end()
		return nil, 0, err
	}
	took := time.Since(began)
	_, err = fmt.Fprintln(s.in, initialized)
	return s, took, err
}

// ask sends a request and reads its answer, which has so many bytes at least.
func (s *spoken) ask(request string, least int) error {
	if _, err := fmt.Fprintln(s.in, request); err != nil {
		return err
	}
	for length, begins := 0, []byte(nil); ; {
		part, err := s.out.ReadSlice('\n')
		if length += len(part); begins == nil {
			begins = bytes.Clone(part[:min(len(part), 200)])
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return err
		case bytes.Contains(begins, []byte(`"method":`)): // a notification
			length, begins = 0, nil
		case length < least || bytes.Contains(begins, []byte(`"error":`)):
			return fmt.Errorf("the answer has %d bytes and begins with %s", length, begins)
		default:
			return nil
		}
	}
}

// end ends a session.
func (s *spoken) end() {
	_ = s.in.Close()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed
}

// bridges compares langkeep mcp with others that do the same, through the same proxy.
func (b *bench) bridges(ctx context.Context) error {
	server, _, err := b.child(ctx, "langflow", time.Hour)
	if err != nil {
		return err
	}
	a, proxyURL, err := b.proxyAgent(ctx, server)
	if err != nil {
		return err
	}
	added, _, err := a.AddClient(ctx, client.NewClient{Name: "bench", Scopes: []string{"run"}, Profiles: []string{profile(0)}})
	if err != nil {
		return err
	}
	url, token := proxyURL+mcpPath, added.Token.Reveal()
	header := filepath.Join(b.dir, "header")
	if err := os.WriteFile(header, []byte("x-api-key: "+token+"\n"), 0o600); err != nil {
		return err
	}
	others := []string{"PATH=" + filepath.Join(b.cache, "clients/node/node_modules/.bin") + ":" + os.Getenv("PATH"), "HOME=" + b.dir}
	ours := &bridge{name: "langkeep mcp", command: command{b.langkeep, []string{"mcp", profile(0), "--no-start"}, a.env}}
	all := []*bridge{ours}
	for _, g := range []*bridge{
		{name: "mcp-proxy", command: command{filepath.Join(b.cache, "mcp-proxy/bin/mcp-proxy"), []string{"--transport", "streamablehttp", "-H", "x-api-key", token, url}, others}},
		{name: "mcp-remote", command: command{filepath.Join(b.cache, "mcp-remote/node_modules/.bin/mcp-remote"), []string{url, "--allow-http", "--transport", "http-only", "--header", "x-api-key:" + token}, others}},
	} {
		if _, err := os.Stat(g.path); err != nil {
			b.add(row{what: "langkeep mcp; beside " + g.name, beside: "not installed"})
			continue
		}
		all = append(all, g)
	}
	for range max(b.starts/10, 1) {
		for _, g := range all {
			s, took, err := g.speak(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", g.name, err)
			}
			g.first = append(g.first, took)
			s.end()
		}
	}
	curl, err := b.converse(ctx, all, command{"curl", []string{"-sS", "-f", "-o", "/dev/null", "--noproxy", "*", "-H", "@" + header, "-H", "Content-Type: application/json", "-d", callLarge, url}, others})
	if err != nil {
		return err
	}
	for _, g := range all[1:] {
		b.add(compared("first answer", ours.first, g.first, g.name))
		b.add(compared("a call", ours.call, g.call, g.name))
		b.add(compared("20 MiB of output", ours.output, g.output, g.name))
		b.add(row{what: "langkeep mcp, memory at most; beside " + g.name, ours: mib(ours.peak), beside: mib(g.peak),
			ratio: fmt.Sprintf("%.2f", float64(ours.peak)/float64(g.peak)), goal: "< 1", met: ours.peak < g.peak})
	}
	r := compared("20 MiB of output", ours.output, curl, "curl through the proxy")
	ratio := medianRatio(ours.output, curl)
	r.goal, r.met = "≤ 1.5", ratio <= 1.5
	b.add(r)
	return nil
}

// converse has a session with each bridge, asks them in turn, and times curl beside them.
func (b *bench) converse(ctx context.Context, all []*bridge, curl command) (curls []time.Duration, err error) {
	var open []*spoken
	for _, g := range all {
		s, _, err := g.speak(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		defer s.end()
		open = append(open, s)
	}
	for range b.rounds {
		for i, g := range all {
			for range calls {
				began := time.Now()
				if err := open[i].ask(callSmall, 0); err != nil {
					return nil, fmt.Errorf("%s: %w", g.name, err)
				}
				g.call = append(g.call, time.Since(began))
			}
		}
	}
	for range max(b.rounds/4, 1) {
		for i, g := range all {
			began := time.Now()
			if err := open[i].ask(callLarge, large); err != nil {
				return nil, fmt.Errorf("%s: %w", g.name, err)
			}
			g.output = append(g.output, time.Since(began))
		}
		took, err := curl.start(ctx)
		if err != nil {
			return nil, fmt.Errorf("curl: %w", err)
		}
		curls = append(curls, took)
	}
	for i, g := range all {
		most, err := statusField(fmt.Sprintf("/proc/%d/status", open[i].cmd.Process.Pid), "VmHWM")
		if err != nil {
			return nil, err
		}
		g.peak = most << 10
	}
	return curls, nil
}

// compared is a row of two programs' times, of which ours must be the smaller.
func compared(what string, ours, beside []time.Duration, name string) row {
	ratio := medianRatio(ours, beside)
	return row{what: "langkeep mcp, " + what + "; beside " + name, ours: exact(median(ours)), beside: exact(median(beside)),
		ratio: fmt.Sprintf("%.2f", ratio), goal: "< 1", met: ratio < 1}
}

// medianRatio is that of times that were measured in turn.
func medianRatio(a, b []time.Duration) float64 {
	var all []float64
	for i := range a {
		all = append(all, float64(a[i])/float64(b[i]))
	}
	return median(all)
}
