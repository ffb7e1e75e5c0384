package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A tree that forks all the time, by fork and, through env, by vfork-like calls.
const busyTree = `for i in 1 2 3; do (while :; do /bin/true; echo x >>"$0"; done) & done; wait`

func (s *supervisor) startBusyTree() (progress string) {
	s.t.Helper()
	directory, err := os.MkdirTemp("", "axiom-busy")
	must(s.t, err)
	s.t.Cleanup(func() { _ = os.RemoveAll(directory) })
	progress = filepath.Join(directory, "progress")
	s.askOK("start", startFields("busy", "sh", "-c", busyTree, progress))
	s.waitForProgress(progress, 0)
	return progress
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func (s *supervisor) waitForProgress(path string, beyond int64) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for size(path) <= beyond {
		if time.Now().After(deadline) {
			s.t.Fatal("the tree makes no progress")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestFrozenTreeStandsStillAndGoesOn(t *testing.T) {
	s := withLauncher(t)
	progress := s.startBusyTree()
	for range 5 {
		m, _ := s.askOK("freeze", nil)
		if m.number("stopped") < 4 {
			t.Errorf("stopped %d processes", m.number("stopped"))
		}
		before := size(progress)
		time.Sleep(50 * time.Millisecond)
		want(t, "size while frozen", size(progress), before)
		m, _ = s.askOK("thaw", nil)
		want(t, "processes that ran", len(m["ran"].([]any)), 0)
		s.waitForProgress(progress, before)
	}
	m, _ := s.askOK("kill", nil)
	if m.number("killed") < 4 {
		t.Errorf("killed %d processes", m.number("killed"))
	}
	want(t, "signal", s.awaitExit("busy").number("signal"), 9)
	s.waitForCount(0)
}

func TestFrozenProcessesCanBeKilled(t *testing.T) {
	s := withLauncher(t)
	s.startBusyTree()
	s.askOK("freeze", nil)
	s.askOK("kill", nil)
	s.waitForCount(0)
}

func TestProcessThatContinuesItselfIsReported(t *testing.T) {
	s := withLauncher(t)
	self, err := os.Executable()
	must(t, err)
	_, files := s.askOK("start", startFields("escape", self, "run-on").with("stdout", "pipe"))
	readUntil(t, files[0], "armed")
	s.askOK("freeze", nil)
	time.Sleep(700 * time.Millisecond) // beyond the timer
	m, _ := s.askOK("thaw", nil)
	if len(m["ran"].([]any)) == 0 {
		t.Error("nobody noticed")
	}
}

// pidsCgroup makes a cgroup with room for few processes, of either version.
func pidsCgroup(t *testing.T, room string) string {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/pids"} {
		var stat unix.Statfs_t
		if unix.Statfs(root, &stat) != nil || stat.Type != unix.CGROUP_SUPER_MAGIC && stat.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		directory := filepath.Join(root, "axiom-test-"+strconv.Itoa(os.Getpid()))
		if os.Mkdir(directory, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(directory) })
		limit, err := os.OpenFile(filepath.Join(directory, "pids.max"), os.O_WRONLY, 0)
		if err != nil {
			continue
		}
		_, err = limit.WriteString(room)
		must(t, err)
		must(t, limit.Close())
		return directory
	}
	t.Skip("needs a cgroup with the pids controller")
	return ""
}

// At most 111 processes, should the limit not hold.
const smallBomb = `for i in 0 1 2 3 4 5 6 7 8 9; do (for j in 0 1 2 3 4 5 6 7 8 9; do sleep 30 & done; wait) & done; wait`

func TestFullProcessTable(t *testing.T) {
	directory := pidsCgroup(t, "50")
	s := supervise(t)
	s.launch(exec.Command("sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, directory, "/proc/"+strconv.Itoa(os.Getpid())+"/exe", "init", "--socket", s.path))
	s.accept()
	s.askOK("start", shell("bomb", smallBomb))
	waitFor(t, "full table", func() bool {
		events, _ := os.ReadFile(filepath.Join(directory, "pids.events"))
		return len(events) > 0 && !strings.HasPrefix(string(events), "max 0\n")
	})
	m, _ := s.ask("start", startFields("more", "true"))
	t.Log("a start in a full table: ", m.text("type"), m.text("stage"), m.text("code"))
	m, _ = s.askOK("freeze", nil)
	if m.number("stopped") < 10 {
		t.Errorf("stopped %d processes", m.number("stopped"))
	}
	s.askOK("thaw", nil)
	s.askOK("kill", nil)
	s.waitForCount(0)
	_, exit := s.run(startFields("after", "true"))
	want(t, "exit code", exit.number("code"), 0)
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("no ", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestStateOfLooksAtEveryThread(t *testing.T) {
	threads := func(states string) []procStat {
		var all []procStat
		for _, state := range states {
			all = append(all, procStat{state: byte(state)})
		}
		return all
	}
	for _, c := range []struct {
		states       string
		stoppedChild bool
		wanted       byte
	}{
		{"T", false, 'T'}, {"TT", false, 'T'}, {"TR", false, 'R'}, {"ZT", false, 'T'}, {"ZS", false, 'R'},
		{"Z", false, 'Z'}, {"", false, 'Z'}, {"t", false, 'T'}, {"D", false, 'R'}, {"D", true, 'T'}, {"DS", true, 'R'},
	} {
		want(t, c.states, stateOf(threads(c.states), c.stoppedChild), c.wanted)
	}
}

func TestStatOfAHostileName(t *testing.T) {
	stat, err := parseStat([]byte("7 (a) R (b\n) S 3 7 7 0 -1 4194560 1 0 0 0 12 13 0 0 20 0 1 0 100 1000 25 0\n"))
	must(t, err)
	want(t, "pid", stat.pid, 7)
	want(t, "command", printable(stat.command), "a) R (b?")
	want(t, "state", stat.state, 'S')
	want(t, "parent", stat.ppid, 3)
	want(t, "cpu", stat.cpuMS, 250)
	want(t, "memory", stat.rssKiB, 25*pageKiB)
	for _, malformed := range []string{"", "7", "7 (a", "7 (a) S", "x (a) S 3"} {
		if _, err := parseStat([]byte(malformed)); err == nil {
			t.Errorf("%q was accepted", malformed)
		}
	}
}

func TestDepthEndsInACircle(t *testing.T) {
	if _, found := depthBelow(1, 5, map[int]int{5: 6, 6: 5}); found {
		t.Error("a circle leads to the ancestor")
	}
	depth, found := depthBelow(1, 5, map[int]int{5: 4, 4: 1})
	want(t, "depth", depth, 2)
	want(t, "found", found, true)
}

func TestThawOrder(t *testing.T) {
	self := os.Getpid()
	order := deepestFirst([]procStat{{pid: 10, ppid: self}, {pid: 12, ppid: 11}, {pid: 11, ppid: 10}})
	want(t, "first", order[0].pid, 12)
	want(t, "last", order[2].pid, 10)
}
