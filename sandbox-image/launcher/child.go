package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The stages of a start, as an answer names them.
const (
	stageStdio    = "stdio"
	stageFork     = "fork"
	stageLimits   = "rlimit"
	stageTerminal = "tty"
	stageCwd      = "cwd"
	stageLandlock = "landlock"
	stageSeccomp  = "seccomp"
	stageExec     = "exec"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// plan is what PID 1 tells its re-executed self, over the control socket.
type plan struct {
	Argv     []string `json:"argv"`
	Env      []string `json:"env"`
	Cwd      string   `json:"cwd"`
	Lockdown lockdown `json:"lockdown"`
	ABI      int      `json:"abi"`
	Slave    int      `json:"slave"` // -1 without a terminal
	Ports    int      `json:"ports"` // the ruleset for ports, -1 without
	First    int      `json:"first"` // the first descriptor that argv does not inherit
}

// report is a line from the child: `ready` right before execve, or an error.
// After `ready`, the end of the socket means that execve succeeded.
type report struct {
	Ready   bool     `json:"ready"`
	Missing []string `json:"missing,omitempty"`
	Stage   string   `json:"stage,omitempty"`
	Errno   int      `json:"errno,omitempty"`
	Message string   `json:"message,omitempty"`
}

// runExec is the child between fork and the agent's first instruction.
func runExec(arguments []string) {
	control := takeControl(arguments)
	var p plan
	if err := json.NewDecoder(control).Decode(&p); err != nil {
		bail(control, failAt(stageExec, err, "read the plan"))
	}
	if err := becomeArgv(control, &p); err != nil {
		bail(control, err)
	}
}

// takeControl hides the process first: until it is locked, another process of
// the same user could otherwise write into its memory.
func takeControl(arguments []string) *os.File {
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	// No collection: it would start threads, which the user's limit may forbid.
	debug.SetGCPercent(-1)
	if len(arguments) != 1 {
		os.Exit(2)
	}
	fd, err := strconv.Atoi(arguments[0])
	if err != nil {
		os.Exit(2)
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "control")
}

func bail(control io.Writer, f *failure) {
	_ = json.NewEncoder(control).Encode(report{Stage: f.stage, Errno: int(f.errno), Message: f.Error()})
	os.Exit(127)
}

// becomeArgv returns only if something failed.
func becomeArgv(control io.Writer, p *plan) *failure {
	program, err := newProgram(p.Argv, p.Env)
	if err != nil {
		return failAt(stageExec, err, "argv or env")
	}
	unix.Umask(0o022)
	if err := p.Lockdown.Limits.apply(); err != nil {
		return failAt(stageLimits, err, "set the limits")
	}
	if err := leadSession(p.Slave); err != nil {
		return failAt(stageTerminal, err, "lead a session")
	}
	if err := unix.Chdir(p.Cwd); err != nil {
		return failAt(stageCwd, err, p.Cwd)
	}
	if err := closeOnExecFrom(p.First); err != nil {
		return failAt(stageStdio, err, "close the other descriptors on exec")
	}
	if err := noNewPrivileges(); err != nil {
		return failAt(stageSeccomp, err, "set no_new_privs")
	}
	if err := p.Lockdown.lockLandlock(p.ABI, p.Ports); err != nil {
		return failAt(stageLandlock, err, "lock with Landlock")
	}
	if err := filterFor(p.Lockdown.Network, os.Getppid()).install(); err != nil {
		return failAt(stageSeccomp, err, "lock with seccomp")
	}
	if err := json.NewEncoder(control).Encode(report{Ready: true, Missing: missingLandlock(p.ABI)}); err != nil {
		return failAt(stageExec, err, "report")
	}
	resetSignals()
	return failAt(stageExec, program.execute(), p.Argv[0])
}

// leadSession makes the process lead a session, and a group, of its own, with
// the terminal as the controlling one.
func leadSession(slave int) error {
	if _, err := unix.Setsid(); err != nil {
		return fmt.Errorf("setsid: %w", err)
	}
	if slave < 0 {
		return nil
	}
	if err := unix.IoctlSetInt(slave, unix.TIOCSCTTY, 0); err != nil {
		return fmt.Errorf("TIOCSCTTY: %w", err)
	}
	return nil
}

// closeOnExecFrom marks, rather than closes: the control socket lives until execve.
func closeOnExecFrom(first int) error {
	err := unix.CloseRange(uint(first), ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	// Before Linux 5.11.
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// program is an execve with all its memory prepared, for each path to try.
type program struct {
	paths []*byte
	argv  []*byte
	env   []*byte
}

func newProgram(argv, env []string) (*program, error) {
	var p program
	var err error
	if p.argv, err = syscall.SlicePtrFromStrings(argv); err != nil {
		return nil, err
	}
	if p.env, err = syscall.SlicePtrFromStrings(env); err != nil {
		return nil, err
	}
	for _, path := range candidates(argv[0], env) {
		pointer, err := unix.BytePtrFromString(path)
		if err != nil {
			return nil, err
		}
		p.paths = append(p.paths, pointer)
	}
	return &p, nil
}

// candidates are the files that a name may mean, as execvp has it.
func candidates(name string, env []string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	var paths []string
	for _, directory := range filepath.SplitList(pathOf(env)) {
		paths = append(paths, filepath.Join(directory, name))
	}
	return paths
}

// pathOf is where programs are looked for.
func pathOf(env []string) string {
	for _, variable := range env {
		if value, found := strings.CutPrefix(variable, "PATH="); found {
			return value
		}
	}
	return defaultPath
}

// execute tries each path. A file that may not be executed is remembered, as
// that is what the reader wants to hear rather than that another is missing.
func (p *program) execute() error {
	last := unix.ENOENT
	for _, path := range p.paths {
		_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)),
			uintptr(unsafe.Pointer(&p.argv[0])), uintptr(unsafe.Pointer(&p.env[0])))
		switch errno {
		case unix.ENOENT, unix.ENOTDIR:
		case unix.EACCES:
			last = errno
		default:
			return errno
		}
	}
	return last
}
