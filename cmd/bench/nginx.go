package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// injectingNginx starts nginx as people have it inject a credential: proxy_set_header, and
// connections to the server that are kept. Where .ci/setup has not installed it the error is
// os.ErrNotExist.
func (b *bench) injectingNginx(ctx context.Context, upstream string) (address string, pid int, err error) {
	program, err := filepath.Abs(filepath.Join(b.cache, "nginx", "usr", "sbin", "nginx"))
	if err != nil {
		return "", 0, err
	}
	if _, err := os.Stat(program); err != nil {
		return "", 0, err
	}
	home, err := b.home("nginx")
	if err != nil {
		return "", 0, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", 0, err
	}
	address = free.Addr().String()
	if err := free.Close(); err != nil {
		return "", 0, err
	}
	// One process, as the other servers here are one each, and no log, as the bare reverse
	// proxy has none.
	text := fmt.Sprintf("daemon off;\nmaster_process off;\nerror_log stderr;\npid %[1]s/pid;\nevents {}\nhttp {\naccess_log off;\n", home)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		text += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, home, kind)
	}
	text += fmt.Sprintf(`keepalive_requests 1000000000;
upstream langflow { server %s; keepalive 32; keepalive_requests 1000000000; }
server {
	listen %s;
	location / {
		proxy_pass http://langflow;
		proxy_http_version 1.1;
		proxy_set_header Connection "";
		proxy_set_header x-api-key sk-only-for-a-benchmark;
		proxy_buffering off;
	}
}
}
`, upstream, address)
	file := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", 0, err
	}
	cmd := exec.CommandContext(ctx, program, "-c", file)
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	b.ends = append(b.ends, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return address, cmd.Process.Pid, conn.Close()
		}
		if time.Now().After(deadline) {
			return "", 0, fmt.Errorf("nginx does not listen: %w", err)
		}
	}
}
