package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// windowSize is a terminal's size in cells.
type windowSize struct {
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
}

// openTerminal makes a PTY of the container's own devpts. An image may lack
// /dev/ptmx, but a runtime always mounts /dev/pts.
func openTerminal(size windowSize) (master, slave int, err error) {
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	master, err = unix.Open("/dev/ptmx", flags, 0)
	if err != nil {
		master, err = unix.Open("/dev/pts/ptmx", flags, 0)
	}
	if err != nil {
		return -1, -1, fmt.Errorf("open /dev/ptmx and /dev/pts/ptmx: %w", err)
	}
	if slave, err = openSlave(master); err == nil {
		err = unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
	}
	if err != nil {
		closeAll(master, slave)
		return -1, -1, err
	}
	useUTF8(slave)
	return master, slave, nil
}

// openSlave prefers TIOCGPTPEER, which cannot be led astray by what is mounted
// at /dev/pts; gVisor lacks it.
func openSlave(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, fmt.Errorf("unlock the terminal: %w", err)
	}
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, flags)
	if errno == 0 {
		return int(slave), nil
	}
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return -1, fmt.Errorf("number of the terminal: %w", err)
	}
	fd, err := unix.Open(fmt.Sprintf("/dev/pts/%d", number), flags, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/pts/%d: %w", number, err)
	}
	return fd, nil
}

// useUTF8 lets the line discipline erase whole characters.
func useUTF8(slave int) {
	termios, err := unix.IoctlGetTermios(slave, unix.TCGETS)
	if err != nil {
		return
	}
	termios.Iflag |= unix.IUTF8
	_ = unix.IoctlSetTermios(slave, unix.TCSETS, termios)
}

func closeAll(descriptors ...int) {
	for _, fd := range descriptors {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
