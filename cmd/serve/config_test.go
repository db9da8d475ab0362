package serve

import (
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"langkeep/agent/config"
)

// Two check marks clicked at once must both stay.
func TestSettingsChangedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	live := newLiveConfig(path, new(slog.LevelVar), config.Default())
	for i := range 20 {
		on := i%2 == 1
		var changing sync.WaitGroup
		for _, c := range []config.Change{{SignInRequired: &on}, {Offline: &on}, {BackToNormal: &on}} {
			changing.Go(func() {
				if _, err := live.Change(c); err != nil {
					t.Error(err)
				}
			})
		}
		changing.Wait()
		want := config.Notify{SignInRequired: on, Offline: on, BackToNormal: on}
		written, err := config.LoadConfig(path)
		if err != nil || written.Notify != want || live.Get().Notify != want {
			t.Fatalf("the file has %+v, the agent %+v, want %+v: %v", written.Notify, live.Get().Notify, want, err)
		}
	}
}
