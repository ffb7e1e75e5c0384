package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onTheKernel are ways to more of it than an agent needs, and ways to come to a
// process that is bound by less than this one.
var onTheKernel = []attack{
	{"io-uring", func() outcome { return called(unix.SYS_IO_URING_SETUP, 1, ring()) }},
	{"userfaultfd", func() outcome {
		return all(called(unix.SYS_USERFAULTFD, 0, 0), called(unix.SYS_USERFAULTFD, 1, 0), writable("/dev/userfaultfd"))
	}},
	{"keyring", tryKeyring},
	{"perf", tryPerf},
	{"fanotify", func() outcome { return called(unix.SYS_FANOTIFY_INIT, 0, 0) }},
	{"child-traced", tryTraceChild},
	{"clone3", tryClone3},
	{"terminal-typed", tryTerminal},
	{"personality", func() outcome {
		const fixedAddresses, readableIsExecutable = 0x0040000, 0x0400000
		return all(called(unix.SYS_PERSONALITY, fixedAddresses, 0), called(unix.SYS_PERSONALITY, readableIsExecutable, 0))
	}},
	{"launcher-placed", tryPlaceLauncher},
	{"x32-call", func() outcome { return killedChild("x32") }},
	{"memory-executed", tryMemoryFile},
	{"setuid-program", trySetuid},
	{"file-capability", tryOwnCapability},
	{"core-dump", tryCore},
	{"inherited-descriptors", tryInherited},
	{"sysctl", func() outcome {
		return all(writable("/proc/sys/net/ipv4/ip_forward"), writable("/proc/sys/fs/inotify/max_user_watches"),
			writable("/proc/sys/user/max_user_namespaces"), writable("/proc/sys/kernel/yama/ptrace_scope"))
	}},
	{"launcher-accounting", func() outcome {
		return all(writable("/proc/1/timerslack_ns"), writable("/proc/1/autogroup"), writable("/proc/1/coredump_filter"),
			writable("/proc/1/comm"), writable("/proc/1/clear_refs"))
	}},
}

func called(number, first, second uintptr) outcome {
	value, _, errno := unix.Syscall(number, first, second, 0)
	if errno != 0 {
		return refused(errno)
	}
	return succeeded(fmt.Sprintf("call %d gave %d", number, value))
}

func ring() uintptr {
	var parameters [30]uint32
	return uintptr(unsafe.Pointer(&parameters))
}

func tryKeyring() outcome {
	kind, name := []byte("user\x00"), []byte("attacker\x00")
	_, err := unix.KeyctlJoinSessionKeyring("attacker")
	return all(
		by(err, "joined a keyring"),
		called(unix.SYS_ADD_KEY, uintptr(unsafe.Pointer(&kind[0])), uintptr(unsafe.Pointer(&name[0]))),
		readable("/proc/keys"),
	)
}

func tryPerf() outcome {
	attributes := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
	fd, err := unix.PerfEventOpen(&attributes, 0, -1, -1, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return by(err, "counts events")
}

func tryTraceChild() outcome {
	command := spawn("nap")
	if command == nil {
		return refused(errors.New("no child"))
	}
	defer func() { _ = command.Wait() }()
	return by(unix.PtraceAttach(command.Process.Pid), "traces a child, and with it its calls")
}

func tryClone3() outcome {
	arguments := [11]uint64{unix.CLONE_NEWUSER | unix.CLONE_NEWNET}
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&arguments)), unsafe.Sizeof(arguments), 0)
	if errno != 0 {
		return refused(errno)
	}
	if pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
	return succeeded("made a child in namespaces of its own")
}

// What is typed by TIOCSTI is read by whoever reads the terminal next; a line
// discipline is a module of the kernel's.
func tryTerminal() outcome {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
	} else {
		fd = 0
	}
	typed, three := []byte("x"), byte(3)
	const tioclinux, gsm0710 = 0x541c, 21
	parts := []outcome{}
	for name, attempt := range map[string][2]uintptr{
		"typed":                {unix.TIOCSTI, uintptr(unsafe.Pointer(&typed[0]))},
		"pasted":               {tioclinux, uintptr(unsafe.Pointer(&three))},
		"took the console":     {unix.TIOCCONS, 0},
		"set a discipline":     {unix.TIOCSETD, uintptr(unsafe.Pointer(&[]int32{gsm0710}[0]))},
		"typed with high bits": {1<<32 | unix.TIOCSTI, uintptr(unsafe.Pointer(&typed[0]))},
	} {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), attempt[0], attempt[1])
		if errno == 0 {
			return succeeded(name)
		}
		parts = append(parts, refused(errno))
	}
	return all(parts...)
}

func tryPlaceLauncher() outcome {
	var one unix.CPUSet
	if unix.SchedGetaffinity(0, &one) != nil {
		return absent("no processors are told")
	}
	return by(unix.SchedSetaffinity(1, &one), "chose the launcher's processors")
}

// killedChild has a child make a call for which the filter kills.
func killedChild(kind string) outcome {
	command := exec.Command(os.Args[0], "--child", kind)
	err := command.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.Sys().(syscall.WaitStatus).Signaled() {
		return refused(err)
	}
	if err != nil {
		return refused(err)
	}
	return succeeded("the call came back")
}

// A program that lies in no file is bound like any other.
func tryMemoryFile() outcome {
	fd, err := unix.MemfdCreate("program", 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return refused(err)
	}
	if _, err := unix.Write(fd, program); err != nil {
		return refused(err)
	}
	command := exec.Command(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd), "--child", "bonds")
	said, err := command.Output()
	if err != nil {
		return refused(err)
	}
	return bound(string(said))
}

func bound(bonds string) outcome {
	if strings.TrimSpace(bonds) == "1 2" {
		return refused(errors.New("no_new_privs and the filter are there"))
	}
	return succeeded("no_new_privs and seccomp are " + bonds)
}

// trySetuid starts what belongs to root and is setuid, and sees who it is.
func trySetuid() outcome {
	parts := []outcome{absent("no setuid program is there")}
	for _, folder := range []string{"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/local/bin"} {
		_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() || len(parts) > 8 {
				return nil
			}
			info, err := entry.Info()
			if err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
				parts = append(parts, raised(path))
			}
			return nil
		})
	}
	return all(parts...)
}

// raised looks at the program while it waits for what it is told.
func raised(path string) outcome {
	command := exec.Command(path)
	input, err := command.StdinPipe()
	if err != nil {
		return refused(err)
	}
	if err := command.Start(); err != nil {
		return refused(err)
	}
	defer func() {
		_ = input.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", command.Process.Pid))
	for _, line := range strings.Split(string(data), "\n") {
		ids := strings.Fields(line)
		if len(ids) < 5 || ids[0] != "Uid:" && ids[0] != "Gid:" {
			continue
		}
		if ids[1] != ids[2] || ids[1] != ids[3] || ids[1] != ids[4] {
			return succeeded(path + " has " + line)
		}
	}
	return refused(errors.New(path + " stays who started it"))
}

// tryOwnCapability gives a program of its own a capability, as a file has it.
func tryOwnCapability() outcome {
	defer os.Remove("capable")
	check(os.WriteFile("capable", []byte("#!/bin/true\n"), 0o700))
	netAdmin := []byte{1, 0, 0, 2, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	return all(
		by(unix.Setxattr("capable", "security.capability", netAdmin, 0), "gave a file a capability"),
		by(unix.Chown("capable", 0, 0), "gave a file to root"),
	)
}

func tryCore() outcome {
	command := exec.Command(os.Args[0], "--child", "crash")
	if err := command.Run(); err == nil {
		return refused(errors.New("the child did not crash"))
	}
	found, _ := filepath.Glob("core*")
	if len(found) > 0 {
		return succeeded("a crash left " + found[0])
	}
	return refused(errors.New("a crash leaves nothing"))
}

// tryInherited looks for what the launcher forgot to close.
// inherited are the descriptors with which this process began, beyond what its runtime opened: other attacks open theirs later.
var inherited = func() (found []string) {
	for descriptor := 3; descriptor < 256; descriptor++ {
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", descriptor))
		if err != nil {
			continue
		}
		own := strings.HasPrefix(target, "anon_inode:[event") || strings.HasPrefix(target, "pipe:") || target == os.Args[0]
		if !own && !strings.HasPrefix(target, "/proc/") && !strings.HasPrefix(target, "/sys/") {
			found = append(found, fmt.Sprintf("descriptor %d is %s", descriptor, target))
		}
	}
	return found
}()

func tryInherited() outcome {
	if len(inherited) > 0 {
		return succeeded(strings.Join(inherited, "; "))
	}
	return refused(errors.New("none but its own was open"))
}

// kernelChild is what a child does for one of these attacks.
func kernelChild(kind string) {
	switch kind {
	case "x32":
		_, _, _ = unix.RawSyscall(0x40000000|unix.SYS_GETPID, 0, 0, 0)
	case "bonds":
		fmt.Println(status("NoNewPrivs"), status("Seccomp"))
	case "crash":
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
		var standard [4]uintptr // the Go runtime would only exit
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGABRT), uintptr(unsafe.Pointer(&standard)), 0, 8, 0, 0)
		_ = unix.Kill(os.Getpid(), unix.SIGABRT)
		time.Sleep(time.Second)
	}
}
