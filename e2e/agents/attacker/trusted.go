package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onTheTrustedSide are attacks on the launcher, which is PID 1 here, and on the
// supervisor, which is not to be seen from here at all.
var onTheTrustedSide = []attack{
	{"launcher-memory", func() outcome { return overOthers("mem", "maps", "pagemap", "auxv") }},
	{"launcher-memory-by-call", tryReadMemory},
	{"launcher-environment", func() outcome { return overOthers("environ") }},
	{"launcher-descriptors", tryDescriptors},
	{"launcher-traced", func() outcome { return by(unix.PtraceSeize(1), "traced PID 1") }},
	{"launcher-stopped", tryStopLauncher},
	{"launcher-limits", tryLimits},
	{"supervisor-seen", trySupervisorProcess},
	{"supervisor-files", trySupervisorFiles},
	{"supervisor-socket", trySupervisorSocket},
	{"supervisor-socket-replaced", tryReplaceSocket},
	{"supervisor-port", trySupervisorPort},
	{"supervisor-abstract-sockets", tryAbstractSockets},
}

// others are processes that are neither this one nor its children.
func others() []int {
	entries, err := os.ReadDir("/proc")
	check(err)
	pids := []int{}
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func overOthers(files ...string) outcome {
	parts := []outcome{}
	for _, pid := range others() {
		for _, file := range files {
			path := fmt.Sprintf("/proc/%d/%s", pid, file)
			handle, err := os.Open(path)
			if err != nil {
				parts = append(parts, refused(err))
				continue
			}
			n, err := handle.Read(make([]byte, 64))
			_ = handle.Close()
			if n > 0 {
				return succeeded("read " + path)
			}
			parts = append(parts, refused(fmt.Errorf("%s: nothing is read: %v", path, err)))
		}
	}
	return all(parts...)
}

func tryReadMemory() outcome {
	parts := []outcome{}
	buffer := make([]byte, 8)
	for _, pid := range others() {
		local := unix.Iovec{Base: &buffer[0], Len: 8}
		remote := unix.RemoteIovec{Base: uintptr(unsafe.Pointer(&buffer[0])), Len: 8}
		_, err := unix.ProcessVMReadv(pid, []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0)
		parts = append(parts, by(err, fmt.Sprintf("read the memory of %d", pid)))
	}
	return all(parts...)
}

func tryDescriptors() outcome {
	parts := []outcome{}
	for _, pid := range others() {
		for descriptor := range 16 {
			path := fmt.Sprintf("/proc/%d/fd/%d", pid, descriptor)
			target, err := os.Readlink(path)
			parts = append(parts, by(err, path+" is "+target), readableByte(path))
		}
		handle, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			parts = append(parts, refused(err))
			continue
		}
		for descriptor := range 16 {
			taken, err := unix.PidfdGetfd(handle, descriptor, 0)
			if err == nil {
				_ = unix.Close(taken)
				return succeeded(fmt.Sprintf("took descriptor %d of %d", descriptor, pid))
			}
			parts = append(parts, refused(err))
		}
		_ = unix.Close(handle)
	}
	return all(parts...)
}

func tryStopLauncher() outcome {
	parts := []outcome{}
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGSTOP, unix.SIGKILL, unix.SIGSEGV, unix.SIGUSR1} {
		parts = append(parts, by(unix.Kill(1, signal), "sent "+signal.String()))
	}
	return all(parts...)
}

func tryLimits() outcome {
	low := unix.Rlimit{Cur: 1, Max: 1}
	return all(
		by(unix.Prlimit(1, unix.RLIMIT_NOFILE, &low, nil), "took PID 1's descriptors"),
		by(unix.Setpriority(unix.PRIO_PROCESS, 1, 19), "made PID 1 slow"),
		by(os.WriteFile("/proc/1/oom_score_adj", []byte("1000"), 0o600), "offered PID 1 to the OOM killer"),
	)
}

func trySupervisorProcess() outcome {
	for _, pid := range others() {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(data), "axiom_sandbox") {
			return succeeded(fmt.Sprintf("process %d is the supervisor", pid))
		}
	}
	return absent("the supervisor is in another PID namespace")
}

func trySupervisorFiles() outcome {
	wanted := map[string]bool{
		"tls.key": true, "key.pem": true, "launcher-pin": true, "commands.jsonl": true, "state.json": true, "recording.cast": true,
	}
	found := ""
	walked := 0
	_ = filepath.WalkDir("/", func(path string, entry os.DirEntry, err error) error {
		walked++
		if err != nil || path == "/proc" || path == "/sys" || path == "/usr" || walked > 200_000 {
			if entry != nil && entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasPrefix(path, "/axiom/") && wanted[entry.Name()] {
			if file, err := os.Open(path); err == nil {
				_ = file.Close()
				found = path
			}
		}
		return nil
	})
	if found != "" {
		return succeeded("opened " + found)
	}
	return all(
		readable("/axiom/state/state.json"), readable("/axiom/state/commands.jsonl"), readable("/axiom/tls/tls.key"),
		absent("nothing of the supervisor's is mounted"),
	)
}

const socketPath = "/axiom/run/launcher.sock"

// Whoever connects second must say the nonce; without it nothing is answered.
func trySupervisorSocket() outcome {
	connection, err := net.DialTimeout("unixpacket", socketPath, 3*time.Second)
	if err != nil {
		connection, err = net.DialTimeout("unix", socketPath, 3*time.Second)
	}
	if err != nil {
		return refused(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = connection.Write([]byte(`{"type":"hello","version":"1","nonce":"00000000000000000000000000000000"}` + "\n"))
	answer := make([]byte, 4096)
	n, err := connection.Read(answer)
	if n > 0 && !strings.Contains(string(answer[:n]), "refuse") {
		return succeeded("was answered: " + string(answer[:n]))
	}
	if err == nil {
		err = errors.New(string(answer[:n]))
	}
	return refused(err)
}

func tryReplaceSocket() outcome {
	return all(
		by(os.Remove(socketPath), "removed the socket"),
		by(os.Rename(socketPath, socketPath+".old"), "moved the socket"),
		by(os.WriteFile(filepath.Dir(socketPath)+"/other", nil, 0o600), "wrote beside the socket"),
	)
}

func trySupervisorPort() outcome {
	parts := []outcome{}
	for _, host := range append([]string{"127.0.0.1", "::1", "127.0.0.2", "::ffff:127.0.0.1"}, ownAddresses()...) {
		parts = append(parts, dialRaw(host, 8443))
	}
	return all(parts...)
}

// Netlink is closed, so addresses are read where the kernel shows them.
func ownAddresses() []string {
	data, err := os.ReadFile("/proc/net/fib_trie")
	if err != nil {
		return nil
	}
	found := []string{}
	lines := strings.Split(string(data), "\n")
	for i, line := range lines {
		if strings.Contains(line, "/32 host LOCAL") && i > 0 {
			if _, address, ok := strings.Cut(lines[i-1], "|-- "); ok {
				found = append(found, strings.TrimSpace(address))
			}
		}
	}
	return found
}

func tryAbstractSockets() outcome {
	file, err := os.Open("/proc/net/unix")
	if err != nil {
		return refused(err)
	}
	defer file.Close()
	data, _ := io.ReadAll(file)
	parts := []outcome{absent("no abstract socket is seen")}
	for _, line := range strings.Split(string(data), "\n") {
		if _, name, ok := strings.Cut(line, " @"); ok {
			parts = append(parts, dial("unix", "@"+name))
		}
	}
	return all(parts...)
}
