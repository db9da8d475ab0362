//go:build !windows && !darwin

package clipboard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"langkeep/agent/secret"
)

// The clipboard of Wayland compositors that have data control, as an official extension or
// as wlroots began it: the same protocol under two names. Clients without a window may set
// and read the selection with it.
var dataControl = []string{"ext_data_control_manager_v1", "zwlr_data_control_manager_v1"}

// waylandLimit is for the compositor, or the owner of the selection, to answer.
const waylandLimit = time.Second

const displayObject = 1 // in every connection

// wayland is a connection to a compositor.
type wayland struct {
	conn  *net.UnixConn
	input []byte
	files []int  // descriptors that have come and no event has taken
	last  uint32 // object; each gets the next number

	registry, manager, seat, device, source uint32
}

// message is an event.
type message struct {
	object uint32
	code   uint16
	body   []byte
}

// reachWayland connects to the compositor and takes its data control; ErrUnavailable means
// that it has none.
func reachWayland(getenv func(string) string) (*wayland, error) {
	path := getenv("WAYLAND_DISPLAY")
	if !filepath.IsAbs(path) {
		path = filepath.Join(getenv("XDG_RUNTIME_DIR"), path)
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("reach the compositor: %w", err)
	}
	w := &wayland{conn: conn, last: displayObject}
	if err := w.bind(); err != nil {
		w.conn.Close()
		return nil, err
	}
	return w, nil
}

func (w *wayland) bind() error {
	names := map[string]uint32{}
	w.registry = w.object()
	if err := w.send(displayObject, 1, nil, w.registry); err != nil { // get_registry
		return err
	}
	err := w.sync(func(m message) {
		if m.object == w.registry && m.code == 0 && len(m.body) > 8 { // global
			names[text(m.body[4:])] = binary.NativeEndian.Uint32(m.body)
		}
	})
	if err != nil {
		return err
	}
	seat, ok := names["wl_seat"]
	if !ok {
		return ErrUnavailable
	}
	for _, manager := range dataControl {
		if name, ok := names[manager]; ok {
			w.manager, w.seat, w.device = w.object(), w.object(), w.object()
			return errors.Join(
				w.send(w.registry, 0, nil, name, manager, uint32(1), w.manager), // bind
				w.send(w.registry, 0, nil, seat, "wl_seat", uint32(1), w.seat),
				w.send(w.manager, 1, nil, w.device, w.seat), // get_data_device
			)
		}
	}
	return ErrUnavailable
}

// ownWayland offers a secret as the selection. It is there as long as the connection, if
// nothing else is copied.
func ownWayland(getenv func(string) string, s secret.Text) (func(), error) {
	w, err := reachWayland(getenv)
	if err != nil {
		return nil, err
	}
	w.source = w.object()
	errs := []error{w.send(w.manager, 0, nil, w.source)} // create_data_source
	for _, kind := range append([]string{hintName}, textKinds...) {
		errs = append(errs, w.send(w.source, 0, nil, kind)) // offer
	}
	errs = append(errs, w.send(w.device, 0, nil, w.source), w.sync(func(message) {})) // set_selection
	if err := errors.Join(errs...); err != nil {
		w.close()
		return nil, fmt.Errorf("own the clipboard: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.serve(s)
	}()
	return sync.OnceFunc(func() {
		clearWayland(getenv, s)
		w.conn.Close()
		<-ended
	}), nil
}

// serve answers requests for the secret until the connection ends.
func (w *wayland) serve(s secret.Text) {
	defer w.close()
	for {
		m, err := w.event()
		if err != nil {
			return
		}
		if m.object != w.source || m.code != 0 { // send
			continue
		}
		fd, ok := w.file()
		if !ok {
			return
		}
		content := s.Reveal()
		if text(m.body) == hintName {
			content = hintSecret
		}
		go give(fd, content)
	}
}

// give writes content into a pipe, for as long as its reader is patient.
func give(fd int, content string) {
	_ = syscall.SetNonblock(fd, true) // so that the deadline works
	file := os.NewFile(uintptr(fd), "pipe")
	defer file.Close()
	_ = file.SetWriteDeadline(time.Now().Add(10 * waylandLimit))
	_, _ = io.WriteString(file, content) // its reader may have gone
}

// clearWayland takes the secret away, also from a clipboard manager that has taken it over.
func clearWayland(getenv func(string) string, s secret.Text) {
	w, err := reachWayland(getenv)
	if err != nil {
		return // with the compositor its clipboard has gone
	}
	defer w.close()
	if there, err := w.selection(len(s.Reveal()) + 1); err != nil || there != s.Reveal() {
		return
	}
	_ = w.send(w.device, 0, nil, uint32(0)) // set_selection; as above
	_ = w.sync(func(message) {})
}

// selection reads at most limit bytes of what is on the clipboard.
func (w *wayland) selection(limit int) (string, error) {
	kinds := map[uint32][]string{}
	var offer uint32
	err := w.sync(func(m message) {
		switch {
		case m.object == w.device && m.code == 1 && len(m.body) == 4: // selection
			offer = binary.NativeEndian.Uint32(m.body)
		case m.object >= 0xff000000 && m.code == 0: // offer
			kinds[m.object] = append(kinds[m.object], text(m.body))
		}
	})
	if err != nil || offer == 0 {
		return "", err
	}
	for _, kind := range textKinds {
		if !slices.Contains(kinds[offer], kind) {
			continue
		}
		r, into, err := os.Pipe()
		if err != nil {
			return "", err
		}
		defer r.Close()
		err = w.send(offer, 0, into, kind) // receive
		into.Close()
		if err != nil {
			return "", err
		}
		if err := r.SetReadDeadline(time.Now().Add(waylandLimit)); err != nil {
			return "", err
		}
		content, err := io.ReadAll(io.LimitReader(r, int64(limit)))
		return string(content), err
	}
	return "", nil
}

// sync waits until the compositor has done all requests, and hands the events until then
// to see.
func (w *wayland) sync(see func(message)) error {
	callback := w.object()
	if err := w.send(displayObject, 0, nil, callback); err != nil { // sync
		return err
	}
	if err := w.conn.SetReadDeadline(time.Now().Add(waylandLimit)); err != nil {
		return err
	}
	for {
		m, err := w.event()
		switch {
		case err != nil:
			return fmt.Errorf("the compositor: %w", err)
		case m.object == displayObject && m.code == 0: // error
			return errors.New("the compositor refuses")
		case m.object == callback:
			return w.conn.SetReadDeadline(time.Time{})
		}
		see(m)
	}
}

// object is the number of a new object.
func (w *wayland) object() uint32 {
	w.last++
	return w.last
}

// send sends a request, with a file or nil.
func (w *wayland) send(object uint32, code uint16, file *os.File, args ...any) error {
	var body []byte
	for _, arg := range args {
		switch a := arg.(type) {
		case uint32:
			body = binary.NativeEndian.AppendUint32(body, a)
		case string:
			body = binary.NativeEndian.AppendUint32(body, uint32(len(a)+1))
			body = append(body, a...)
			body = append(body, make([]byte, 4-len(a)%4)...)
		}
	}
	head := binary.NativeEndian.AppendUint32(nil, object)
	head = binary.NativeEndian.AppendUint32(head, uint32(8+len(body))<<16|uint32(code))
	var rights []byte
	if file != nil {
		rights = syscall.UnixRights(int(file.Fd()))
	}
	_, _, err := w.conn.WriteMsgUnix(append(head, body...), rights, nil)
	return err
}

// event waits for one.
func (w *wayland) event() (message, error) {
	for {
		if len(w.input) >= 8 {
			head := binary.NativeEndian.Uint32(w.input[4:])
			size := int(head >> 16)
			if size < 8 {
				return message{}, errors.New("an event of the wrong size")
			}
			if len(w.input) >= size {
				m := message{binary.NativeEndian.Uint32(w.input), uint16(head), bytes.Clone(w.input[8:size])}
				w.input = w.input[size:]
				return m, nil
			}
		}
		data, control := make([]byte, 4096), make([]byte, syscall.CmsgSpace(4*28)) // a compositor sends at most 28
		n, controls, _, _, err := w.conn.ReadMsgUnix(data, control)
		if err != nil {
			return message{}, err
		}
		if n == 0 {
			return message{}, io.EOF
		}
		w.input = append(w.input, data[:n]...)
		parts, err := syscall.ParseSocketControlMessage(control[:controls])
		if err != nil {
			return message{}, err
		}
		for _, part := range parts {
			if fds, err := syscall.ParseUnixRights(&part); err == nil {
				w.files = append(w.files, fds...)
			}
		}
	}
}

// file takes the descriptor that belongs to the last event.
func (w *wayland) file() (fd int, ok bool) {
	if len(w.files) == 0 {
		return 0, false
	}
	fd, w.files = w.files[0], w.files[1:]
	return fd, true
}

func (w *wayland) close() {
	w.conn.Close()
	for _, fd := range w.files {
		_ = syscall.Close(fd)
	}
	w.files = nil
}

// text reads a string: its length with a final zero, and its bytes.
func text(body []byte) string {
	if len(body) < 4 {
		return ""
	}
	n := int(binary.NativeEndian.Uint32(body))
	if n < 1 || n > len(body)-4 {
		return ""
	}
	return strings.Clone(string(body[4 : 4+n-1]))
}
