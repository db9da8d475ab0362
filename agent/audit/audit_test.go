package audit

import (
	"encoding/json"
	"testing"
	"time"
)

func TestEntryAsJSON(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for want, entry := range map[string]Entry{
		`{"schema":1,"n":7,"at":"2026-01-02T03:04:05Z","client":"ci","profile":"prod","what":"GET token","refused":null,"process":{"pid":9,"exe":"/bin/sh"},"count":2}`: {
			Schema: 1, N: 7, At: at, Use: Use{Client: "ci", Profile: "prod", What: "GET token", Process: Process{9, "/bin/sh"}}, Count: 2},
		`{"schema":1,"n":8,"at":"2026-01-02T03:04:05Z","client":null,"profile":null,"what":"unknown route","refused":"unauthorized","process":null,"count":1}`: {
			Schema: 1, N: 8, At: at, Use: Use{What: "unknown route", Refused: "unauthorized"}, Count: 1},
		`{"schema":1,"n":9,"at":"2026-01-02T03:04:05Z","client":"ci","profile":null,"what":"GET token","refused":null,"process":{"pid":9,"exe":null},"count":1}`: {
			Schema: 1, N: 9, At: at, Use: Use{Client: "ci", What: "GET token", Process: Process{PID: 9}}, Count: 1},
	} {
		got, err := json.Marshal(entry)
		if err != nil || string(got) != want {
			t.Errorf("written it is %s (%v), not %s", got, err, want)
		}
		var read Entry
		if err := json.Unmarshal([]byte(want), &read); err != nil || read != entry {
			t.Errorf("%s is read as %+v (%v)", want, read, err)
		}
	}
}
