package main

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The layouts of linux/landlock.h. They are written out because the attributes
// grow with the ABI, and the size tells the kernel which it gets.
type rulesetAttr struct {
	handledFS, handledNet, scoped uint64
}

type pathAttr struct {
	access uint64
	parent int32
	_      [4]byte // the kernel's struct is packed and reads only the first 12 bytes
}

type portAttr struct {
	access, port uint64
}

const (
	rulePath = 1
	rulePort = 2

	scopeAbstractUnix = 1 << 0
	scopeSignal       = 1 << 1

	bindTCP    = unix.LANDLOCK_ACCESS_NET_BIND_TCP
	connectTCP = unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
)

// What may be done with a file itself, and what with the entries of a directory.
// Device nodes are refused everywhere, so their rights are handled and granted
// to nobody.
const (
	writeFile = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	writeDir  = unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	makeDevice = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
)

// The ABI that brought each part.
const (
	abiRefer    = 2
	abiTruncate = 3
	abiNetwork  = 4
	abiIoctl    = 5
	abiScopes   = 6
)

// landlockABI is 0 where the kernel has no Landlock.
func landlockABI() int {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(abi)
}

// missingLandlock names what the kernel of this ABI cannot do.
func missingLandlock(abi int) []string {
	if abi == 0 {
		return []string{"landlock"}
	}
	var missing []string
	for _, part := range []struct {
		name  string
		since int
	}{
		{"landlock.truncate", abiTruncate}, {"landlock.network", abiNetwork},
		{"landlock.ioctl", abiIoctl}, {"landlock.scopes", abiScopes},
	} {
		if abi < part.since {
			missing = append(missing, part.name)
		}
	}
	return missing
}

// handledFiles is what of the file system this ABI can restrict.
func handledFiles(abi int) uint64 {
	access := uint64(writeFile | writeDir | makeDevice)
	if abi < abiRefer {
		access &^= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi < abiTruncate {
		access &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi < abiIoctl {
		access &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return access
}

// restrictFiles allows writing below writePaths alone, and draws the scopes.
func restrictFiles(abi int, writePaths []string) error {
	attr := rulesetAttr{handledFS: handledFiles(abi)}
	if abi >= abiScopes {
		attr.scoped = scopeAbstractUnix | scopeSignal
	}
	ruleset, err := createRuleset(abi, &attr)
	if err != nil {
		return fmt.Errorf("create the ruleset: %w", err)
	}
	defer closeAll(ruleset)
	for _, path := range writePaths {
		if err := allowWriting(ruleset, path, attr.handledFS); err != nil {
			return fmt.Errorf("allow %s: %w", path, err)
		}
	}
	return enforce(ruleset)
}

func allowWriting(ruleset int, path string, handled uint64) error {
	parent, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeAll(parent)
	var stat unix.Stat_t
	if err := unix.Fstat(parent, &stat); err != nil {
		return err
	}
	access := uint64(writeFile)
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		access |= writeDir
	}
	attr := pathAttr{access: access & handled, parent: int32(parent)}
	return addRule(ruleset, rulePath, unsafe.Pointer(&attr))
}

// portRules is what a network mode opens; it decides nothing else.
type portRules struct {
	connect, bind func(port int) bool
}

// rulesOf turns a network mode into ports. `None` opens none: its sockets are
// already refused by seccomp, and this is the second lock.
func rulesOf(l *lockdown) portRules {
	never := func(int) bool { return false }
	proxy := func(port int) bool { return slices.Contains(l.ProxyPorts, port) }
	switch l.Network {
	case networkStrict:
		return portRules{connect: proxy, bind: never}
	case networkLoopback:
		high := func(port int) bool { return port >= 1024 && !slices.Contains(l.DeniedPorts, port) }
		// Port 0 lets the kernel choose one of the ephemeral range.
		return portRules{
			connect: func(port int) bool { return high(port) || proxy(port) },
			bind:    func(port int) bool { return port == 0 || high(port) },
		}
	}
	return portRules{connect: never, bind: never}
}

// portRuleset makes the ruleset of a network mode without enforcing it. It
// restricts nobody until someone calls enforce, so PID 1 makes it once and
// gives it to every child: Landlock knows no port ranges, and the 64,000 rules
// of Loopback cost more to add than to enforce.
func portRuleset(abi int, l *lockdown) (int, error) {
	attr := rulesetAttr{handledNet: bindTCP | connectTCP}
	ruleset, err := createRuleset(abi, &attr)
	if err != nil {
		return -1, fmt.Errorf("create the ruleset: %w", err)
	}
	rules := rulesOf(l)
	var rule portAttr // one for all: nothing is allocated in the loop
	for port := range 65536 {
		rule.access = 0
		if rules.connect(port) {
			rule.access |= connectTCP
		}
		if rules.bind(port) {
			rule.access |= bindTCP
		}
		if rule.access == 0 {
			continue
		}
		rule.port = uint64(port)
		if err := addRule(ruleset, rulePort, unsafe.Pointer(&rule)); err != nil {
			closeAll(ruleset)
			return -1, fmt.Errorf("allow port %d: %w", port, err)
		}
	}
	return ruleset, nil
}

func createRuleset(abi int, attr *rulesetAttr) (int, error) {
	size := unsafe.Sizeof(*attr)
	if abi < abiScopes {
		size -= unsafe.Sizeof(attr.scoped)
	}
	if abi < abiNetwork {
		size -= unsafe.Sizeof(attr.handledNet)
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(attr)), size, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil // the kernel makes it close-on-exec
}

func addRule(ruleset int, kind uintptr, attr unsafe.Pointer) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), kind, uintptr(attr), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// enforce binds the calling thread, and what it becomes by execve.
func enforce(ruleset int) error {
	_, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0)
	if errno != 0 {
		return fmt.Errorf("enforce the ruleset: %w", errno)
	}
	return nil
}
