package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The stages: children with one layer each.
const (
	stageBare     = "bare"     // what every process of the container has
	stagePowers   = "powers"   // nothing but the user's identity: no capability
	stageFiles    = "landlock" // Landlock alone
	stageFilter   = "seccomp"  // seccomp alone
	stageLocked   = "locked"   // all of the lockdown
	stageX32      = "x32"
	stageI386     = "i386"
	stageTarget   = "target" // waits, for others to reach out to
	portsInStage  = 3
	stageFinished = 0
)

var stages = append([]string{stageBare, stagePowers, stageFiles, stageFilter, stageLocked}, foreignStages...)

// stagePlan is what a stage is told.
type stagePlan struct {
	Stage       string      `json:"stage"`
	Expect      expectation `json:"expect"`
	Lockdown    lockdown    `json:"lockdown"`
	ABI         int         `json:"abi"`
	Launcher    int         `json:"launcher"`
	Target      int         `json:"target"`
	Abstract    string      `json:"abstract"`
	Scratch     string      `json:"scratch"`
	BaseFilters int         `json:"base_filters"`
	Unlocked    bool        `json:"unlocked"`
}

type stageReport struct {
	Outcomes map[string]outcome `json:"outcomes"`
	Problem  string             `json:"problem"`
}

func runStage(arguments []string) {
	control := takeControl(arguments)
	// Checks look at a process like the agent's, which can be dumped.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	var p stagePlan
	if json.NewDecoder(control).Decode(&p) != nil {
		os.Exit(1)
	}
	if p.Stage == stageTarget {
		_, _ = control.Write([]byte{'.'})
		_, _ = control.Read(make([]byte, 1)) // until PID 1 closes its end
		os.Exit(stageFinished)
	}
	report := stageReport{Outcomes: map[string]outcome{}}
	if err := p.enter(); err != nil {
		report.Problem = err.Error()
	} else {
		p.try(report.Outcomes)
	}
	_ = json.NewEncoder(control).Encode(report)
	os.Exit(stageFinished)
}

func (p *stagePlan) try(outcomes map[string]outcome) {
	for _, c := range allChecks() {
		if c.stage == p.Stage && c.try != nil && c.wanted(p) {
			outcomes[c.name] = c.try(p)
		}
	}
	switch p.Stage {
	case stageX32, stageI386:
		_ = defaultSignal(unix.SIGSEGV)
		callForeign(p.Stage)
	}
}

// enter puts the stage's layer around this process.
func (p *stagePlan) enter() error {
	if p.Unlocked {
		return nil
	}
	switch p.Stage {
	case stageBare:
		return nil
	case stagePowers:
		return dropCapabilities()
	}
	if err := noNewPrivileges(); err != nil {
		return err
	}
	if p.Stage == stageFiles || p.Stage == stageLocked {
		if err := p.enterLandlock(); err != nil {
			return err
		}
	}
	if p.Stage != stageFiles {
		return filterFor(p.Lockdown.Network, os.Getppid()).install()
	}
	return nil
}

func (p *stagePlan) enterLandlock() error {
	if p.ABI == 0 && p.Stage == stageFiles {
		return errors.New("the kernel has no Landlock")
	}
	ports := -1
	if p.ABI >= abiNetwork {
		ports = portsInStage
	}
	return p.Lockdown.lockLandlock(p.ABI, ports)
}

func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}

// refused is right if the call failed with one of these errors and no other.
func refused(err error, wanted ...unix.Errno) outcome {
	if err == nil || err == unix.Errno(0) {
		return outcome{Detail: "it was allowed; wanted " + names(wanted)}
	}
	errno := errnoOf(err)
	if slices.Contains(wanted, errno) {
		return outcome{true, errnoName(errno)}
	}
	return outcome{Detail: "it failed with " + errnoName(errno) + "; wanted " + names(wanted)}
}

func names(errnos []unix.Errno) string {
	var all []string
	for _, errno := range errnos {
		all = append(all, errnoName(errno))
	}
	return strings.Join(all, " or ")
}

// holds is right if the condition is.
func holds(ok bool, format string, arguments ...any) outcome {
	return outcome{ok, fmt.Sprintf(format, arguments...)}
}

// allowed is right if the call succeeded: a layer that refuses everything would
// pass every other check.
func allowed(err error) outcome {
	if err == nil {
		return outcome{true, "allowed"}
	}
	return outcome{Detail: "it failed with " + errnoName(errnoOf(err)) + "; it should be allowed"}
}

// call is a raw system call.
func call(number uintptr, arguments ...uintptr) error {
	var a [6]uintptr
	copy(a[:], arguments)
	_, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return errno
	}
	return nil
}

// nowhere is an address that no process has mapped: where the kernel gets as far
// as reading it, the answer is EFAULT, and the call was not refused.
const nowhere = 1

const minusOne = ^uintptr(0)

// opens tries to open a file, with no other effect.
func opens(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// socket tries to make one.
func socket(domain, kind, protocol int) error {
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, protocol)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// proc is a path below /proc/PID.
func proc(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// statusField is a field of a status file of /proc, or "".
func statusField(path, field string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if name, value, _ := strings.Cut(line, ":"); name == field {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// statusNumber is -1 where the field is missing.
func statusNumber(path, field string) int {
	n, err := strconv.Atoi(statusField(path, field))
	if err != nil {
		return -1
	}
	return n
}

// readsMemory asks for one byte of another process. Permission is looked at
// before the address.
func readsMemory(pid int, number uintptr) error {
	var buffer [1]byte
	local := unix.Iovec{Base: &buffer[0]}
	local.SetLen(1)
	remote := [2]uintptr{nowhere, 1}
	return call(number, uintptr(pid), uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
}

// seizes attaches without stopping; the end of this process detaches again.
func seizes(pid int) error { return call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0) }

// takesDescriptor tries to copy a descriptor out of another process.
func takesDescriptor(pid int) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer closeAll(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, 0, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}
