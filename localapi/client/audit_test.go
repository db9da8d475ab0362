package client

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

func TestAudit(t *testing.T) {
	const entry = `{"schema":1,"n":8,"at":"2026-01-02T03:04:05Z","client":null,"profile":"prod","what":"GET token","refused":null,"process":{"pid":9,"exe":"/bin/sh"},"count":2,"new":true}`
	sends(t, func(c *Client) error {
		lines, err := c.Audit(t.Context(), 7)
		if len(lines) != 1 || lines[0].N != 8 || lines[0].Client != "" || lines[0].Profile != "prod" || lines[0].Process.PID != 9 || lines[0].Count != 2 {
			t.Errorf("got %+v", lines)
		} else if lines[0].JSON != entry {
			t.Errorf("as the agent wrote it: %s", lines[0].JSON)
		}
		return err
	}, "GET /v1/audit?after=7 ", `{"entries":[`+entry+`]}`)
}

func TestAuditThatCannotBeRead(t *testing.T) {
	for _, reply := range []string{"", "{", `{"entries":7}`, `{"entries":[{"n":"one"}]}`} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, reply) })
		var p *Problem
		if _, err := c.Audit(t.Context(), 0); err == nil || errors.As(err, &p) {
			t.Errorf("%q: %v", reply, err)
		}
	}
}
