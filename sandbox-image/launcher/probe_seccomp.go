package main

import (
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// seccompChecks run with the filter alone. Where possible the arguments make
// the kernel itself answer otherwise than the filter does, so that a missing
// capability is not mistaken for it.
var seccompChecks = slices.Concat([]check{
	{name: "seccomp.filter-mode", layer: layerSeccomp, stage: stageFilter, try: func(*stagePlan) outcome {
		mode := statusNumber("/proc/self/status", "Seccomp")
		return holds(mode == unix.SECCOMP_MODE_FILTER, "mode %d", mode)
	}},
	{name: "seccomp.filter-added", layer: layerSeccomp, stage: stageFilter, try: func(p *stagePlan) outcome {
		filters := statusNumber("/proc/self/status", "Seccomp_filters")
		// Before Linux 5.9 the number is not told.
		return holds(filters == p.BaseFilters+1 || filters < 0, "%d filters, PID 1 has %d", filters, p.BaseFilters)
	}},
	{name: "seccomp.clone3-unknown", layer: layerSeccomp, stage: stageFilter, try: func(*stagePlan) outcome {
		return refused(call(unix.SYS_CLONE3, 0, 0), unix.ENOSYS)
	}},
	{name: "seccomp.tcp-follows-mode", layer: layerSeccomp, stage: stageFilter, try: func(p *stagePlan) outcome {
		err := socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if p.Lockdown.Network == networkNone {
			return refused(err, unix.EACCES)
		}
		return allowed(err)
	}},
	{name: "seccomp.unix-socket-allowed", layer: layerSeccomp, stage: stageFilter, try: func(*stagePlan) outcome {
		return allowed(socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	}},
}, deniedCallChecks(), namespaceFlagChecks(), socketChecks(), foreignChecks)

// noSuchPID is above the highest number that a process can have.
const noSuchPID = 0x7ffffffe

// deniedAttempts must answer EPERM.
var deniedAttempts = []struct {
	name string
	try  func(p *stagePlan) error
}{
	{"ptrace", func(*stagePlan) error { return call(unix.SYS_PTRACE, unix.PTRACE_TRACEME) }},
	{"memory-read", func(p *stagePlan) error { return readsMemory(p.Target, unix.SYS_PROCESS_VM_READV) }},
	{"memory-write", func(p *stagePlan) error { return readsMemory(p.Target, unix.SYS_PROCESS_VM_WRITEV) }},
	{"descriptor-copy", func(*stagePlan) error { return call(unix.SYS_PIDFD_GETFD, minusOne, 0, 0) }},
	{"kcmp", func(*stagePlan) error { return call(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(os.Getpid()), 99) }},
	{"keyctl", func(*stagePlan) error { return call(unix.SYS_KEYCTL, 9999) }},
	{"add-key", func(*stagePlan) error { return call(unix.SYS_ADD_KEY, nowhere, nowhere, 0, 0, 0) }},
	{"request-key", func(*stagePlan) error { return call(unix.SYS_REQUEST_KEY, nowhere, nowhere, 0, 0) }},
	{"bpf", func(*stagePlan) error { return call(unix.SYS_BPF, 9999, 0, 0) }},
	{"perf-event-open", func(*stagePlan) error { return call(unix.SYS_PERF_EVENT_OPEN, nowhere, 0, minusOne, minusOne, 0) }},
	{"userfaultfd", func(*stagePlan) error { return call(unix.SYS_USERFAULTFD, 0xffff0000) }},
	{"io-uring-setup", func(*stagePlan) error { return call(unix.SYS_IO_URING_SETUP, 0, nowhere) }},
	{"io-uring-enter", func(*stagePlan) error { return call(unix.SYS_IO_URING_ENTER, minusOne, 0, 0, 0, 0, 0) }},
	{"io-uring-register", func(*stagePlan) error { return call(unix.SYS_IO_URING_REGISTER, minusOne, 0, 0, 0) }},
	{"mount", func(*stagePlan) error { return call(unix.SYS_MOUNT, nowhere, nowhere, nowhere, 0, nowhere) }},
	{"umount", func(*stagePlan) error { return call(unix.SYS_UMOUNT2, nowhere, 0xffff0000) }},
	{"move-mount", func(*stagePlan) error {
		return call(unix.SYS_MOVE_MOUNT, minusOne, nowhere, minusOne, nowhere, 0xffff0000)
	}},
	{"open-tree", func(*stagePlan) error { return call(unix.SYS_OPEN_TREE, minusOne, nowhere, 0xffff0000) }},
	{"fsopen", func(*stagePlan) error { return call(unix.SYS_FSOPEN, nowhere, 0xffff0000) }},
	{"fsmount", func(*stagePlan) error { return call(unix.SYS_FSMOUNT, minusOne, 0xffff0000, 0) }},
	{"fsconfig", func(*stagePlan) error { return call(unix.SYS_FSCONFIG, minusOne, 9999, 0, 0, 0) }},
	{"fspick", func(*stagePlan) error { return call(unix.SYS_FSPICK, minusOne, nowhere, 0xffff0000) }},
	{"mount-setattr", func(*stagePlan) error { return call(unix.SYS_MOUNT_SETATTR, minusOne, nowhere, 0xffff0000, nowhere, 0) }},
	{"pivot-root", func(*stagePlan) error { return call(unix.SYS_PIVOT_ROOT, nowhere, nowhere) }},
	{"chroot", func(*stagePlan) error { return call(unix.SYS_CHROOT, nowhere) }},
	{"setns", func(*stagePlan) error { return call(unix.SYS_SETNS, minusOne, 0) }},
	{"swap", func(*stagePlan) error { return call(unix.SYS_SWAPON, nowhere, 0xffff0000) }},
	{"reboot", func(*stagePlan) error { return tryReboot() }},
	{"kexec", func(*stagePlan) error { return tryKexec() }},
	{"module", func(*stagePlan) error { return tryModule() }},
	{"module-from-file", func(*stagePlan) error { return call(unix.SYS_FINIT_MODULE, minusOne, nowhere, 0) }},
	{"accounting", func(*stagePlan) error { return call(unix.SYS_ACCT, nowhere) }},
	{"quota", func(*stagePlan) error { return call(unix.SYS_QUOTACTL, minusOne, nowhere, 0, 0) }},
	{"clock", func(*stagePlan) error { return call(unix.SYS_SETTIMEOFDAY, 0, 0) }},
	{"clock-adjust", func(*stagePlan) error { return call(unix.SYS_ADJTIMEX, nowhere) }},
	{"kernel-log", func(*stagePlan) error { return call(unix.SYS_SYSLOG, minusOne, 0, 0) }},
	{"open-by-handle", func(*stagePlan) error { return call(unix.SYS_OPEN_BY_HANDLE_AT, minusOne, nowhere, 0) }},
	{"name-to-handle", func(*stagePlan) error {
		return call(unix.SYS_NAME_TO_HANDLE_AT, minusOne, nowhere, nowhere, nowhere, 0)
	}},
	{"personality", func(*stagePlan) error { return call(unix.SYS_PERSONALITY, 0x0040000) }},
	{"others-limits", func(*stagePlan) error { return call(unix.SYS_PRLIMIT64, noSuchPID, unix.RLIMIT_NOFILE, nowhere, 0) }},
	{"others-priority", func(*stagePlan) error { return call(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, noSuchPID, 19) }},
	{"others-scheduler", func(*stagePlan) error { return call(unix.SYS_SCHED_SETSCHEDULER, noSuchPID, 5, nowhere) }},
	{"others-scheduler-attributes", func(*stagePlan) error { return call(unix.SYS_SCHED_SETATTR, noSuchPID, nowhere, 0) }},
	{"others-io-priority", func(*stagePlan) error { return call(unix.SYS_IOPRIO_SET, ioprioWhoProcess, noSuchPID, 0) }},
	{"others-processors", func(p *stagePlan) error { return call(unix.SYS_SCHED_SETAFFINITY, uintptr(p.Launcher), 0, nowhere) }},
	{"line-discipline", func(*stagePlan) error { return call(unix.SYS_IOCTL, minusOne, unix.TIOCSETD, nowhere) }},
	{"terminal-input", func(*stagePlan) error { return call(unix.SYS_IOCTL, minusOne, unix.TIOCSTI, nowhere) }},
	{"terminal-input-high-bits", func(*stagePlan) error { return call(unix.SYS_IOCTL, minusOne, 1<<32|unix.TIOCSTI, nowhere) }},
	{"console", func(*stagePlan) error { return call(unix.SYS_IOCTL, minusOne, tioclinux, nowhere) }},
	{"fast-open-sendto", func(*stagePlan) error {
		return call(unix.SYS_SENDTO, minusOne, nowhere, 1, unix.MSG_FASTOPEN, nowhere, 16)
	}},
	{"fast-open-sendmsg", func(*stagePlan) error { return call(unix.SYS_SENDMSG, minusOne, nowhere, unix.MSG_FASTOPEN) }},
	{"fast-open-sendmmsg", func(*stagePlan) error { return call(unix.SYS_SENDMMSG, minusOne, nowhere, 1, unix.MSG_FASTOPEN) }},
}

func deniedCallChecks() []check {
	var checks []check
	for _, attempt := range deniedAttempts {
		checks = append(checks, check{
			name: "seccomp." + attempt.name + "-denied", layer: layerSeccomp, stage: stageFilter,
			try: func(p *stagePlan) outcome { return refused(attempt.try(p), unix.EPERM) },
		})
	}
	return checks
}

// namespaceFlagChecks ask for a namespace together with something impossible:
// the kernel would answer EINVAL, and nothing is made if the filter is missing.
func namespaceFlagChecks() []check {
	const impossible = 1
	var checks []check
	for _, namespace := range []struct {
		name string
		flag uintptr
	}{
		{"user", unix.CLONE_NEWUSER}, {"mount", unix.CLONE_NEWNS}, {"pid", unix.CLONE_NEWPID}, {"net", unix.CLONE_NEWNET},
		{"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS}, {"cgroup", unix.CLONE_NEWCGROUP}, {"time", unix.CLONE_NEWTIME},
	} {
		checks = append(checks, check{
			name: "seccomp.unshare-" + namespace.name + "-denied", layer: layerSeccomp, stage: stageFilter,
			try: func(*stagePlan) outcome {
				return refused(call(unix.SYS_UNSHARE, namespace.flag|impossible), unix.EPERM)
			},
		})
	}
	return append(checks, check{
		name: "seccomp.clone-user-denied", layer: layerSeccomp, stage: stageFilter,
		try: func(*stagePlan) outcome {
			return refused(call(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_FS, 0, 0, 0, 0), unix.EPERM)
		},
	})
}

// socketChecks must answer EACCES, which the kernel gives for none of them.
func socketChecks() []check {
	const mptcp = 262
	var checks []check
	for _, attempt := range []struct {
		name                   string
		domain, kind, protocol int
	}{
		{"udp", unix.AF_INET, unix.SOCK_DGRAM, 0}, {"udp-ipv6", unix.AF_INET6, unix.SOCK_DGRAM, 0},
		{"raw", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
		{"sctp", unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP},
		{"mptcp", unix.AF_INET, unix.SOCK_STREAM, mptcp}, {"mptcp-ipv6", unix.AF_INET6, unix.SOCK_STREAM, mptcp},
		{"netlink", unix.AF_NETLINK, unix.SOCK_RAW, 0}, {"packet", unix.AF_PACKET, unix.SOCK_RAW, 0},
		{"vsock", unix.AF_VSOCK, unix.SOCK_STREAM, 0}, {"crypto", unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
		{"bluetooth", unix.AF_BLUETOOTH, unix.SOCK_RAW, 0}, {"tipc", unix.AF_TIPC, unix.SOCK_STREAM, 0}, {"smc", unix.AF_SMC, unix.SOCK_STREAM, 0},
	} {
		checks = append(checks, check{
			name: "seccomp." + attempt.name + "-socket-denied", layer: layerSeccomp, stage: stageFilter,
			try: func(*stagePlan) outcome {
				return refused(socket(attempt.domain, attempt.kind, attempt.protocol), unix.EACCES)
			},
		})
	}
	return append(checks, check{
		name: "seccomp.socketpair-denied", layer: layerSeccomp, stage: stageFilter,
		try: func(*stagePlan) outcome {
			var pair [2]int32
			return refused(call(unix.SYS_SOCKETPAIR, unix.AF_TIPC, unix.SOCK_STREAM, 0, uintptr(unsafe.Pointer(&pair))), unix.EACCES)
		},
	})
}

// lockedChecks run with the whole lockdown, as the agent does.
var lockedChecks = []check{
	{name: "launcher.no-new-privileges", layer: layerLauncher, stage: stageLocked, try: func(*stagePlan) outcome {
		set := statusNumber("/proc/self/status", "NoNewPrivs")
		return holds(set == 1, "no_new_privs is %d", set)
	}},
	{name: "network.other-ports-refused", layer: layerNetwork, stage: stageLocked, applies: func(p *stagePlan) bool {
		return p.Expect.demands(layerSeccomp) && (p.Expect.demands(layerLandlock) || p.Expect.Network == networkNone)
	}, try: func(*stagePlan) outcome { return refused(connects(loopback4(1)), unix.EACCES) }},
}
