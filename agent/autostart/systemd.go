package autostart

import "strings"

// unit is a user unit of systemd, for a computer without a desktop. It is
// started again after a crash; an exit code is a decision of the agent's own,
// such as leaving the place to another one. The packages bring the same file for
// /usr/bin/langkeep (assets/packaging/langkeep-user.service).
//
// A user's systemd can take system calls away, and the right to get more rights;
// what needs a mount namespace it can't do everywhere. Nothing is started from
// such an agent that would mind: it has no desktop.
func unit(e *Entry) (string, error) {
	if err := e.plain(); err != nil {
		return "", err
	}
	quote := func(w string) string { return `"` + strings.ReplaceAll(w, "%", "%%") + `"` } // a % begins a specifier
	return `[Unit]
Description=Langkeep keeps you signed in to Langflow

[Service]
ExecStart=` + e.line(quote, "run", "--headless") + `
Restart=on-abnormal
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
`, nil
}
