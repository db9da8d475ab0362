package guard

import "golang.org/x/sys/unix"

// peerOf returns the peer of the Unix socket fd, see unix(4).
func peerOf(fd int) (peer, error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return peer{}, err
	}
	pid, err := unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil {
		pid = 0 // not known
	}
	return peer{uid: cred.Uid, process: Process{PID: pid}}, nil
}
