package guard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// holderOf can't tell the process behind a TCP connection here: the socket's is known.
func holderOf(_, _ netip.AddrPort) int { return 0 }

// noTerminal is kinfo_proc's e_tdev of a process without a terminal: NODEV.
const noTerminal = -1

// inspect looks at a process, see sysctl(3).
func inspect(pid int) (inspected, bool) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return inspected{}, false
	}
	// A count, the file's path, zeros, then the arguments, each with a zero at its end.
	data, err := unix.SysctlRaw("kern.procargs2", pid)
	if err != nil || len(data) < 4 {
		return inspected{}, false
	}
	count := int(binary.NativeEndian.Uint32(data))
	exe, rest, _ := bytes.Cut(data[4:], []byte{0})
	i := inspected{exe: string(exe), parent: int(info.Eproc.Ppid), terminal: info.Eproc.Tdev != noTerminal}
	for rest = bytes.TrimLeft(rest, "\x00"); count > 0 && len(rest) > 0; count-- {
		var arg []byte
		arg, rest, _ = bytes.Cut(rest, []byte{0})
		i.args = append(i.args, string(arg))
	}
	if session, err := unix.Getsid(pid); err == nil {
		i.session = sessionKey(session)
	}
	return i, true
}

// sessionBegin is when the first process of a session began; "" if that one has gone.
func sessionBegin(session int) string {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", session)
	if err != nil {
		return ""
	}
	begin := info.Proc.P_starttime
	return fmt.Sprintf("%d.%d", begin.Sec, begin.Usec)
}

// sessionHolds tells whether any process is in a session.
func sessionHolds(session int) bool {
	processes, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	return err == nil && slices.ContainsFunc(processes, func(p unix.KinfoProc) bool {
		of, err := unix.Getsid(int(p.Proc.P_pid))
		return err == nil && of == session
	})
}
