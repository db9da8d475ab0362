package client

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"langkeep/agent/audit"
)

// Audit is the body of GET /v1/audit, the oldest first.
type Audit struct {
	Entries []audit.Entry `json:"entries"`
}

// AuditLine is an entry as the agent wrote it, and its number.
type AuditLine struct {
	audit.Entry
	JSON string
}

// Audit are the entries after the one with that number, at most the last 1000.
func (c *Client) Audit(ctx context.Context, after int64) ([]AuditLine, error) {
	raw, err := decode[struct{ Entries []json.RawMessage }](c.call(ctx, http.MethodGet, "/v1/audit?after="+strconv.FormatInt(after, 10), nil))
	if err != nil {
		return nil, err
	}
	lines := make([]AuditLine, len(raw.Entries))
	for i, entry := range raw.Entries {
		if lines[i].Entry, err = decode[audit.Entry](entry, nil); err != nil {
			return nil, err
		}
		lines[i].JSON = string(entry)
	}
	return lines, nil
}
