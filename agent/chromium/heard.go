package chromium

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// verdicts are the parts of what a browser writes to stderr that say why it can't be
// asked. It is English in every language of the desktop.
var verdicts = []struct {
	says string
	err  error
}{
	// chrome/browser/devtools/remote_debugging_server.cc. The browser goes on without
	// its pipe.
	{"remote debugging is disallowed", ErrForbidden},
	// ui/ozone/platform/x11, ui/ozone/platform/wayland, chrome/browser/chrome_browser_main_linux.cc
	{"Missing X server or $DISPLAY", ErrNoDisplay},
	{"Failed to initialize Wayland platform", ErrNoDisplay},
	{"The platform failed to initialize", ErrNoDisplay},
	// content/browser/zygote_host/zygote_host_impl_linux.cc
	{"Running as root without --no-sandbox", fmt.Errorf("%w: it does not run as root", ErrFailed)},
	{"No usable sandbox", fmt.Errorf("%w: this system lets it have no sandbox", ErrFailed)},
}

// listen reads what the browser writes to stderr, looks for a verdict and forgets the
// rest: it may have addresses with codes in them, and belongs in no log.
func (w *Window) listen(said io.Reader) {
	lines := bufio.NewReaderSize(said, 16<<10)
	for {
		// A longer line comes in pieces.
		line, _, err := lines.ReadLine()
		if err != nil {
			return
		}
		for _, v := range verdicts {
			if strings.Contains(string(line), v.says) {
				w.judge(v.err)
			}
		}
	}
}

// judge keeps the first verdict. A browser that won't hear a command would go on
// for ever.
func (w *Window) judge(err error) {
	w.mu.Lock()
	if w.verdict == nil {
		w.verdict = err
	}
	w.mu.Unlock()
	if errors.Is(err, ErrForbidden) {
		w.end()
	}
}

// said is the verdict, nil if there is none.
func (w *Window) said() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.verdict
}
