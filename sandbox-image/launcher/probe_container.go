package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// containerChecks look at what the container, and no lock of the launcher's,
// must refuse.
var containerChecks = slices.Concat([]check{
	{name: "container.sysrq-unwritable", layer: layerContainer, stage: stageBare, try: closedTo("/proc/sysrq-trigger", unix.O_WRONLY)},
	{name: "container.kernel-settings-unwritable", layer: layerContainer, stage: stageBare, try: closedTo("/proc/sys/kernel/core_pattern", unix.O_WRONLY)},
	{name: "container.sysfs-unwritable", layer: layerContainer, stage: stageBare, try: closedTo("/sys/kernel/uevent_helper", unix.O_WRONLY)},
	{name: "container.cgroup-unwritable", layer: layerContainer, stage: stageBare, try: closedTo("/sys/fs/cgroup/cgroup.procs", unix.O_WRONLY)},
	{name: "container.kernel-memory-unreadable", layer: layerContainer, stage: stageBare, try: emptyOrClosed("/proc/kcore")},
	{name: "container.host-devices-absent", layer: layerContainer, stage: stageBare, try: tryDevices},
	{name: "container.runtime-socket-absent", layer: layerContainer, stage: stageBare, try: tryRuntimeSockets},
	{name: "container.service-account-token-absent", layer: layerContainer, stage: stageBare, try: tryToken},

	{name: "pid_namespace.launcher-is-first", layer: layerPIDNamespace, stage: stageBare, try: func(*stagePlan) outcome {
		return holds(os.Getppid() == 1, "the launcher's pid is %d", os.Getppid())
	}},
	{name: "pid_namespace.kernel-threads-hidden", layer: layerPIDNamespace, stage: stageBare, try: tryKernelThreads},
	{name: "user_namespace.users-mapped", layer: layerUserNamespace, stage: stageBare, try: tryMap("uid_map")},
	{name: "user_namespace.groups-mapped", layer: layerUserNamespace, stage: stageBare, try: tryMap("gid_map")},

	{name: "read_only_root.create-file-refused", layer: layerReadOnlyRoot, stage: stageBare, try: func(*stagePlan) outcome {
		return refused(creates("/.axiom-probe"), unix.EROFS)
	}},
	{name: "read_only_root.create-directory-refused", layer: layerReadOnlyRoot, stage: stageBare, try: func(*stagePlan) outcome {
		return refused(makesDirectory("/.axiom-probe"), unix.EROFS)
	}},
	{name: "read_only_root.mounted-read-only", layer: layerReadOnlyRoot, stage: stageBare, try: func(*stagePlan) outcome {
		var stat unix.Statfs_t
		err := unix.Statfs("/", &stat)
		return holds(err == nil && stat.Flags&unix.ST_RDONLY != 0, "flags of /: %#x", stat.Flags)
	}},
}, namespaceChecks(), capabilityChecks())

// closedTo accepts every way in which a container keeps a file closed: no
// right to it, a read-only mount, a mask, or that it is not there.
func closedTo(path string, flags int) func(*stagePlan) outcome {
	return func(*stagePlan) outcome {
		return refused(opens(path, flags), unix.EACCES, unix.EROFS, unix.EPERM, unix.ENOENT, unix.ENOTDIR)
	}
}

// emptyOrClosed: runtimes cover the kernel's memory with /dev/null, which reads
// as empty.
func emptyOrClosed(path string) func(*stagePlan) outcome {
	return func(*stagePlan) outcome {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return refused(err, unix.EACCES, unix.EPERM, unix.ENOENT)
		}
		defer closeAll(fd)
		n, err := unix.Read(fd, make([]byte, 1))
		if err != nil {
			return refused(err, unix.EACCES, unix.EPERM)
		}
		return holds(n == 0, "read %d bytes", n)
	}
}

func tryDevices(*stagePlan) outcome {
	var open []string
	for _, name := range []string{
		"mem", "kmem", "port", "kmsg", "kvm", "fuse", "sda", "vda", "xvda", "nvme0n1", "dm-0",
		"loop-control", "mapper/control", "net/tun", "vhost-net", "vsock", "uinput", "cpu_dma_latency",
	} {
		path := filepath.Join("/dev", name)
		if opens(path, unix.O_RDONLY) == nil || opens(path, unix.O_WRONLY) == nil {
			open = append(open, path)
		}
	}
	return holds(len(open) == 0, "devices that can be opened: %v", open)
}

func tryRuntimeSockets(*stagePlan) outcome {
	var open []string
	for _, path := range []string{
		"/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock",
		"/run/podman/podman.sock", "/run/k3s/containerd/containerd.sock", "/run/cri-dockerd.sock", "/run/dbus/system_bus_socket",
		"/run/systemd/private",
	} {
		if connectsUnix(path) == nil {
			open = append(open, path)
		}
	}
	return holds(len(open) == 0, "sockets that can be reached: %v", open)
}

func connectsUnix(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer closeAll(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path})
}

func tryToken(*stagePlan) outcome {
	var found []string
	for _, directory := range []string{"/var/run/secrets/kubernetes.io", "/run/secrets/kubernetes.io", "/var/run/secrets/eks.amazonaws.com", "/var/run/secrets/azure"} {
		if _, err := os.Lstat(directory); err == nil {
			found = append(found, directory)
		}
	}
	return holds(len(found) == 0, "credentials mounted: %v", found)
}

// tryKernelThreads: in a PID namespace no process but the first has no parent.
func tryKernelThreads(*stagePlan) outcome {
	pids, err := numbersIn("/proc")
	if err != nil {
		return outcome{Detail: err.Error()}
	}
	var strangers []int
	for _, pid := range pids {
		if pid != 1 && staysWithoutParent(pid) {
			strangers = append(strangers, pid)
		}
	}
	return holds(len(strangers) == 0, "processes without a parent: %v", firstOf(strangers))
}

// staysWithoutParent looks again for a while: a process that is just being
// reaped shows no parent either, and is gone a moment later.
func staysWithoutParent(pid int) bool {
	for range 50 {
		stat, err := readStat(proc(pid, "stat"))
		if err != nil || stat.ppid != 0 {
			return false
		}
		time.Sleep(2 * time.Millisecond)
	}
	return true
}

// tryMap: the first namespace maps every number to itself.
func tryMap(file string) func(*stagePlan) outcome {
	return func(*stagePlan) outcome {
		data, err := os.ReadFile("/proc/self/" + file)
		if err != nil {
			return outcome{Detail: err.Error()}
		}
		fields := strings.Fields(string(data))
		return holds(len(fields) > 0 && strings.Join(fields, " ") != "0 0 4294967295", "%s", strings.Join(fields, " "))
	}
}

func creates(path string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err == nil {
		closeAll(fd)
		_ = unix.Unlink(path)
	}
	return err
}

func makesDirectory(path string) error {
	err := unix.Mkdir(path, 0o700)
	if err == nil {
		_ = unix.Rmdir(path)
	}
	return err
}

// namespaceChecks: the supervisor says what its own namespaces are; ours must
// be others.
func namespaceChecks() []check {
	var checks []check
	for _, name := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		checks = append(checks, check{
			name: "container." + name + "-namespace-differs", layer: layerContainer, stage: stageBare,
			applies: func(p *stagePlan) bool { return p.Expect.Namespaces[name] != "" },
			try: func(p *stagePlan) outcome {
				ours, err := os.Readlink("/proc/self/ns/" + name)
				return holds(err == nil && ours != p.Expect.Namespaces[name], "ours is %s", ours)
			},
		})
	}
	return checks
}

// capabilityChecks: the sets are empty, and what would need one is refused. The
// arguments are such that nothing happens if it is not.
func capabilityChecks() []check {
	checks := []check{{name: "no_capabilities.not-root", layer: layerNoCapabilities, stage: stageBare, try: tryIdentity}}
	for _, set := range []struct{ name, field string }{
		{"effective", "CapEff"}, {"permitted", "CapPrm"}, {"inheritable", "CapInh"}, {"bounding", "CapBnd"}, {"ambient", "CapAmb"},
	} {
		checks = append(checks, check{
			name: "no_capabilities." + set.name + "-empty", layer: layerNoCapabilities, stage: stageBare,
			try: func(p *stagePlan) outcome {
				ours, launchers := statusField("/proc/self/status", set.field), statusField(proc(p.Launcher, "status"), set.field)
				return holds(strings.Trim(ours, "0") == "" && ours != "" && ours == launchers, "%s, PID 1 has %s", ours, launchers)
			},
		})
	}
	for _, attempt := range powers {
		wanted := attempt.wanted
		if wanted == nil {
			wanted = []unix.Errno{unix.EPERM}
		}
		checks = append(checks, check{
			name: "no_capabilities." + attempt.name, layer: layerNoCapabilities, stage: stageBare,
			try: func(p *stagePlan) outcome { return refused(attempt.try(p), wanted...) },
		})
	}
	return checks
}

func tryIdentity(*stagePlan) outcome {
	users, groups := strings.Fields(statusField("/proc/self/status", "Uid")), strings.Fields(statusField("/proc/self/status", "Gid"))
	ok := len(users) > 0 && !slices.Contains(users, "0") && !slices.Contains(groups, "0")
	return holds(ok, "users %v, groups %v", users, groups)
}

var powers = []struct {
	name   string
	try    func(*stagePlan) error
	wanted []unix.Errno // EPERM unless given
}{
	{name: "mount-refused", try: func(p *stagePlan) error {
		target := filepath.Join(p.Scratch, "inside")
		err := unix.Mount("none", target, "tmpfs", 0, "size=4k")
		if err == nil {
			_ = unix.Unmount(target, unix.MNT_DETACH)
		}
		return err
	}},
	{name: "chroot-refused", try: func(*stagePlan) error { return unix.Chroot("/") }},
	{name: "device-node-refused", try: func(p *stagePlan) error {
		path := filepath.Join(p.Scratch, "outside", "device")
		err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
		if err == nil {
			_ = unix.Unlink(path)
		}
		return err
	}},
	{name: "raw-socket-refused", try: func(*stagePlan) error { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) }},
	{name: "packet-socket-refused", try: func(*stagePlan) error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0) }},
	{name: "clock-refused", try: func(*stagePlan) error { return call(unix.SYS_SETTIMEOFDAY, 0, 0) }},
	{name: "reboot-refused", try: func(*stagePlan) error { return tryReboot() }},
	{name: "module-refused", try: func(*stagePlan) error { return tryModule() }, wanted: []unix.Errno{unix.EPERM, unix.ENOSYS}},
	{name: "kexec-refused", try: func(*stagePlan) error { return tryKexec() }, wanted: []unix.Errno{unix.EPERM, unix.ENOSYS}},
	{name: "hostname-refused", try: func(*stagePlan) error {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("hostname: %w", err)
		}
		return unix.Sethostname([]byte(name))
	}},
	// Last, as it changes the process if it is allowed.
	{name: "setuid-refused", try: func(*stagePlan) error { return call(unix.SYS_SETUID, 54321) }, wanted: []unix.Errno{unix.EPERM, unix.EINVAL}},
}

// The kernel looks at the right before it looks at the command, which none is.
func tryReboot() error {
	return call(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, 0x12345, 0)
}

func tryModule() error {
	empty := []byte{0}
	return call(unix.SYS_INIT_MODULE, nowhere, 0, uintptr(unsafe.Pointer(&empty[0])))
}

func tryKexec() error { return call(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0xfff) }
