package autostart

import "strings"

// unit is a user unit of systemd, for a computer without a desktop. systemd starts the
// agent again after a crash, but not after an exit code: the agent then decided to end,
// for instance because another one runs. The packages bring the same file for
// /usr/bin/langkeep (assets/packaging/langkeep-user.service).
//
// A user's systemd can forbid system calls and new privileges everywhere, but not set
// up a mount namespace. The limits do no harm, since an agent without a desktop starts
// no program that needs more.
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
