package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"langkeep/agent/autostart"
	"langkeep/agent/keychain"
	"langkeep/agent/paths"
)

// wants checks a finding: its verdict, a part of what was found, and that
// there is advice exactly where something is to be done.
func wants(t *testing.T, name string, f Finding, verdict Verdict, part string) {
	t.Helper()
	if f.Verdict != verdict || !strings.Contains(f.Found, part) {
		t.Errorf("%s: %s %q, want %s with %q", name, f.Verdict, f.Found, verdict, part)
	}
	if (f.Advice == "") != (verdict == OK) {
		t.Errorf("%s: the advice is %q", name, f.Advice)
	}
	for _, s := range []string{f.Found, f.Advice} {
		if s != "" && !strings.HasSuffix(s, ".") || strings.HasSuffix(s, "..") || strings.Contains(s, "%!") {
			t.Errorf("%s: %q is no sentence", name, s)
		}
	}
}

func look(t *testing.T, c Check) Finding {
	t.Helper()
	return c.Look(t.Context())
}

func TestRun(t *testing.T) {
	step := func(name string, v Verdict, blocks bool) Check {
		return Check{Name: name, Blocks: blocks, Look: func(ctx context.Context) Finding {
			if _, limited := ctx.Deadline(); !limited {
				t.Errorf("%s has no limit", name)
			}
			return Finding{v, "At /home/ann/x.", "See /home/ann."}
		}}
	}
	results := Run(t.Context(), "/home/ann",
		step("a", OK, true), step("b", Failed, false), step("c", Warning, true), step("d", Failed, true), step("e", OK, false))
	var names []string
	for _, r := range results {
		names = append(names, r.Check)
		if r.Found != "At ~/x." || r.Advice != "See ~." {
			t.Errorf("%+v", r)
		}
	}
	if !slices.Equal(names, []string{"a", "b", "c", "d"}) {
		t.Errorf("made %q", names)
	}
}

func TestTilde(t *testing.T) {
	for _, tc := range [][3]string{
		{"/home/ann/a and /home/ann/b", "/home/ann", "~/a and ~/b"},
		{"/home/anna/a", "/home/ann", "/home/anna/a"},
		{"/home/ann-2/a", "/home/ann", "/home/ann-2/a"},
		{"(/home/ann)", "/home/ann/", "(~)"},
		{`C:\Users\ann\x`, `C:\Users\ann`, `~\x`},
		{"/a/b", "/", "/a/b"},
		{"/a/b", "", "/a/b"},
	} {
		if got := tilde(tc[0], tc[1]); got != tc[2] {
			t.Errorf("%q without %q: %q", tc[0], tc[1], got)
		}
	}
}

// fakeStore is a memory store that goes wrong in one way.
type fakeStore struct {
	keychain.Store
	kind                  string
	ready, set, get, drop error
	other                 bool // Get gives back another secret
	keeps                 bool // Delete does nothing
}

func (f *fakeStore) Kind() string                { return f.kind }
func (f *fakeStore) Ready(context.Context) error { return f.ready }

func (f *fakeStore) Set(ctx context.Context, account string, it keychain.Item) error {
	if f.set != nil {
		return f.set
	}
	if n := len(it.Secret.Reveal()); n != secretSize || account != "doctor" {
		return fmt.Errorf("%s has %d bytes", account, n)
	}
	return f.Store.Set(ctx, account, it)
}

func (f *fakeStore) Get(ctx context.Context, account string) (keychain.Item, error) {
	if f.get != nil {
		return keychain.Item{}, f.get
	}
	it, err := f.Store.Get(ctx, account)
	if f.other {
		it = keychain.Item{}
	}
	return it, err
}

func (f *fakeStore) Delete(ctx context.Context, account string) error {
	if f.drop != nil || f.keeps {
		return f.drop
	}
	return f.Store.Delete(ctx, account)
}

func TestKeychain(t *testing.T) {
	for name, tc := range map[string]struct {
		store   fakeStore
		verdict Verdict
		part    string
	}{
		"fine":           {fakeStore{kind: "keychain"}, OK, "900 bytes was written to the keychain"},
		"a file":         {fakeStore{kind: "file"}, OK, "to the file"},
		"memory":         {fakeStore{kind: "memory"}, Warning, "forgets"},
		"locked":         {fakeStore{kind: "keychain", ready: keychain.ErrLocked}, Failed, "locked"},
		"missing":        {fakeStore{kind: "keychain", ready: keychain.ErrMissing}, Failed, "no keychain"},
		"no keyring":     {fakeStore{kind: "keychain", ready: keychain.ErrNoKeyring}, Failed, "has no keyring yet"},
		"silent":         {fakeStore{kind: "keychain", set: keychain.ErrSilent}, Failed, "doesn't answer"},
		"failing":        {fakeStore{kind: "keychain", get: fmt.Errorf("%w: odd", keychain.ErrFailing)}, Failed, "The keychain is failing: odd"},
		"another secret": {fakeStore{kind: "keychain", other: true}, Failed, "something else"},
		"no delete":      {fakeStore{kind: "keychain", drop: keychain.ErrFailing}, Failed, "failing"},
		"not deleted":    {fakeStore{kind: "keychain", keeps: true}, Failed, "still there"},
	} {
		memory := keychain.NewMemory()
		tc.store.Store = memory
		wants(t, name, look(t, Keychain(&tc.store)), tc.verdict, tc.part)
		if _, err := memory.Get(t.Context(), "doctor"); tc.store.drop == nil && !tc.store.keeps && !errors.Is(err, keychain.ErrNotFound) {
			t.Errorf("%s: the secret is still there: %v", name, err)
		}
	}
}

// fakeBus is a session bus by its names.
type fakeBus struct {
	names, starts []string
	host          bool
	ownedErr      error
	hostErr       error
	closed        *int
}

func (b fakeBus) owned(_ context.Context, name string) (bool, error) {
	return slices.Contains(b.names, name), b.ownedErr
}
func (b fakeBus) startable(_ context.Context, name string) (bool, error) {
	return slices.Contains(b.starts, name), nil
}
func (b fakeBus) trayHost(context.Context) (bool, error) { return b.host, b.hostErr }
func (b fakeBus) close()                                 { *b.closed++ }

func TestDesktop(t *testing.T) {
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		bus                 *fakeBus // nil: there is none
		tray, notifications Verdict
		trayPart, notesPart string
	}{
		"all":            {&fakeBus{names: []string{watcherName, notificationsName}, host: true}, OK, OK, "shows tray icons", "shows notifications"},
		"no bus":         {nil, Warning, Warning, "no session bus", "no session bus"},
		"plain GNOME":    {&fakeBus{names: []string{notificationsName}}, Warning, OK, "shows no tray icons", ""},
		"no host":        {&fakeBus{names: []string{watcherName}, starts: []string{notificationsName}}, Warning, OK, "no panel", "starts with the first"},
		"no daemon":      {&fakeBus{names: []string{watcherName}, host: true}, OK, Warning, "", "No program"},
		"a broken bus":   {&fakeBus{ownedErr: broken}, Warning, Warning, "broken", "broken"},
		"a broken panel": {&fakeBus{names: []string{watcherName}, hostErr: broken}, Warning, Warning, "broken", "No program"},
	} {
		opened, closed := 0, 0
		checks := desktopChecks(func(context.Context) (bus, error) {
			if tc.bus == nil {
				return nil, errors.New("none")
			}
			opened++
			tc.bus.closed = &closed
			return *tc.bus, nil
		})
		busVerdict := OK
		if tc.bus == nil {
			busVerdict = Warning
		}
		wants(t, name+": bus", look(t, checks[0]), busVerdict, "")
		wants(t, name+": tray", look(t, checks[1]), tc.tray, tc.trayPart)
		wants(t, name+": notifications", look(t, checks[2]), tc.notifications, tc.notesPart)
		if opened != closed {
			t.Errorf("%s: %d opened, %d closed", name, opened, closed)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	p := paths.Paths{Config: filepath.Join(dir, "c"), State: filepath.Join(dir, "s"), Run: filepath.Join(dir, "r")}
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{p.ConfigFile(), p.Token()} {
		if err := paths.WriteFile(file, nil); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, "as made", look(t, Files(p)), OK, "6 files and folders")
	if runtime.GOOS == "windows" {
		return // a file's access list does not show in its mode
	}
	chmod := func(file string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	chmod(p.ConfigFile(), 0o644)
	wants(t, "settings", look(t, Files(p)), Warning, "config.toml is open to other users (0644)")
	chmod(p.Token(), 0o644)
	chmod(p.Run, 0o755)
	f := look(t, Files(p))
	wants(t, "a secret", f, Failed, p.Run+" is open to other users (0755); "+p.Token()+" is")
	if f.Advice != "Run chmod 700 on it, or run chmod 600 on it." {
		t.Error(f.Advice)
	}
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	p := paths.Paths{Config: dir}
	wants(t, "none", look(t, Settings(p)), OK, "0 profiles")
	if err := os.Mkdir(p.ProfilesDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(p.ProfileFile("prod"), "server_url = 'https://flows.example.org'\n")
	wants(t, "one", look(t, Settings(p)), OK, "1 profile can")
	write(p.ConfigFile(), "allow_users = ['no such user', '1001']\n")
	if runtime.GOOS == "windows" { // which tells no user behind a connection, so the name means nothing
		wants(t, "an unknown user", look(t, Settings(p)), OK, "1 profile can")
	} else {
		wants(t, "an unknown user", look(t, Settings(p)), Warning, `This computer knows no user "no such user", whom allow_users`)
	}
	write(p.ProfileFile("prod"), "schema = 1\nserver_url = 7\n")
	write(p.ConfigFile(), "listen = 7\n")
	f := look(t, Settings(p))
	wants(t, "two broken", f, Failed, "prod.toml:2")
	if !strings.Contains(f.Found, "config.toml:1") {
		t.Error(f.Found)
	}
}

func TestAutostart(t *testing.T) {
	for _, tc := range []struct {
		status  autostart.Status
		err     error
		verdict Verdict
		part    string
	}{
		{autostart.Status{State: autostart.Enabled, Where: "/a/x.desktop"}, nil, OK, "starts at login (/a/x.desktop)"},
		{autostart.Status{State: autostart.Disabled}, nil, OK, "does not start at login"},
		{autostart.Status{State: autostart.Outdated, Where: "/a/x.desktop"}, nil, Warning, "/a/x.desktop starts another program"},
		{autostart.Status{}, errors.New("no home"), Warning, "No home."},
	} {
		f := look(t, Autostart(func() (autostart.Status, error) { return tc.status, tc.err }))
		wants(t, string(tc.status.State), f, tc.verdict, tc.part)
	}
}

func TestClipboard(t *testing.T) {
	wants(t, "fine", look(t, Clipboard(func() error { return nil })), OK, "cleared after 30 s")
	wants(t, "none", look(t, Clipboard(func() error { return errors.New("install Xwayland") })), Warning, "no copy entries (install Xwayland)")
}

func TestPeerLookup(t *testing.T) {
	wants(t, "fine", look(t, PeerLookup(func() error { return nil })), OK, "looked up")
	wants(t, "failing", look(t, PeerLookup(func() error { return errors.New("no netlink") })), Warning, "(no netlink), so the bearer alone decides")
}

func TestProxyVariables(t *testing.T) {
	for env, want := range map[string]struct {
		verdict Verdict
		part    string
	}{
		"":                                   {OK, "No proxy"},
		"HTTPS_PROXY=http://p:1":             {OK, "No proxy"},
		"HTTPS_PROXY=http://ann:hunt%er@p:1": {Failed, "HTTPS_PROXY is not a URL"},
		"HTTP_PROXY=http://ann:hunt%zer@p:1": {Failed, "HTTP_PROXY is not a URL"},
		"ALL_PROXY=http://ann:hunt%zer@p:1;HTTP_PROXY=p:1":                            {Failed, "ALL_PROXY is not a URL"},
		"all_proxy=socks4://ann:hunter2@p:1":                                          {Failed, "all_proxy is no http, https or socks5 URL"},
		"all_proxy=socks://p:1":                                                       {Failed, "all_proxy (p:1) is set and NO_PROXY is not"},
		"NO_PROXY=x":                                                                  {OK, "No proxy"},
		"HTTP_PROXY=http://p:1":                                                       {Failed, "HTTP_PROXY (p:1) is set and NO_PROXY is not"},
		"http_proxy=p:1":                                                              {Failed, "http_proxy (p:1)"},
		"ALL_PROXY=socks5://p:1":                                                      {Failed, "ALL_PROXY (p:1)"},
		"HTTP_PROXY=http://ann:hunter2@p:1":                                           {Failed, "HTTP_PROXY (p:1)"},
		"HTTP_PROXY=ann:hunter2@p:1":                                                  {Failed, "HTTP_PROXY (p:1)"},
		"HTTP_PROXY=http://ann:hunt\x7fer2@p:1":                                       {Failed, "HTTP_PROXY is not a URL"},
		"HTTP_PROXY=http://ann:12#hunter@p:1":                                         {Failed, "HTTP_PROXY is not a URL"},
		"HTTP_PROXY=ann:12/hunter@p:1":                                                {Failed, "HTTP_PROXY is not a URL"},
		"HTTP_PROXY=http://p:1;NO_PROXY=":                                             {Failed, "NO_PROXY is not"},
		"HTTP_PROXY=p;NO_PROXY=example.org":                                           {Failed, "lacks this computer"},
		"HTTP_PROXY=p;NO_PROXY=127.0.0.1":                                             {Failed, "lacks this computer"},
		"HTTP_PROXY=p;NO_PROXY=localhost,::1":                                         {Failed, "lacks this computer"},
		"HTTP_PROXY=p;NO_PROXY=*":                                                     {OK, "has this computer"},
		"HTTP_PROXY=p;no_proxy=LOCALHOST,127.0.0.1,::1":                               {OK, "has this computer"},
		"HTTP_PROXY=p;NO_PROXY=localhost, 127.0.0.0/8, [::1]":                         {OK, "has this computer"},
		"HTTP_PROXY=p;NO_PROXY=localhost,127.0.0.1":                                   {Warning, "lacks ::1"},
		"HTTP_PROXY=p;NO_PROXY=localhost,127.0.0.1,::1;no_proxy=example.org":          {Failed, "lacks this computer"},
		"HTTP_PROXY=p;NO_PROXY=localhost,127.0.0.1,::1;no_proxy=*;ALL_PROXY=http://q": {OK, "HTTP_PROXY (p), ALL_PROXY (q)"},
	} {
		vars := map[string]string{}
		for _, kv := range strings.Split(env, ";") {
			name, value, _ := strings.Cut(kv, "=")
			vars[name] = value
		}
		f := look(t, ProxyVariables(func(name string) string {
			if value := vars[name]; value != "" || runtime.GOOS != "windows" {
				return value
			}
			for n, value := range vars { // Windows has one variable of a name, in whatever case
				if strings.EqualFold(n, name) {
					return value
				}
			}
			return ""
		}))
		if runtime.GOOS == "windows" { // which is told in capitals
			want.part = strings.NewReplacer("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY").Replace(want.part)
		}
		wants(t, env, f, want.verdict, want.part)
		if strings.Contains(f.Found, "hunt") || strings.Contains(f.Found, "ann") {
			t.Errorf("%q tells a password: %s", env, f.Found)
		}
	}
}
