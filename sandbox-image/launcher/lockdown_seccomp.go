package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The filter allows by default: the container runtime's own filter, where there
// is one, is below it. What it refuses is what an agent never needs and an
// escape does. An errno, not a kill, so that programs that only try go on.

// Actions of a filter.
const (
	actAllow = unix.SECCOMP_RET_ALLOW
	actKill  = unix.SECCOMP_RET_KILL_PROCESS
)

func refuse(errno unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(errno) }

// Offsets in struct seccomp_data. Both architectures are little-endian, and the
// kernel takes each argument that is looked at here as 32 bits, so the low half
// alone must be compared: a high half set by an attacker is ignored there, too.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

const newNamespace = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// The flags of unshare; clone has its exit signal where this bit is.
const newNamespaceUnshare = newNamespace | unix.CLONE_NEWTIME

// deniedCalls answer EPERM whatever their arguments are.
var deniedCalls = []uintptr{
	// Other processes' memory and descriptors.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD,
	// Kernel interfaces with a long record of holes.
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN,
	unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_FANOTIFY_INIT, unix.SYS_MIGRATE_PAGES, unix.SYS_PROCESS_MADVISE, unix.SYS_PROCESS_MRELEASE,
	// Mounts, roots and namespaces.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR,
	unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_FSCONFIG, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_SETNS,
	// The machine.
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_REBOOT, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_ACCT, unix.SYS_QUOTACTL,
	unix.SYS_QUOTACTL_FD, unix.SYS_NFSSERVCTL, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME,
	unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_VHANGUP, unix.SYS_SYSLOG,
	// Files by handle escape a mount namespace.
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_LOOKUP_DCOOKIE,
}

// instructions is a classic BPF program, or a part of one.
type instructions []unix.SockFilter

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func argument(index uint32) unix.SockFilter { return load(offArgs + 8*index) }

func mask(bits uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: bits}
}

func ret(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

// jumpEqual skips `yes` instructions if the accumulator is the value, else `no`.
func jumpEqual(value uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jt: yes, Jf: no}
}

func jumpAnyBit(bits uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: bits, Jt: yes, Jf: no}
}

func (p *instructions) add(more ...unix.SockFilter) { *p = append(*p, more...) }

// on adds a block for one system call. Every block ends with a return, so that
// the next one finds the call's number still in the accumulator.
func (p *instructions) on(call uintptr, block ...unix.SockFilter) {
	p.add(jumpEqual(uint32(call), 0, uint8(len(block))))
	p.add(block...)
}

// filterFor assembles the filter for a network mode; launcher is the process
// whose threads nobody else places.
func filterFor(network string, launcher int) instructions {
	var p instructions
	p.add(load(offArch), jumpEqual(auditArch, 1, 0), ret(actKill), load(offNumber))
	if x32Bit != 0 {
		p.add(jumpAnyBit(x32Bit, 0, 1), ret(actKill))
	}
	denied := refuse(unix.EPERM)
	for _, call := range append(append([]uintptr{}, deniedCalls...), deniedHere...) {
		p.on(call, ret(denied))
	}
	// libc falls back to clone, whose flags can be seen; those of clone3 are in memory.
	p.on(unix.SYS_CLONE3, ret(refuse(unix.ENOSYS)))
	p.on(unix.SYS_CLONE, argument(0), jumpAnyBit(newNamespace, 0, 1), ret(denied), ret(actAllow))
	p.on(unix.SYS_UNSHARE, argument(0), jumpAnyBit(newNamespaceUnshare, 0, 1), ret(denied), ret(actAllow))
	p.on(unix.SYS_PERSONALITY, argument(0),
		jumpEqual(0, 0, 1), ret(actAllow),
		jumpEqual(0xffffffff, 0, 1), ret(actAllow),
		ret(denied))
	p.addRanks()
	p.addPlaces(launcher)
	// Typing into the terminal on behalf of whoever reads it next, and line
	// disciplines, each of which is a module of the kernel's.
	p.on(unix.SYS_IOCTL, argument(1),
		jumpEqual(unix.TIOCSTI, 0, 1), ret(denied),
		jumpEqual(tioclinux, 0, 1), ret(denied),
		jumpEqual(unix.TIOCSETD, 0, 1), ret(denied),
		ret(actAllow))
	// TCP Fast Open connects without connect(), which is where Landlock looks.
	for _, send := range []struct {
		call  uintptr
		flags uint32
	}{{unix.SYS_SENDTO, 3}, {unix.SYS_SENDMSG, 2}, {unix.SYS_SENDMMSG, 3}} {
		p.on(send.call, argument(send.flags), jumpAnyBit(unix.MSG_FASTOPEN, 0, 1), ret(denied), ret(actAllow))
	}
	p.addSockets(network)
	p.add(ret(actAllow))
	return p
}

const tioclinux = 0x541c

const ioprioWhoProcess = 1

// addRanks leaves a process its own limits and its own place in the scheduler's
// queue. Those of others are the launcher's, too, as it has the same user: without
// descriptors, or behind everybody else, it neither records nor stops.
func (p *instructions) addRanks() {
	denied := refuse(unix.EPERM)
	// The third argument is where new limits lie: without one, limits are only read.
	p.on(unix.SYS_PRLIMIT64, argument(0), jumpEqual(0, 0, 1), ret(actAllow),
		argument(2), jumpEqual(0, 1, 0), ret(denied),
		load(offArgs+8*2+4), jumpEqual(0, 0, 1), ret(actAllow), ret(denied))
	for _, call := range []uintptr{unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETATTR} {
		p.on(call, argument(0), jumpEqual(0, 0, 1), ret(actAllow), ret(denied))
	}
	for _, set := range []struct {
		call uintptr
		kind uint32 // one process, not a group or a user
	}{{unix.SYS_SETPRIORITY, unix.PRIO_PROCESS}, {unix.SYS_IOPRIO_SET, ioprioWhoProcess}} {
		p.on(set.call, argument(0), jumpEqual(set.kind, 1, 0), ret(denied), argument(1), jumpEqual(0, 0, 1), ret(actAllow), ret(denied))
	}
}

// Threads of the launcher's that are looked at: it makes a dozen at its start.
const mostThreads = 100

// addPlaces leaves everybody to choose processors for its threads, which
// libraries do by the threads' numbers, but not for the launcher's: on one
// processor together with all that spins it would hardly run.
func (p *instructions) addPlaces(launcher int) {
	threads, err := numbersIn(fmt.Sprintf("/proc/%d/task", launcher))
	if err != nil || len(threads) == 0 {
		threads = []int{launcher}
	}
	block := instructions{argument(0)}
	for _, thread := range threads[:min(len(threads), mostThreads)] {
		block.add(jumpEqual(uint32(thread), 0, 1), ret(refuse(unix.EPERM)))
	}
	block.add(ret(actAllow))
	p.on(unix.SYS_SCHED_SETAFFINITY, block...)
}

// addSockets leaves Unix sockets, and TCP where the mode has a network. MPTCP
// and SCTP are streams that Landlock's port rules do not see.
func (p *instructions) addSockets(network string) {
	denied := refuse(unix.EACCES)
	p.on(unix.SYS_SOCKETPAIR, argument(0), jumpEqual(unix.AF_UNIX, 0, 1), ret(actAllow), ret(denied))
	if network == networkNone {
		p.on(unix.SYS_SOCKET, argument(0), jumpEqual(unix.AF_UNIX, 0, 1), ret(actAllow), ret(denied))
		return
	}
	p.on(unix.SYS_SOCKET,
		argument(0),
		jumpEqual(unix.AF_UNIX, 0, 1), ret(actAllow),
		jumpEqual(unix.AF_INET, 2, 0), jumpEqual(unix.AF_INET6, 1, 0), ret(denied),
		argument(1), mask(^uint32(unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)),
		jumpEqual(unix.SOCK_STREAM, 1, 0), ret(denied),
		argument(2),
		jumpEqual(0, 0, 1), ret(actAllow),
		jumpEqual(unix.IPPROTO_TCP, 0, 1), ret(actAllow),
		ret(denied))
}

// install sets the filter for the calling thread. no_new_privs must be set.
func (p instructions) install() error {
	program := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("install the filter: %w", errno)
	}
	return nil
}
