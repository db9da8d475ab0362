package autostart

import "strings"

// unit is a user unit of systemd, for a computer without a desktop. It is
// started again after a crash; an exit code is a decision of the agent's own,
// such as leaving the place to another one.
func unit(e *Entry) (string, error) {
	if err := e.plain(); err != nil {
		return "", err
	}
	words := append([]string{e.program}, e.args("run", "--headless")...)
	for i, w := range words {
		words[i] = `"` + strings.ReplaceAll(w, "%", "%%") + `"` // a % begins a specifier
	}
	return `[Unit]
Description=Langkeep keeps you signed in to Langflow

[Service]
ExecStart=` + strings.Join(words, " ") + `
Restart=on-abnormal

[Install]
WantedBy=default.target
`, nil
}
