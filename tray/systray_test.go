//go:build windows || (darwin && cgo)

package tray

import (
	"testing"
	"testing/synctest"
)

// The agent may be told to stop while systray has not begun to wait for messages.
func TestLoopEndsThatHasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped, begun, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		posts := 0
		go endUnbegun(stopped, begun, ended, func() {
			if posts++; posts == 3 { // the first two were lost
				close(ended)
			}
		})
		synctest.Wait()
		if posts != 0 {
			t.Error("the loop was ended before anybody asked for it")
		}
		close(stopped)
		<-ended
	})
}

// Windows would keep the icon of a loop that ended without systray's Quit.
func TestLoopThatHasBegunIsLeftToQuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped, begun := make(chan struct{}), make(chan struct{})
		close(stopped)
		close(begun)
		endUnbegun(stopped, begun, nil, func() { t.Error("the loop was ended") })
	})
}
