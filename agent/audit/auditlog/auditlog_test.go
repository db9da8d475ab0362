package auditlog

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/audit"
	"langkeep/agent/clock"
)

var quiet = slog.New(slog.DiscardHandler)

// running opens a log and keeps it going until end is called.
func running(t *testing.T, path string) (l *Log, end func()) {
	t.Helper()
	l = Open(path, clock.System(), quiet)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	return l, func() {
		cancel()
		<-done
	}
}

func lines(t *testing.T, path string) []audit.Entry {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []audit.Entry
	for s := bufio.NewScanner(f); s.Scan(); {
		var e audit.Entry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", s.Text(), err)
		}
		all = append(all, e)
	}
	return all
}

func curl() audit.Process { return audit.Process{PID: 7, Exe: "/usr/bin/curl"} }

func TestFirstAtOnceAndRepeatsByTheMinute(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	synctest.Test(t, func(t *testing.T) {
		l, end := running(t, path)
		token := audit.Use{Client: "ci", Profile: "prod", What: "GET token"}
		refused := audit.Use{What: "GET token", Refused: "unauthorized"}
		for range 90 { // in a minute and a half
			l.Note(token, curl)
			l.Note(refused, nil)
			synctest.Wait()
			time.Sleep(time.Second)
		}
		got := lines(t, path)
		if len(got) != 4 || got[0].Count != 1 || got[1].Count != 1 || got[0].Client != "ci" || got[0].Process != curl() || got[1].Refused != "unauthorized" {
			t.Fatalf("%+v", got)
		}
		if n := got[2].Count; n < 55 || n > 65 {
			t.Errorf("a minute's repeats are %d", n)
		}
		end()
		got = lines(t, path)
		total := 0
		for i, e := range got {
			total += e.Count
			if e.N != int64(i+1) {
				t.Errorf("line %d has number %d", i, e.N)
			}
		}
		if total != 180 {
			t.Errorf("%d of 180 uses are told", total)
		}
		raw, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(raw), `{"schema":1,"n":1,"at":"2000-01-01T00:00:00Z","client":"ci","profile":"prod","what":"GET token","refused":null,"process":{"pid":7,"exe":"/usr/bin/curl"},"count":1}`+"\n"+`{"schema":1,"n":2,"at":"2000-01-01T00:00:00Z","client":null,"profile":null,`) {
			t.Errorf("the file begins %s, %v", raw, err)
		}

		again, end := running(t, path)
		defer end()
		again.Note(token, curl)
		synctest.Wait()
		if all := again.Entries(0); len(all) != len(got)+1 || all[len(got)].N != int64(len(got)+1) {
			t.Errorf("a restart goes on with %+v", all)
		}
		if after := again.Entries(int64(len(got))); len(after) != 1 {
			t.Errorf("after the last: %+v", after)
		}
	})
}

func TestWhatCannotBeWrittenStaysInMemory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l, end := running(t, path)
		defer end()
		for i := range 10 {
			l.Note(audit.Use{What: fmt.Sprint(i)}, nil)
		}
		synctest.Wait()
		if all := l.Entries(0); len(all) != 10 || l.Problem() == nil {
			t.Errorf("%d entries, %v", len(all), l.Problem())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(retry + tick)
		if got := lines(t, path); l.Problem() != nil || len(got) != 10 || got[0].What != "0" {
			t.Errorf("%v, %+v", l.Problem(), got)
		}
	})
}

// A flood of uses, or a slow search for a program, keeps no request waiting.
func TestFloods(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	synctest.Test(t, func(t *testing.T) {
		l, end := running(t, path)
		found := make(chan struct{})
		l.Note(audit.Use{What: "slow"}, func() audit.Process {
			<-found
			return audit.Process{}
		})
		for range 3 * waiting {
			l.Note(audit.Use{What: "more"}, nil)
		}
		close(found)
		synctest.Wait()
		for i := range 3 * most {
			l.Note(audit.Use{What: fmt.Sprint(i)}, nil)
			synctest.Wait()
		}
		end()
		if all := l.Entries(0); len(all) > recent || len(l.seen) > most {
			t.Errorf("%d entries and %d uses in memory", len(all), len(l.seen))
		}
		total := 0
		for _, e := range lines(t, path) {
			total += e.Count
		}
		if want := 1 + 3*waiting + 3*most; total != want {
			t.Errorf("%d of %d uses are told", total, want)
		}
	})
}

// New uses do not put off the next attempt at the file.
func TestFileIsTriedAgainWhileMuchIsNoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l, end := running(t, path)
		defer end()
		l.Note(audit.Use{What: "GET token"}, nil)
		synctest.Wait()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for begin := time.Now(); time.Since(begin) < 2*retry; time.Sleep(time.Second) {
			l.Note(audit.Use{What: "GET token"}, nil)
		}
		if err := l.Problem(); err != nil || len(lines(t, path)) == 0 {
			t.Error(err)
		}
	})
}
