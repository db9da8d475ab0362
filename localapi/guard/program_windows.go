package guard

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

const (
	ownersOfConnections = 4               // TCP_TABLE_OWNER_PID_CONNECTIONS
	rowSize             = 6 * 4           // MIB_TCPROW_OWNER_PID
	tableLimit          = 4 << 20         // bytes
	tableTime           = 3 * time.Second // for the system to answer
)

var extendedTable = windows.NewLazySystemDLL("iphlpapi.dll").NewProc("GetExtendedTcpTable")

// holderOf is the process at the other end of a connection over 127.0.0.1; 0 if it can't
// be told in time.
func holderOf(remote, local netip.AddrPort) int {
	if !remote.Addr().Is4() {
		return 0
	}
	found := make(chan int, 1)
	go func() { found <- searchTable(remote, local) }()
	select {
	case pid := <-found:
		return pid
	case <-time.After(tableTime):
		return 0
	}
}

func searchTable(remote, local netip.AddrPort) int {
	if extendedTable.Find() != nil {
		return 0
	}
	for size := uint32(16 << 10); size <= tableLimit; {
		table := make([]byte, size)
		status, _, _ := extendedTable.Call(uintptr(unsafe.Pointer(&table[0])), uintptr(unsafe.Pointer(&size)), 0, windows.AF_INET, ownersOfConnections, 0)
		if windows.Errno(status) == windows.ERROR_INSUFFICIENT_BUFFER {
			size += 4 << 10 // connections may have come meanwhile
			continue
		}
		if status != 0 {
			return 0
		}
		rows := int(binary.LittleEndian.Uint32(table))
		for i := range rows {
			if row := table[4+i*rowSize:]; len(row) >= rowSize && end(row[4:]) == remote && end(row[12:]) == local {
				return int(binary.LittleEndian.Uint32(row[20:]))
			}
		}
		return 0
	}
	return 0
}

// end is an address and a port of a row, both in the network's order.
func end(row []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(row)), binary.BigEndian.Uint16(row[4:]))
}

// inspect looks at a process. Its arguments are not known, so an interpreter is told apart
// by its file alone.
func inspect(pid int) (inspected, bool) {
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return inspected{}, false
	}
	defer windows.CloseHandle(process)
	path := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(path))
	if err := windows.QueryFullProcessImageName(process, 0, &path[0], &size); err != nil {
		return inspected{}, false
	}
	i := inspected{exe: windows.UTF16ToString(path[:size]), args: []string{"", "-"}, parent: parentOf(pid, process)}
	var session uint32
	if windows.ProcessIdToSessionId(uint32(pid), &session) == nil {
		i.session = strconv.Itoa(int(session))
	}
	return i, true
}

// parentOf is the process that started another one; 0 if it has ended: its number may be
// another's by now.
func parentOf(pid int, process windows.Handle) int {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return 0
	}
	defer windows.CloseHandle(snapshot)
	entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err := windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		if entry.ProcessID != uint32(pid) {
			continue
		}
		parent, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, entry.ParentProcessID)
		if err != nil {
			return 0
		}
		defer windows.CloseHandle(parent)
		if begun(parent) > begun(process) {
			return 0
		}
		return int(entry.ParentProcessID)
	}
	return 0
}

// begun is when a process began, in units of 100 ns.
func begun(process windows.Handle) int64 {
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(process, &created, &exited, &kernel, &user) != nil {
		return 0
	}
	return created.Nanoseconds()
}

// SessionAlive tells whether the session of a Program goes on: it is the one that the
// agent itself runs in, and ends with it.
func SessionAlive(session string) bool {
	var own uint32
	err := windows.ProcessIdToSessionId(windows.GetCurrentProcessId(), &own)
	return err == nil && session == strconv.Itoa(int(own))
}
