package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// box is the options of a sandbox that has every layer. A test that takes one
// away replaces the options that make it.
type box struct {
	namespaces, root, proc, more []string
	through                      []string // a command that becomes the launcher
	notFirst                     bool     // not PID 1
}

func wholeBox() box {
	return box{
		namespaces: []string{"--unshare-all", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000"},
		root:       []string{"--ro-bind", "/", "/"},
		// A bind of /proc/sys: bubblewrap run by root maps the user to root, whom
		// the kernel lets write there.
		proc: []string{"--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"},
		more: []string{"--remount-ro", "/"},
	}
}

// inBubblewrap runs the launcher as PID 1 of a real sandbox, and returns its
// pid as this side sees it.
func inBubblewrap(t *testing.T, launch ...string) (*supervisor, int) {
	t.Helper()
	return wholeBox().start(t, launch...)
}

func (b box) start(t *testing.T, launch ...string) (*supervisor, int) {
	t.Helper()
	if _, err := exec.LookPath("bwrap"); err != nil {
		t.Skip("needs bubblewrap")
	}
	if output, err := exec.Command("bwrap", "--unshare-all", "--ro-bind", "/", "/", "true").CombinedOutput(); err != nil {
		t.Skipf("bubblewrap does not work here: %s", output)
	}
	s := supervise(t)
	self, err := os.Executable()
	must(t, err)
	information, theirs, err := os.Pipe()
	must(t, err)
	directory := filepath.Dir(s.path)
	arguments := []string{"--die-with-parent"}
	if !b.notFirst {
		arguments = append(arguments, "--as-pid-1")
	}
	arguments = slices.Concat(
		arguments, b.namespaces, b.root, []string{"--dev", "/dev"}, b.proc,
		[]string{"--tmpfs", "/tmp", "--ro-bind", self, "/tmp/launcher", "--ro-bind", directory, directory}, b.more,
		[]string{"--info-fd", "3", "--"}, b.through, []string{"/tmp/launcher", "init", "--socket", s.path}, launch,
	)
	command := exec.Command("bwrap", arguments...)
	command.ExtraFiles = []*os.File{theirs}
	s.launch(command)
	_ = theirs.Close()
	s.accept()
	var info struct {
		Child int `json:"child-pid"`
	}
	must(t, json.NewDecoder(information).Decode(&info))
	_ = information.Close()
	return s, info.Child
}

func TestBubblewrapHoldsEveryAssertion(t *testing.T) {
	needLandlock(t, abiScopes)
	s, _ := inBubblewrap(t)
	for _, network := range []string{networkNone, networkStrict, networkLoopback} {
		expect := everything(network)
		expect.Namespaces = map[string]string{}
		for _, name := range []string{"mnt", "pid", "net", "user", "ipc", "uts"} {
			expect.Namespaces[name], _ = os.Readlink("/proc/self/ns/" + name)
		}
		begin := time.Now()
		found := s.probed(expect)
		duration := time.Since(begin)
		t.Logf("%s: %d assertions, %v", network, len(found), duration)
		if len(found) < 60 {
			t.Errorf("%s: only %d assertions", network, len(found))
		}
		for name, a := range found {
			if !a.OK {
				t.Errorf("%s: %s: %s", network, name, a.Detail)
			}
		}
	}
}

func TestBubblewrapFreezesThawsAndKills(t *testing.T) {
	s, _ := inBubblewrap(t)
	lock := locked(networkStrict).with("write_paths", []string{"/tmp", "/dev"})
	s.askOK("start", startFields("busy", "sh", "-c", busyTree, "/tmp/progress").with("lockdown", lock))
	time.Sleep(50 * time.Millisecond)
	for range 3 {
		m, _ := s.askOK("freeze", nil)
		if m.number("stopped") < 4 {
			t.Errorf("stopped %d processes", m.number("stopped"))
		}
		m, _ = s.askOK("thaw", nil)
		want(t, "processes that ran", len(m["ran"].([]any)), 0)
	}
	s.askOK("signal", message{"signal": int(unix.SIGUSR1), "scope": "all"})
	want(t, "signal", s.awaitExit("busy").number("signal"), int(unix.SIGUSR1))
	s.askOK("kill", nil)
	s.waitForCount(0)
}

func TestBubblewrapSurvivesForgedFaults(t *testing.T) {
	s, pid := inBubblewrap(t)
	for _, signal := range []unix.Signal{unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS} {
		// With SI_QUEUE the Go runtime would take it for a fault of its own.
		information := struct {
			signal, errno, code int32
			_                   [116]byte
		}{signal: int32(signal), code: -1}
		must(t, call(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(signal), uintptr(unsafe.Pointer(&information))))
	}
	must(t, unix.Kill(pid, unix.SIGTERM))
	want(t, "signal", s.await("signalled").number("signal"), int(unix.SIGTERM))
	s.askOK("processes", nil)
}

func TestBubblewrapForwards(t *testing.T) {
	address := "127.0.0.1:8788"
	s, _ := inBubblewrap(t, "--forward", address+"=/no/such/socket")
	lock := locked(networkStrict).with("write_paths", []string{"/dev"})
	output, _ := s.run(startFields("agent", "bash", "-c", `exec 9<>/dev/tcp/127.0.0.1/8788 && echo connected`).with("lockdown", lock))
	want(t, "output", strings.TrimSpace(output), "connected")
}
