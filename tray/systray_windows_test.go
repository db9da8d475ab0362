//go:build real

package tray

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"langkeep/agent/asks"
	"langkeep/agent/clock"
	"langkeep/localapi/client"
)

var (
	user32      = windows.NewLazySystemDLL("user32.dll")
	findWindow  = user32.NewProc("FindWindowW")
	postMessage = user32.NewProc("PostMessageW")
	sendMessage = user32.NewProc("SendMessageW")
	itemCount   = user32.NewProc("GetMenuItemCount")
	itemInfo    = user32.NewProc("GetMenuItemInfoW")
)

// nativeItem is a line of Windows' menu.
type nativeItem struct {
	id       uint32
	title    string
	disabled bool
	checked  bool
	below    []nativeItem
}

// nativeItems reads a menu of this process.
func nativeItems(t *testing.T, menu uintptr) []nativeItem {
	t.Helper()
	const (
		separator = 0x0800                                     // MFT_SEPARATOR
		disabled  = 0x0003                                     // MFS_DISABLED
		checked   = 0x0008                                     // MFS_CHECKED
		wanted    = 0x0001 | 0x0002 | 0x0004 | 0x0040 | 0x0100 // MIIM_STATE, ID, SUBMENU, STRING, FTYPE
	)
	count, _, _ := itemCount.Call(menu)
	var items []nativeItem
	for i := range count {
		title := [256]uint16{}
		info := struct {
			Size, Mask, Type, State, ID uint32
			Below, Checked, Unchecked   uintptr
			Data                        uintptr
			Title                       *uint16
			Length                      uint32
			Bitmap                      uintptr
		}{Mask: wanted, Title: &title[0], Length: uint32(len(title))}
		info.Size = uint32(unsafe.Sizeof(info))
		if ok, _, err := itemInfo.Call(menu, i, 1, uintptr(unsafe.Pointer(&info))); ok == 0 {
			t.Fatalf("line %d of the menu: %v", i, err)
		}
		if info.Type&separator != 0 {
			continue
		}
		item := nativeItem{
			id: info.ID, title: strings.ReplaceAll(windows.UTF16ToString(title[:]), "&&", "&"),
			disabled: info.State&disabled != 0, checked: info.State&checked != 0,
		}
		if info.Below != 0 {
			item.below = nativeItems(t, info.Below)
		}
		items = append(items, item)
	}
	return items
}

// nativeText writes them as text does a menu.
func nativeText(items []nativeItem, indent string) string {
	var b strings.Builder
	for _, i := range items {
		b.WriteString(indent + i.title)
		if i.disabled {
			b.WriteString(" (off)")
		}
		if i.checked {
			b.WriteString(" ✓")
		}
		b.WriteString("\n" + nativeText(i.below, indent+"  "))
	}
	return b.String()
}

// TestWindowsMenu reads the menu that Windows shows after each step of a person's day, and
// clicks in it. It needs a desktop.
func TestWindowsMenu(t *testing.T) {
	var mu sync.Mutex // protects the following
	profiles, questions, code := []client.Profile{of("prod", client.Fresh)}, []asks.Question(nil), ""
	var opened []string
	said := &lockedBuffer{}
	changes, stopped, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	actions := Actions{
		OpenPage: func(string) error { return nil },
		OpenURL: func(url string) error {
			mu.Lock()
			defer mu.Unlock()
			opened = append(opened, url)
			return nil
		},
		Quit: func() {},
	}
	config := Config{
		Profiles:  func() []client.Profile { mu.Lock(); defer mu.Unlock(); return slices.Clone(profiles) },
		Questions: func() []asks.Question { mu.Lock(); defer mu.Unlock(); return slices.Clone(questions) },
		Code:      func() string { mu.Lock(); defer mu.Unlock(); return code },
		Changes:   changes, Clock: clock.System(), Version: "1.2", Actions: actions,
		Log: slog.New(slog.NewTextHandler(said, nil)), Say: func(string) {},
	}
	go func() {
		runtime.LockOSThread() // for the window and its messages
		ended <- Run(config, stopped)
	}()
	class := func(name string) uintptr {
		p, err := windows.UTF16PtrFromString(name)
		if err != nil {
			t.Fatal(err)
		}
		window, _, _ := findWindow.Call(uintptr(unsafe.Pointer(p)), 0)
		return window
	}
	await := func(what string, so func() bool) {
		t.Helper()
		for limit := time.Now().Add(20 * time.Second); !so(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("not within 20 s: %s\n%s", what, said)
			}
		}
	}
	var window uintptr
	await("the tray's window", func() bool { window = class("SystrayClass"); return window != 0 })

	// A right click on the icon, as the taskbar tells of it.
	open := func() uintptr {
		t.Helper()
		const fromTaskbar, rightButtonUp = 0x0401, 0x0205 // systray's message, WM_RBUTTONUP
		postMessage.Call(window, fromTaskbar, 0, rightButtonUp)
		var menu uintptr
		await("an open menu", func() bool { menu = class("#32768"); return menu != 0 })
		const handle = 0x01E1 // MN_GETHMENU
		found, _, _ := sendMessage.Call(menu, handle, 0, 0)
		return found
	}
	closeMenu := func() {
		t.Helper()
		const cancelMode = 0x001F // WM_CANCELMODE
		postMessage.Call(window, cancelMode, 0, 0)
		await("a closed menu", func() bool { return class("#32768") == 0 })
	}
	want := func() string {
		all := text(compose(view{
			profiles: config.Profiles(), questions: config.Questions(), code: config.Code(), now: time.Now(), version: "1.2", can: config.Actions.offers(),
		}))
		_, lines, _ := strings.Cut(all, "\n") // after the icon and its tooltip
		return lines
	}
	shows := func(step string) []nativeItem {
		t.Helper()
		var items []nativeItem
		got := ""
		for limit := time.Now().Add(20 * time.Second); ; {
			items = nativeItems(t, open())
			closeMenu()
			if got = nativeText(items, ""); got == want() {
				return items
			}
			if time.Now().After(limit) {
				t.Fatalf("%s: Windows shows\n%swant\n%s", step, got, want())
			}
		}
	}
	set := func(q []asks.Question, p ...client.Profile) {
		mu.Lock()
		profiles, questions = p, q
		mu.Unlock()
		changes <- struct{}{}
	}
	fresh := func(name string) client.Profile {
		p := of(name, client.Fresh)
		p.AccessExpiresAt = new(time.Now().Add(52*time.Minute + 50*time.Second))
		return p
	}
	set(nil, fresh("prod"))
	first := shows("a restart with a profile")
	if got := nativeText(first[:1], ""); !strings.Contains(got, "  Open Langflow\n") || strings.Contains(nativeText(first, ""), "No profile yet") {
		t.Errorf("a restart with a profile shows\n%s", nativeText(first, ""))
	}
	for _, step := range []struct {
		name      string
		questions []asks.Question
		profiles  []client.Profile
	}{
		{"no profile", nil, nil},
		{"a profile that is not signed in", nil, []client.Profile{of("prod", client.SignedOut)}},
		{"the first sign-in", nil, []client.Profile{fresh("prod")}},
		{"a second profile", nil, []client.Profile{fresh("a&b"), fresh("prod")}},
		{"a question", []asks.Question{{ID: "1"}}, []client.Profile{fresh("prod")}},
		{"more than the menu holds", nil, slices.Collect(func(yield func(client.Profile) bool) {
			for i := range topProfiles + 3 {
				if !yield(fresh(fmt.Sprintf("p%02d", i))) {
					return
				}
			}
		})},
		{"one again", nil, []client.Profile{fresh("prod")}},
	} {
		set(step.questions, step.profiles...)
		first = shows(step.name)
	}

	// A code to confirm with has a line of its own while there is one.
	for _, now := range []string{"123 456", ""} {
		mu.Lock()
		code = now
		mu.Unlock()
		changes <- struct{}{}
		first = shows("the code " + now)
	}

	// Nothing moves in an open menu.
	menu := open()
	before := nativeText(nativeItems(t, menu), "")
	set(nil, fresh("another"), fresh("prod"))
	changes <- struct{}{} // taken after all was done for the change before
	if got := nativeText(nativeItems(t, menu), ""); got != before {
		t.Errorf("the open menu became\n%sfrom\n%s", got, before)
	}
	closeMenu()
	shows("the closed menu")
	set(nil, fresh("prod"))
	first = shows("the profile alone")

	// A click reaches its profile.
	const command = 0x0111 // WM_COMMAND
	entry := first[0].below[slices.IndexFunc(first[0].below, func(i nativeItem) bool { return i.title == "Open Langflow" })]
	postMessage.Call(window, command, uintptr(entry.id), 0)
	await("Langflow in the browser", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Equal(opened, []string{"https://flows.example.org"})
	})

	close(stopped)
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the tray does not end")
	}
	if said.String() != "" {
		t.Errorf("the log has\n%s", said)
	}
}

// lockedBuffer is a log of several goroutines.
type lockedBuffer struct {
	mu   sync.Mutex // protects the following
	data bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}
