// Package chromium opens a window of a Chromium-family browser in which a person signs
// in, and reads the cookies that came of it.
//
// The browser has a folder of its own, and takes commands (the Chrome DevTools Protocol)
// from a pipe that only it and this process hold. It opens no port: any program and any
// user of the computer could connect to one.
package chromium

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"langkeep/agent/paths"
)

// Errors of Find and Open.
var (
	// ErrNone means that no Chromium-family browser is installed where its maker's
	// installer puts it.
	ErrNone = errors.New("no Chrome, Edge, Chromium, Brave or Vivaldi was found")
	// ErrConfined means that the only browser is a snap or a Flatpak, which can reach
	// neither the folder nor the pipe.
	ErrConfined = errors.New("the browser is a snap or a Flatpak, which can't be asked for its cookies")
	// ErrNoDisplay means that there is no desktop to open a window on.
	ErrNoDisplay = errors.New("there is no desktop to open a browser on")
	// ErrForbidden means that a policy of this computer (RemoteDebuggingAllowed) keeps
	// the browser from being asked.
	ErrForbidden = errors.New("a policy of this computer forbids to ask the browser for its cookies")
	// ErrSilent means that the browser runs and does not answer, or answers in another
	// protocol.
	ErrSilent = errors.New("the browser does not answer")
	// ErrFailed means that the browser can't be started, or ends before its window is
	// open. The error's text says why, behind a colon.
	ErrFailed = errors.New("the browser can't be started")
	// ErrEnded means that the browser has ended: somebody closed its window, or it
	// crashed.
	ErrEnded = errors.New("the browser has ended")
)

// Window is a browser with one window, and all that belongs to it.
type Window struct {
	tree     *tree
	pipe     *pipe
	folder   string
	patience patience

	ended  chan struct{} // the browser's first process has ended
	how    string        // it has, such as "exit status 1"; after ended
	end    func()        // asks live to end the browser
	ending chan struct{} // end was called
	closed chan struct{} // the window is gone, or going
	gone   chan struct{} // nothing of it is left, or err says what is
	err    error         // of the folder's deletion; after gone

	mu      sync.Mutex // protects the following
	verdict error      // the reason that the browser gave for not working
}

// patience is how long a browser may take.
type patience struct {
	answer time.Duration // to start, and to answer for the first time
	end    time.Duration // to end by itself; then it is killed
	delete time.Duration // for its folder to be deleted, while its processes end
}

// usual is for any computer: the first start of a browser after the computer's own
// reads hundreds of megabytes.
var usual = patience{answer: 30 * time.Second, end: 5 * time.Second, delete: 5 * time.Second}

// Open starts the browser program on an http or https address, in a window of its own,
// with a new folder for this user alone below dir. The window lives until ctx ends, Close
// is called, the person closes it or the browser crashes; then the folder is deleted.
// extra are further arguments of the browser.
func Open(ctx context.Context, program, dir, address string, extra ...string) (*Window, error) {
	return open(ctx, usual, program, dir, address, extra)
}

func open(ctx context.Context, patience patience, program, dir, address string, extra []string) (*Window, error) {
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	if err := checkDesktop(os.Getenv); err != nil {
		return nil, err
	}
	folder, err := makeFolder(dir)
	if err != nil {
		return nil, err
	}
	var w *Window
	err = writePreferences(filepath.Join(folder, profileName))
	if err == nil {
		w, err = start(ctx, patience, program, folder, address, extra)
	}
	if err != nil {
		return nil, errors.Join(err, remove(folder, patience.delete))
	}
	starting, stop := context.WithTimeout(ctx, patience.answer)
	defer stop()
	if err := w.greet(starting); err != nil {
		err = errors.Join(w.reason(ctx, err), w.Close())
		return nil, err
	}
	return w, nil
}

// checkAddress keeps a password out of the browser's arguments, which every user of the
// computer can read.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("the address to sign in at is no URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("the address to sign in at begins with %q; it must be an http or https URL", u.Scheme)
	case u.User != nil:
		return errors.New("the address to sign in at has a user name or password; take it out")
	}
	return nil
}

const (
	folderPrefix = "window-"
	profileName  = "profile" // the browser's own part of the folder
)

// makeFolder makes the folder of one window below dir, for this user alone.
func makeFolder(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of browsers: %w", err)
	}
	folder, err := os.MkdirTemp(dir, folderPrefix) // of mode 0700
	if err != nil {
		return "", fmt.Errorf("make a folder for the browser: %w", err)
	}
	return folder, nil
}

// preferences are those of a new profile, for which there are no arguments. The folder
// is deleted soon, so the browser is not to keep a password in it, nor to sign itself in
// where a page signs the person in at Google.
const preferences = `{
	"credentials_enable_service": false,
	"credentials_enable_autosignin": false,
	"profile": {"password_manager_enabled": false},
	"signin": {"allowed": false, "allowed_on_next_startup": false}
}`

// writePreferences begins the profile.
func writePreferences(profile string) error {
	dir := filepath.Join(profile, "Default")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the browser's profile: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Preferences"), []byte(preferences), 0o600); err != nil {
		return fmt.Errorf("write the browser's preferences: %w", err)
	}
	return nil
}

// arguments are the browser's. None of them touches the person's proxy, certificates or
// the policies of the computer, and none weakens the browser's guard against pages. The
// window has an address bar (one opened with --app has none): a person about to type a
// password must see whose page it is.
func arguments(profile, address string, extra []string) []string {
	args := []string{
		"--remote-debugging-pipe",
		"--user-data-dir=" + profile,
		// A new profile would ask questions.
		"--no-first-run",
		"--no-default-browser-check",
		"--disable-search-engine-choice-screen",
		"--disable-sync",
		"--disable-background-mode",
		"--disable-component-update",
		"--disable-session-crashed-bubble",
	}
	args = append(args, quiet...)
	return append(append(args, extra...), "--new-window", address)
}

// start starts the browser and all that looks after it. The caller deletes the folder
// if it fails.
func start(ctx context.Context, patience patience, program, folder, address string, extra []string) (*Window, error) {
	var files []*os.File
	pair := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err == nil {
			files = append(files, r, w)
		}
		return r, w, err
	}
	inRead, in, errIn := pair()
	out, outWrite, errOut := pair()
	said, saidWrite, errSaid := pair()
	if err := errors.Join(errIn, errOut, errSaid); err != nil {
		for _, f := range files {
			_ = f.Close() // nothing was written
		}
		return nil, fmt.Errorf("make the browser's pipes: %w", err)
	}
	cmd := exec.Command(program, arguments(filepath.Join(folder, profileName), address, extra)...)
	cmd.Dir = folder
	// After a crash Chromium writes its memory into the home folder otherwise.
	cmd.Env = append(paths.ForPrograms(os.Environ()), "BREAKPAD_DUMP_LOCATION="+folder)
	cmd.Stderr = saidWrite
	tree, err := startTree(cmd, folder, inRead, outWrite)
	for _, f := range []*os.File{inRead, outWrite, saidWrite} {
		_ = f.Close() // the browser has its own
	}
	if err != nil {
		for _, f := range []*os.File{in, out, said} {
			_ = f.Close() // nothing was written
		}
		return nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	w := &Window{
		tree: tree, folder: folder, patience: patience,
		ended: make(chan struct{}), ending: make(chan struct{}), closed: make(chan struct{}), gone: make(chan struct{}),
	}
	w.end = sync.OnceFunc(func() { close(w.ending) })
	w.pipe = newPipe(out, in, w.end)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		w.listen(said)
	}()
	go func() {
		_ = cmd.Wait() // how it has ended is in its state
		w.how = cmd.ProcessState.String()
		close(w.ended)
	}()
	stop := context.AfterFunc(ctx, w.end)
	go func() {
		defer stop()
		w.live(heard)
		_ = said.Close() // it was only read
	}()
	return w, nil
}

// live waits for the window's end, whatever brings it, and clears everything away.
func (w *Window) live(heard <-chan struct{}) {
	select {
	case <-w.ended:
	case <-w.pipe.broken:
	case <-w.ending:
	}
	close(w.closed)
	if w.said() == nil {
		w.pipe.post("Browser.close")
		wait(w.ended, w.patience.end)
	}
	w.tree.kill() // all of it: a crashed browser leaves processes behind
	<-w.ended
	w.pipe.close()
	wait(heard, w.patience.end)
	w.err = remove(w.folder, w.patience.delete)
	close(w.gone)
}

// wait waits for done, but no longer than limit.
func wait(done <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// greet waits for the browser's first answer, and has it tell when its tabs are closed:
// on macOS a browser outlives its last window.
func (w *Window) greet(ctx context.Context) error {
	if _, err := w.pipe.call(ctx, "Browser.getVersion", nil); err != nil {
		return err
	}
	_, err := w.pipe.call(ctx, "Target.setDiscoverTargets", map[string]any{
		"discover": true, "filter": []map[string]string{{"type": "tab"}},
	})
	return err
}

// reason is the error of a browser that gave err instead of its first answer.
func (w *Window) reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = ErrSilent
	}
	w.end()
	<-w.gone // and everything that it had to say was heard
	if verdict := w.said(); verdict != nil {
		return verdict
	}
	if errors.Is(err, ErrEnded) {
		return fmt.Errorf("%w: it ended at once (%s)", ErrFailed, w.how)
	}
	return err
}

// Cookies are all that the browser has, those that it hides from pages too.
func (w *Window) Cookies(ctx context.Context) ([]Cookie, error) {
	answer, err := w.pipe.call(ctx, "Storage.getCookies", nil)
	if err != nil {
		return nil, fmt.Errorf("read the browser's cookies: %w", err)
	}
	return parseCookies(answer)
}

// Closed is closed once the window is gone: the person closed it, the browser crashed,
// the context of Open ended, or Close was called.
func (w *Window) Closed() <-chan struct{} { return w.closed }

// Close closes the window and ends the browser with all its processes. It returns when
// the folder is deleted; an error names the folder if that can't be done.
func (w *Window) Close() error {
	w.end()
	<-w.gone
	return w.err
}

// remove deletes a window's folder, in which ending processes may still write.
func remove(folder string, limit time.Duration) error {
	removeSocket(filepath.Join(folder, profileName))
	give := time.Now().Add(limit)
	for {
		err := os.RemoveAll(folder)
		if err == nil {
			return nil
		}
		if time.Now().After(give) {
			return fmt.Errorf("delete the browser's folder %s, which has cookies: %w", folder, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Sweep deletes the folders that a killed process left below dir. Where a browser of
// such a folder still runs, Sweep waits for its end, which comes with that of its pipe,
// and else kills it. No window below dir may be open.
func Sweep(dir string) error { return sweep(dir, usual) }

func sweep(dir string, patience patience) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for folders of browsers: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), folderPrefix) {
			continue
		}
		folder := filepath.Join(dir, e.Name())
		errs = append(errs, outlive(folder, patience.end))
		errs = append(errs, remove(folder, patience.delete))
	}
	return errors.Join(errs...)
}
