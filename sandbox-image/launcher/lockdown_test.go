package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStartedProcessWritesOnlyWhereItMay(t *testing.T) {
	needLandlock(t, 1)
	s := withLauncher(t)
	inside, outside := t.TempDir(), t.TempDir()
	lock := locked(networkStrict).with("write_paths", []string{inside, "/dev", "/no/such/path"})
	script := fmt.Sprintf(`echo x >%s/file && echo inside; echo x >%s/file || echo refused; cat /etc/hostname >/dev/null && echo read`, inside, outside)
	output, _ := s.run(shell("agent", script).with("lockdown", lock))
	want(t, "output", output, "inside\nrefused\nread\n")
	if _, err := os.Stat(filepath.Join(outside, "file")); err == nil {
		t.Error("the file is there")
	}
}

func TestAWritePathMayBeAFile(t *testing.T) {
	needLandlock(t, 1)
	s := withLauncher(t)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o666))
	lock := locked(networkStrict).with("write_paths", []string{file, "/dev/null"})
	output, _ := s.run(shell("agent", fmt.Sprintf(`echo x >%s && echo written; echo >/dev/null && echo null`, file)).with("lockdown", lock))
	want(t, "output", output, "written\nnull\n")
}

func TestTwoStartsAreTwoDomains(t *testing.T) {
	needLandlock(t, abiScopes)
	s := withLauncher(t)
	m, _ := s.askOK("start", startFields("victim", "sleep", "60"))
	output, _ := s.run(shell("agent", fmt.Sprintf(`kill -0 %d 2>&1 || kill -0 $PPID 2>&1`, m.number("pid"))))
	want(t, "refusals", strings.Count(output, "not permitted"), 2)
}

func TestPortRules(t *testing.T) {
	for _, c := range []struct {
		network       string
		port          int
		connect, bind bool
	}{
		{networkNone, 8788, false, false}, {networkNone, 30000, false, false},
		{networkStrict, 8788, true, false}, {networkStrict, 30000, false, false}, {networkStrict, 0, false, false},
		{networkLoopback, 8788, true, true}, {networkLoopback, 30000, true, true}, {networkLoopback, 65535, true, true},
		{networkLoopback, 1024, true, true}, {networkLoopback, 1023, false, false}, {networkLoopback, 443, true, false},
		{networkLoopback, 8443, false, false}, {networkLoopback, 0, false, true},
	} {
		rules := rulesOf(&lockdown{Network: c.network, ProxyPorts: []int{8788, 443}, DeniedPorts: []int{8443}})
		what := fmt.Sprint(c.network, " ", c.port)
		want(t, what+" connect", rules.connect(c.port), c.connect)
		want(t, what+" bind", rules.bind(c.port), c.bind)
	}
}

// Which port a real listener has cannot be chosen, so the modes are told of it.
func TestModesReachAListener(t *testing.T) {
	needLandlock(t, abiNetwork)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = listener.Close() }()
	port := listener.Addr().(*net.TCPAddr).Port
	s := withLauncher(t)
	for _, c := range []struct {
		name    string
		lock    message
		reaches bool
	}{
		{"none", message{"network": networkNone, "proxy_ports": []int{port}}, false},
		{"other", message{"network": networkStrict, "proxy_ports": []int{1}}, false},
		{"proxy", message{"network": networkStrict, "proxy_ports": []int{port}}, true},
		{"loopback", message{"network": networkLoopback}, true},
		{"denied", message{"network": networkLoopback, "denied_ports": []int{port}}, false},
	} {
		c.lock["write_paths"] = []string{"/dev"}
		output, _ := s.run(startFields(c.name, "bash", "-c", fmt.Sprintf(`(echo >/dev/tcp/127.0.0.1/%d) 2>/dev/null && echo reached`, port)).with("lockdown", c.lock))
		want(t, c.name, output == "reached\n", c.reaches)
	}
}

func TestLoopbackRulesAreCheap(t *testing.T) {
	needLandlock(t, abiNetwork)
	begin := time.Now()
	l := lockdown{Network: networkLoopback, ProxyPorts: []int{8788}}
	ruleset, err := portRuleset(landlockABI(), &l)
	must(t, err)
	closeAll(ruleset)
	t.Logf("64,512 rules made in %v", time.Since(begin))
	if allocations := testing.AllocsPerRun(1, func() {
		ruleset, err := portRuleset(landlockABI(), &l)
		must(t, err)
		closeAll(ruleset)
	}); allocations > 20 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestMissingPartsAreNamed(t *testing.T) {
	for abi, wanted := range map[int]string{
		0: "landlock", 1: "landlock.truncate landlock.network landlock.ioctl landlock.scopes",
		4: "landlock.ioctl landlock.scopes", 5: "landlock.scopes", 6: "", 7: "",
	} {
		want(t, fmt.Sprint("ABI ", abi), strings.Join(missingLandlock(abi), " "), wanted)
	}
	want(t, "rights of ABI 1", handledFiles(1)&(unix.LANDLOCK_ACCESS_FS_REFER|unix.LANDLOCK_ACCESS_FS_TRUNCATE|unix.LANDLOCK_ACCESS_FS_IOCTL_DEV), 0)
}

// evaluate runs a filter as the kernel does.
func evaluate(t *testing.T, p instructions, arch, number uint32, arguments ...uint32) uint32 {
	t.Helper()
	data := map[uint32]uint32{offNumber: number, offArch: arch}
	for i, a := range arguments {
		data[offArgs+8*uint32(i)] = a
	}
	return evaluateAt(t, p, data)
}

// evaluateAt takes the numbers at their offsets; those that are not given are 0.
func evaluateAt(t *testing.T, p instructions, data map[uint32]uint32) uint32 {
	t.Helper()
	var accumulator uint32
	for i := 0; i < len(p); i++ {
		jump := func(condition bool) {
			if condition {
				i += int(p[i].Jt)
			} else {
				i += int(p[i].Jf)
			}
		}
		switch p[i].Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			accumulator = data[p[i].K]
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			accumulator &= p[i].K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(accumulator == p[i].K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(accumulator&p[i].K != 0)
		case unix.BPF_RET | unix.BPF_K:
			return p[i].K
		default:
			t.Fatalf("instruction %d has the unknown code %#x", i, p[i].Code)
		}
	}
	t.Fatal("the filter does not return")
	return 0
}

func TestFilterAnswers(t *testing.T) {
	eperm, eacces := refuse(unix.EPERM), refuse(unix.EACCES)
	proxy, none := filterFor(networkStrict, os.Getpid()), filterFor(networkNone, os.Getpid())
	for _, c := range []struct {
		what      string
		filter    instructions
		number    uintptr
		arguments []uint32
		wanted    uint32
	}{
		{"read", proxy, unix.SYS_READ, nil, actAllow},
		{"a thread", proxy, unix.SYS_CLONE, []uint32{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND}, actAllow},
		{"a fork", proxy, unix.SYS_CLONE, []uint32{uint32(unix.SIGCHLD)}, actAllow},
		{"a fork into a namespace", proxy, unix.SYS_CLONE, []uint32{uint32(unix.SIGCHLD) | unix.CLONE_NEWPID}, eperm},
		{"unshare of files", proxy, unix.SYS_UNSHARE, []uint32{unix.CLONE_FILES}, actAllow},
		{"unshare of the network", proxy, unix.SYS_UNSHARE, []uint32{unix.CLONE_NEWNET}, eperm},
		{"unshare of time", proxy, unix.SYS_UNSHARE, []uint32{unix.CLONE_NEWTIME}, eperm},
		{"clone3", proxy, unix.SYS_CLONE3, nil, refuse(unix.ENOSYS)},
		{"personality 0", proxy, unix.SYS_PERSONALITY, []uint32{0}, actAllow},
		{"asking for the personality", proxy, unix.SYS_PERSONALITY, []uint32{0xffffffff}, actAllow},
		{"another personality", proxy, unix.SYS_PERSONALITY, []uint32{8}, eperm},
		{"TCP", proxy, unix.SYS_SOCKET, []uint32{unix.AF_INET, unix.SOCK_STREAM, 0}, actAllow},
		{"TCP over IPv6", proxy, unix.SYS_SOCKET, []uint32{unix.AF_INET6, unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, 6}, actAllow},
		{"UDP", proxy, unix.SYS_SOCKET, []uint32{unix.AF_INET, unix.SOCK_DGRAM, 0}, eacces},
		{"a type with a strange bit", proxy, unix.SYS_SOCKET, []uint32{unix.AF_INET, unix.SOCK_STREAM | 1<<20, 0}, eacces},
		{"MPTCP", proxy, unix.SYS_SOCKET, []uint32{unix.AF_INET, unix.SOCK_STREAM, 262}, eacces},
		{"TCP without a network", none, unix.SYS_SOCKET, []uint32{unix.AF_INET, unix.SOCK_STREAM, 0}, eacces},
		{"TCP over IPv6 without a network", none, unix.SYS_SOCKET, []uint32{unix.AF_INET6, unix.SOCK_STREAM, 0}, eacces},
		{"a Unix socket without a network", none, unix.SYS_SOCKET, []uint32{unix.AF_UNIX, unix.SOCK_DGRAM, 0}, actAllow},
		{"a pair", none, unix.SYS_SOCKETPAIR, []uint32{unix.AF_UNIX, unix.SOCK_STREAM, 0}, actAllow},
		{"sendto", proxy, unix.SYS_SENDTO, []uint32{3, 0, 0, unix.MSG_NOSIGNAL}, actAllow},
		{"sendto with Fast Open", proxy, unix.SYS_SENDTO, []uint32{3, 0, 0, unix.MSG_NOSIGNAL | unix.MSG_FASTOPEN}, eperm},
		{"one's own limits", proxy, unix.SYS_PRLIMIT64, []uint32{0, unix.RLIMIT_NOFILE, 1}, actAllow},
		{"reading another's limits", proxy, unix.SYS_PRLIMIT64, []uint32{1, unix.RLIMIT_NOFILE, 0, 1}, actAllow},
		{"another's limits", proxy, unix.SYS_PRLIMIT64, []uint32{1, unix.RLIMIT_NOFILE, 1}, eperm},
		{"one's own priority", proxy, unix.SYS_SETPRIORITY, []uint32{unix.PRIO_PROCESS, 0}, actAllow},
		{"another's priority", proxy, unix.SYS_SETPRIORITY, []uint32{unix.PRIO_PROCESS, 1}, eperm},
		{"the priority of all of a user's", proxy, unix.SYS_SETPRIORITY, []uint32{unix.PRIO_USER, 0}, eperm},
		{"one's own scheduler", proxy, unix.SYS_SCHED_SETSCHEDULER, []uint32{0, 3}, actAllow},
		{"another's scheduler", proxy, unix.SYS_SCHED_SETATTR, []uint32{1}, eperm},
		{"one's own place at the disk", proxy, unix.SYS_IOPRIO_SET, []uint32{ioprioWhoProcess, 0}, actAllow},
		{"another's place at the disk", proxy, unix.SYS_IOPRIO_SET, []uint32{ioprioWhoProcess, 1}, eperm},
		{"one's own processors", proxy, unix.SYS_SCHED_SETAFFINITY, []uint32{0, 8}, actAllow},
		{"a thread's processors", proxy, unix.SYS_SCHED_SETAFFINITY, []uint32{noSuchPID, 8}, actAllow},
		{"the launcher's processors", proxy, unix.SYS_SCHED_SETAFFINITY, []uint32{uint32(os.Getpid()), 8}, eperm},
		{"asking for the launcher's processors", proxy, unix.SYS_SCHED_GETAFFINITY, []uint32{uint32(os.Getpid()), 8}, actAllow},
		{"another line discipline", proxy, unix.SYS_IOCTL, []uint32{0, unix.TIOCSETD}, eperm},
		{"a terminal's size", proxy, unix.SYS_IOCTL, []uint32{0, unix.TIOCGWINSZ}, actAllow},
		{"typing into a terminal", proxy, unix.SYS_IOCTL, []uint32{0, unix.TIOCSTI}, eperm},
	} {
		want(t, c.what, evaluate(t, c.filter, auditArch, uint32(c.number), c.arguments...), c.wanted)
	}
	for _, number := range append(append([]uintptr{}, deniedCalls...), deniedHere...) {
		want(t, fmt.Sprint("call ", number), evaluate(t, proxy, auditArch, uint32(number)), eperm)
	}
	want(t, "another architecture", evaluate(t, proxy, unix.AUDIT_ARCH_I386, unix.SYS_READ), actKill)
	if x32Bit != 0 {
		want(t, "x32", evaluate(t, proxy, auditArch, x32Bit|unix.SYS_READ), actKill)
	}
}

// A filter that is not constant for a call costs time in each of these calls:
// the kernel remembers the constant ones.
func TestCommonCallsAreDecidedByNumberAlone(t *testing.T) {
	p := filterFor(networkLoopback, os.Getpid())
	for _, number := range []uintptr{unix.SYS_READ, unix.SYS_WRITE, unix.SYS_FUTEX, unix.SYS_OPENAT, unix.SYS_EPOLL_PWAIT} {
		for i := range p {
			if p[i].Code == unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K && p[i].K == uint32(number) && p[i].Jf > 1 {
				t.Errorf("call %d has a block", number)
			}
		}
	}
}
