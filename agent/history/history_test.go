package history

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/vocabulary"
)

// The history outlives the agent, and knows when there was none.
func TestHistoryOutlivesTheAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	synctest.Test(t, func(t *testing.T) {
		open := func() *Log { return Open(path, clock.System(), slog.New(slog.DiscardHandler)) }
		begin := time.Now()
		l := open()
		l.Note(Entry{Profile: "prod", State: vocabulary.Fresh, Words: "Signed in as ana."})
		time.Sleep(time.Hour)
		l.Mark()
		// It ends without a word, and another one comes a day later.
		_ = l.file.Close()
		time.Sleep(24 * time.Hour)
		l = open()
		time.Sleep(time.Minute)
		l.Note(Entry{Profile: "prod", State: vocabulary.Stale, Words: "Can't reach it."})
		l.Note(Entry{Profile: "other", State: vocabulary.Fresh})
		time.Sleep(time.Hour)
		l.Close()
		time.Sleep(time.Hour)
		l = open()
		l.Note(Entry{Profile: "prod", State: vocabulary.SignInRequired})
		var got []string
		for _, s := range Strip(l.Entries("prod"), begin.Add(-time.Hour)) {
			got = append(got, fmt.Sprintf("%s %s", s.From.Sub(begin).Round(time.Minute), s.Kind))
		}
		const want = "0s in, 1h0m0s off, 25h1m0s away, 26h1m0s off, 27h1m0s needed"
		if strings.Join(got, ", ") != want {
			t.Errorf("it has %s, want %s", strings.Join(got, ", "), want)
		}
		// A look at the last two hours begins with what was then.
		late := Strip(l.Entries("prod"), begin.Add(25*time.Hour+31*time.Minute))
		if len(late) != 3 || late[0].Kind != Away || !late[0].From.Equal(begin.Add(25*time.Hour+31*time.Minute)) {
			t.Errorf("the last two hours are %+v", late)
		}
		time.Sleep(kept)
		l.Note(Entry{Profile: "prod", State: vocabulary.Fresh})
		if all := l.Entries(""); len(all) != 1 {
			t.Errorf("after 30 days there are %+v", all)
		}
		l.Close()
	})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
}

// A file with other things in it is read as far as it can be.
func TestHistoryReadsWhatItCan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	now := time.Now().UTC().Format(time.RFC3339)
	text := `{"schema":1,"at":"` + now + `","profile":"prod","state":"fresh"}` + "\nno line\n" + `{"schema":9,"at":"` + now + `"}` + "\n" + `{"schema":1,"at":"20`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := Open(path, clock.System(), slog.New(slog.DiscardHandler))
	defer l.Close()
	if all := l.Entries("prod"); len(all) != 3 || all[0].State != vocabulary.Fresh || !all[1].Off || all[2].Off {
		t.Errorf("it has %+v", all)
	}
}
