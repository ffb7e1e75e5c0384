package main

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// clockTick is the kernel's USER_HZ, which is 100 on every architecture here.
const clockTick = 100

var pageKiB = int64(os.Getpagesize() / 1024)

// procStat is what /proc/PID/stat says of a process or a thread.
type procStat struct {
	pid, ppid int
	state     byte
	command   string
	cpuMS     int64
	threads   int
	rssKiB    int64
}

// readStat fails when the process has vanished, which is no error for callers
// that look at all of them.
func readStat(path string) (procStat, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return procStat{}, err
	}
	return parseStat(data)
}

// parseStat finds the command's end from the right: it may contain anything.
func parseStat(data []byte) (procStat, error) {
	malformed := errors.New("malformed stat")
	open, shut := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || shut < open {
		return procStat{}, malformed
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(data[:open])))
	fields := strings.Fields(string(data[shut+1:]))
	if err != nil || len(fields) < 22 {
		return procStat{}, malformed
	}
	number := func(field int) int64 { // numbered as in proc(5), where the state is 3
		n, _ := strconv.ParseInt(fields[field-3], 10, 64)
		return n
	}
	return procStat{
		pid: pid, ppid: int(number(4)), state: fields[0][0],
		command: string(data[open+1 : shut]),
		cpuMS:   (number(14) + number(15)) * 1000 / clockTick,
		threads: int(number(20)),
		rssKiB:  number(24) * pageKiB,
	}, nil
}

// numbersIn lists the numeric entries of a directory of /proc.
func numbersIn(path string) ([]int, error) {
	directory, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = directory.Close() }()
	names, err := directory.Readdirnames(-1)
	var numbers []int
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			numbers = append(numbers, n)
		}
	}
	// A process that ends while its directory is read makes the reading fail;
	// what was read is good.
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return numbers, err
}

// otherProcesses are all but the launcher: as PID 1 everything that /proc
// shows, else only the descendants.
func otherProcesses() ([]procStat, error) {
	pids, err := numbersIn("/proc")
	if err != nil {
		return nil, err
	}
	self := os.Getpid()
	var all []procStat
	for _, pid := range pids {
		if pid == self {
			continue
		}
		if stat, err := readStat("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil {
			all = append(all, stat)
		}
	}
	if self == 1 {
		return all, nil
	}
	return descendantsOf(self, all), nil
}

func descendantsOf(ancestor int, all []procStat) []procStat {
	parents := map[int]int{}
	for _, p := range all {
		parents[p.pid] = p.ppid
	}
	var found []procStat
	for _, p := range all {
		if _, known := depthBelow(ancestor, p.pid, parents); known {
			found = append(found, p)
		}
	}
	return found
}

// depthBelow counts the generations between a process and its ancestor. The
// entries were read one after another and may contradict each other, even in a
// circle, hence the bound.
func depthBelow(ancestor, pid int, parents map[int]int) (int, bool) {
	for depth := 0; depth <= len(parents); depth++ {
		if pid == ancestor {
			return depth, true
		}
		parent, known := parents[pid]
		if !known {
			return depth, false
		}
		pid = parent
	}
	return 0, false
}

// threadsOf reads the threads of a process. The leader alone does not tell: it
// may be a zombie while others run.
func threadsOf(pid int) []procStat {
	path := "/proc/" + strconv.Itoa(pid) + "/task"
	tids, err := numbersIn(path)
	if err != nil {
		return nil
	}
	var threads []procStat
	for _, tid := range tids {
		if stat, err := readStat(path + "/" + strconv.Itoa(tid) + "/stat"); err == nil {
			threads = append(threads, stat)
		}
	}
	return threads
}

// switchesOf counts how often a thread was taken off a CPU. A stopped thread's
// count stands still, however short a run would be.
func switchesOf(pid, tid int) (int64, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return 0, false
	}
	var sum int64
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.HasSuffix(name, "voluntary_ctxt_switches") { // and nonvoluntary_…
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			sum += n
		}
	}
	return sum, true
}
