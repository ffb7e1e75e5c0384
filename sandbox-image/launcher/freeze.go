package main

import (
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Nothing here starts a process or a thread: it must work under a fork bomb and
// with a full PID table, and it must end.
const (
	freezeLimit = 5 * time.Second
	freezePause = 2 * time.Millisecond
	maxListed   = 200
)

// snapshot is how often each thread had run when it was frozen.
type snapshot map[thread]int64

type thread struct{ pid, tid int }

// freezer stops, continues and ends everything but the launcher. It is used by
// one goroutine.
type freezer struct {
	frozen snapshot // nil unless frozen
}

// signalAll reaches everything but the launcher. kill(-1) is for PID 1 alone:
// elsewhere it would reach every process of the user.
func signalAll(s unix.Signal) error {
	if os.Getpid() == 1 {
		return unix.Kill(-1, s)
	}
	others, err := otherProcesses()
	if err != nil {
		return err
	}
	reached := error(unix.ESRCH)
	for _, p := range others {
		if p.state != 'Z' && unix.Kill(p.pid, s) == nil {
			reached = nil
		}
	}
	return reached
}

// freeze stops everything, and does not return before it stands still.
func (f *freezer) freeze() (int, *failure) {
	deadline := time.Now().Add(freezeLimit)
	for {
		if err := signalAll(unix.SIGSTOP); err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, fail(errnoOf(err), "stop everything: %v", err)
		}
		stopped, moving, err := standing()
		if err == nil && len(moving) == 0 {
			f.frozen = settledSnapshot(stopped)
			// Who went on while the snapshot was taken would not show in it.
			stopped, moving, err = standing()
		}
		if err != nil {
			return 0, fail(errnoOf(err), "read /proc: %v", err)
		}
		if len(moving) == 0 {
			return len(stopped), nil
		}
		if time.Now().After(deadline) {
			return 0, fail(unix.ETIMEDOUT, "after %v these processes still run: %v", freezeLimit, firstOf(moving))
		}
		time.Sleep(freezePause)
	}
}

// standing divides the living processes into the stopped and the others.
func standing() (stopped, moving []int, err error) {
	others, err := otherProcesses()
	if err != nil {
		return nil, nil, err
	}
	stoppedChild := map[int]bool{}
	for _, p := range others {
		if p.state == 'T' || p.state == 't' {
			stoppedChild[p.ppid] = true
		}
	}
	for _, p := range others {
		switch stateOf(threadsOf(p.pid), stoppedChild[p.pid]) {
		case 'T':
			stopped = append(stopped, p.pid)
		case 'R':
			moving = append(moving, p.pid)
		}
	}
	return stopped, moving, nil
}

// stateOf is T if all threads that live are stopped, R if one may run, and Z if
// none lives. A parent in vfork waits uninterruptibly for a child that is
// stopped: it cannot run before the child does.
func stateOf(threads []procStat, hasStoppedChild bool) byte {
	result := byte('Z')
	for _, t := range threads {
		switch {
		case t.state == 'T' || t.state == 't' || t.state == 'D' && hasStoppedChild:
			result = 'T'
		case t.state == 'Z' || t.state == 'X':
		default:
			return 'R'
		}
	}
	return result
}

// settledSnapshot waits for the last switch: a thread is marked as stopped a
// moment before it leaves its CPU.
func settledSnapshot(pids []int) snapshot {
	last := takeSnapshot(pids)
	for range 50 {
		time.Sleep(freezePause)
		next := takeSnapshot(pids)
		if maps.Equal(last, next) {
			break
		}
		last = next
	}
	return last
}

func takeSnapshot(pids []int) snapshot {
	s := snapshot{}
	for _, pid := range pids {
		for _, t := range threadsOf(pid) {
			if count, known := switchesOf(pid, t.pid); known {
				s[thread{pid, t.pid}] = count
			}
		}
	}
	return s
}

// ranDuring lists the processes that ran although they were frozen: a timer
// whose signal is SIGCONT continues a stopped process, and no filter sees that.
func (s snapshot) ranDuring() []int {
	ran := []int{}
	for t, before := range s {
		now, known := switchesOf(t.pid, t.tid)
		if known && now != before && !slices.Contains(ran, t.pid) {
			ran = append(ran, t.pid)
		}
	}
	return ran
}

// thaw continues children before their parents, so that no shell finds its
// child stopped. It returns also who ran meanwhile.
func (f *freezer) thaw() (continued int, ran []int, failed *failure) {
	ran = f.frozen.ranDuring()
	if _, moving, err := standing(); err == nil && f.frozen != nil {
		ran = append(ran, moving...)
	}
	slices.Sort(ran)
	ran = slices.Compact(ran)
	f.frozen = nil
	others, err := otherProcesses()
	if err != nil {
		return 0, nil, fail(errnoOf(err), "read /proc: %v", err)
	}
	for _, p := range deepestFirst(others) {
		if p.state != 'Z' && unix.Kill(p.pid, unix.SIGCONT) == nil {
			continued++
		}
	}
	// Whatever /proc did not show.
	if err := signalAll(unix.SIGCONT); err != nil && !errors.Is(err, unix.ESRCH) {
		return continued, ran, fail(errnoOf(err), "continue everything: %v", err)
	}
	return continued, firstOf(ran), nil
}

func deepestFirst(all []procStat) []procStat {
	self, parents := os.Getpid(), map[int]int{}
	for _, p := range all {
		parents[p.pid] = p.ppid
	}
	depth := map[int]int{}
	for _, p := range all {
		depth[p.pid], _ = depthBelow(self, p.pid, parents)
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b procStat) int { return depth[b.pid] - depth[a.pid] })
	return sorted
}

// kill ends everything. The reaper runs meanwhile, and what it has not
// collected yet still counts as left.
func (f *freezer) kill(reap func()) (int, *failure) {
	deadline := time.Now().Add(freezeLimit)
	killed := map[int]bool{}
	for {
		others, err := otherProcesses()
		for _, p := range others {
			killed[p.pid] = true
		}
		killErr := signalAll(unix.SIGKILL)
		reap()
		if errors.Is(killErr, unix.ESRCH) && (err != nil || len(others) == 0) {
			f.frozen = nil
			return len(killed), nil
		}
		if killErr != nil && !errors.Is(killErr, unix.ESRCH) {
			return 0, fail(errnoOf(killErr), "kill everything: %v", killErr)
		}
		if time.Now().After(deadline) {
			return 0, fail(unix.ETIMEDOUT, "after %v these processes are left: %v", freezeLimit, pidsOf(others))
		}
		time.Sleep(freezePause)
	}
}

func pidsOf(processes []procStat) []int {
	var pids []int
	for _, p := range processes {
		pids = append(pids, p.pid)
	}
	return firstOf(pids)
}

func firstOf(pids []int) []int { return pids[:min(len(pids), maxListed)] }

// processInfo is one line of the `processes` answer.
type processInfo struct {
	PID     int    `json:"pid"`
	PPID    int    `json:"ppid"`
	State   string `json:"state"`
	Command string `json:"command"`
	RSSKiB  int64  `json:"rss_kib"`
	CPUMS   int64  `json:"cpu_ms"`
}

func listProcesses() (answer, *failure) {
	others, err := otherProcesses()
	if err != nil {
		return answer{}, fail(errnoOf(err), "read /proc: %v", err)
	}
	list, threads := []processInfo{}, 0
	for _, p := range others[:min(len(others), maxListed)] {
		list = append(list, processInfo{p.pid, p.ppid, string(p.state), printable(p.command), p.rssKiB, p.cpuMS})
	}
	for _, p := range others {
		threads += p.threads
	}
	return answer{fields: map[string]any{"processes": list, "count": len(others), "threads": threads}}, nil
}

// printable keeps ASCII: the agent chooses its name.
func printable(text string) string {
	out := []byte(text)
	for i, c := range out {
		if c < ' ' || c > '~' {
			out[i] = '?'
		}
	}
	return string(out)
}
