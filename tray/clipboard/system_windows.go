package clipboard

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"langkeep/agent/secret"
)

// The parts of Windows' clipboard, as learn.microsoft.com describes them.
const (
	unicodeText = 13     // CF_UNICODETEXT
	moveable    = 0x0002 // GMEM_MOVEABLE
)

// secretFormats keep a secret out of the history, the cloud and clipboard
// managers ("Cloud Clipboard and Clipboard History Formats").
var secretFormats = [...]string{
	"ExcludeClipboardContentFromMonitorProcessing", "CanIncludeInClipboardHistory", "CanUploadToCloudClipboard",
}

// api are the functions of user32.dll and kernel32.dll.
type api struct {
	openClipboard, emptyClipboard, setClipboardData, closeClipboard *windows.LazyProc
	sequenceNumber, registerFormat                                  *windows.LazyProc
	globalAlloc, globalLock, globalUnlock, globalFree               *windows.LazyProc
}

// system uses the clipboard of the window station, which every session has.
func system(func(string) string) (putter, error) {
	user, kernel := windows.NewLazySystemDLL("user32.dll"), windows.NewLazySystemDLL("kernel32.dll")
	a := &api{
		openClipboard: user.NewProc("OpenClipboard"), emptyClipboard: user.NewProc("EmptyClipboard"),
		setClipboardData: user.NewProc("SetClipboardData"), closeClipboard: user.NewProc("CloseClipboard"),
		sequenceNumber: user.NewProc("GetClipboardSequenceNumber"), registerFormat: user.NewProc("RegisterClipboardFormatW"),
		globalAlloc: kernel.NewProc("GlobalAlloc"), globalLock: kernel.NewProc("GlobalLock"),
		globalUnlock: kernel.NewProc("GlobalUnlock"), globalFree: kernel.NewProc("GlobalFree"),
	}
	return a.put, nil
}

func (a *api) put(s secret.Text) (func(), error) {
	text, err := windows.UTF16FromString(s.Reveal())
	if err != nil {
		return nil, fmt.Errorf("copy: %w", err)
	}
	err = a.opened(func() error {
		if err := a.set(unicodeText, unsafe.Slice((*byte)(unsafe.Pointer(&text[0])), 2*len(text))); err != nil {
			return err
		}
		for _, name := range secretFormats {
			utf16, err := windows.UTF16PtrFromString(name)
			if err != nil {
				return err
			}
			format, _, err := a.registerFormat.Call(uintptr(unsafe.Pointer(utf16)))
			if format == 0 {
				return fmt.Errorf("RegisterClipboardFormat: %w", err)
			}
			if err := a.set(format, make([]byte, 4)); err != nil { // a DWORD of 0: no
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("copy: %w", err)
	}
	mine, _, _ := a.sequenceNumber.Call()
	return func() {
		if now, _, _ := a.sequenceNumber.Call(); now == mine {
			_ = a.opened(func() error { return nil }) // on an error the secret stays; nothing else can be done
		}
	}, nil
}

// opened empties the clipboard and calls fill. Another program may have it open
// for a moment.
func (a *api) opened(fill func() error) error {
	runtime.LockOSThread() // the clipboard is a thread's
	defer runtime.UnlockOSThread()
	for try := 0; ; try++ {
		ok, _, err := a.openClipboard.Call(0)
		if ok != 0 {
			break
		}
		if try == 10 {
			return fmt.Errorf("OpenClipboard: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	defer a.closeClipboard.Call()
	if ok, _, err := a.emptyClipboard.Call(); ok == 0 {
		return fmt.Errorf("EmptyClipboard: %w", err)
	}
	return fill()
}

// set gives the opened clipboard a copy of data, which is then the system's.
func (a *api) set(format uintptr, data []byte) error {
	memory, _, err := a.globalAlloc.Call(moveable, uintptr(len(data)))
	if memory == 0 {
		return fmt.Errorf("GlobalAlloc: %w", err)
	}
	address, _, err := a.globalLock.Call(memory)
	if address == 0 {
		a.globalFree.Call(memory)
		return fmt.Errorf("GlobalLock: %w", err)
	}
	// go vet takes a conversion from uintptr for a mistake; this memory is not Go's.
	copy(unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), len(data)), data)
	a.globalUnlock.Call(memory)
	if ok, _, err := a.setClipboardData.Call(format, memory); ok == 0 {
		a.globalFree.Call(memory)
		return fmt.Errorf("SetClipboardData: %w", err)
	}
	return nil
}
