package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds that keep a hello, which lists everything, within one packet.
const (
	maxProcesses  = 64
	maxChannels   = 16
	maxNameLength = 64
)

// A child that has not executed argv by then hangs on a file system.
const startTimeout = 10 * time.Second

// selfExe is this binary, also when its path is gone.
const selfExe = "/proc/self/exe"

// exitStatus is how a process ended: with a code, or by a signal.
type exitStatus struct {
	Code      *int  `json:"code"`
	Signal    *int  `json:"signal"`
	UserMS    int64 `json:"user_ms"`
	SystemMS  int64 `json:"system_ms"`
	MaxRSSKiB int64 `json:"max_rss_kib"`
}

func newExitStatus(status unix.WaitStatus, usage *unix.Rusage) *exitStatus {
	exit := &exitStatus{
		UserMS:    usage.Utime.Nano() / int64(time.Millisecond),
		SystemMS:  usage.Stime.Nano() / int64(time.Millisecond),
		MaxRSSKiB: usage.Maxrss,
	}
	if status.Signaled() {
		number := int(status.Signal())
		exit.Signal = &number
	} else {
		code := status.ExitStatus()
		exit.Code = &code
	}
	return exit
}

// kept is a descriptor that the launcher holds for the supervisor.
type kept struct {
	name string
	fd   int
}

// process is one that the supervisor started.
type process struct {
	name    string
	pid     int
	kept    []kept
	exit    *exitStatus
	running bool // argv was executed, and the supervisor has been told
}

// listedProcess is a process as hello describes it.
type listedProcess struct {
	Name string      `json:"name"`
	PID  int         `json:"pid"`
	FDs  []string    `json:"fds"`
	Exit *exitStatus `json:"exit"`
}

// processTable is what the launcher knows about its processes.
type processTable struct {
	mutex     sync.Mutex
	processes []*process
	abi       int
	ports     map[string]int // rulesets for ports, by lockdown.portsKey
	exited    func(*process) // called without the lock
	children  map[int]chan unix.WaitStatus
}

func newProcessTable(exited func(*process)) *processTable {
	return &processTable{
		abi: landlockABI(), ports: map[string]int{}, exited: exited,
		children: map[int]chan unix.WaitStatus{},
	}
}

// reap collects every child that has ended, orphans of others included. It
// waits under the lock, so that no signal goes to a pid that was given anew.
func (t *processTable) reap() {
	for {
		t.mutex.Lock()
		var status unix.WaitStatus
		var usage unix.Rusage
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, &usage)
		var ended *process
		if err == nil && pid > 0 {
			ended = t.record(pid, status, &usage)
		}
		t.mutex.Unlock()
		if ended != nil {
			t.exited(ended)
		}
		if err != nil && !errors.Is(err, unix.EINTR) || err == nil && pid <= 0 {
			return
		}
	}
}

// record notes the end of a child, and returns it if the supervisor is to hear.
func (t *processTable) record(pid int, status unix.WaitStatus, usage *unix.Rusage) *process {
	if waiter := t.children[pid]; waiter != nil {
		delete(t.children, pid)
		waiter <- status
		return nil
	}
	for _, p := range t.processes {
		if p.pid == pid && p.exit == nil {
			p.exit = newExitStatus(status, usage)
			if p.running {
				return p
			}
		}
	}
	return nil
}

func (t *processTable) find(name string) *process {
	for _, p := range t.processes {
		if p.name == name {
			return p
		}
	}
	return nil
}

// list is for hello: those whose start was answered.
func (t *processTable) list() []listedProcess {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	list := []listedProcess{}
	for _, p := range t.processes {
		if p.running {
			list = append(list, listedProcess{p.name, p.pid, p.fdNames(), p.exit})
		}
	}
	return list
}

func (p *process) fdNames() []string {
	names := make([]string, len(p.kept))
	for i, k := range p.kept {
		names[i] = k.name
	}
	return names
}

func (p *process) fds() []int {
	fds := make([]int, len(p.kept))
	for i, k := range p.kept {
		fds[i] = k.fd
	}
	return fds
}

func (p *process) closeFDs() {
	closeAll(p.fds()...)
	p.kept = nil
}

func (p *process) closeFD(name string) *failure {
	for i, k := range p.kept {
		if k.name == name {
			closeAll(k.fd)
			p.kept = slices.Delete(p.kept, i, i+1)
			return nil
		}
	}
	return fail(unix.EBADF, "%s has no descriptor %q", p.name, name)
}

// signal reaches a process, or the group that it leads, which may outlive it.
func (t *processTable) signal(name string, s unix.Signal, scope string) *failure {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	p := t.find(name)
	if p == nil {
		return fail(unix.ESRCH, "no process is named %q", name)
	}
	pid := p.pid
	switch {
	case scope == "group":
		pid = -p.pid
	case scope != "process":
		return fail(unix.EINVAL, "scope must be process, group or all, not %q", scope)
	case p.exit != nil:
		return fail(unix.ESRCH, "%s has ended", name)
	}
	if err := unix.Kill(pid, s); err != nil {
		return fail(errnoOf(err), "signal %s: %v", name, err)
	}
	return nil
}

// startRequest is the `start` of the protocol.
type startRequest struct {
	Name     string      `json:"name"`
	Argv     []string    `json:"argv"`
	Env      []string    `json:"env"`
	Cwd      string      `json:"cwd"`
	TTY      *windowSize `json:"tty"`
	Stdin    string      `json:"stdin"`
	Stdout   string      `json:"stdout"`
	Stderr   string      `json:"stderr"`
	Channels []channel   `json:"channels"`
	Lockdown *lockdown   `json:"lockdown"`
}

// channel is a pipe beyond the standard ones; the child writes unless inward.
type channel struct {
	name   string
	inward bool
}

func (c *channel) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &c.name); err == nil {
		return nil
	}
	var object struct {
		Name      string `json:"name"`
		Direction string `json:"direction"`
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	if object.Direction != "in" && object.Direction != "out" {
		return errors.New("a channel's direction is in or out")
	}
	c.name, c.inward = object.Name, object.Direction == "in"
	return nil
}

func (r *startRequest) validate() *failure {
	switch {
	case len(r.Name) == 0 || len(r.Name) > maxNameLength:
		return fail(unix.EINVAL, "name must have 1 to %d bytes", maxNameLength)
	case len(r.Argv) == 0 || r.Argv[0] == "":
		return fail(unix.EINVAL, "argv is empty")
	case r.Lockdown == nil:
		return fail(unix.EINVAL, "lockdown is missing: nothing runs unlocked")
	case len(r.Channels) > maxChannels:
		return fail(unix.EINVAL, "more than %d channels", maxChannels)
	}
	if f := r.validateDescriptors(); f != nil {
		return f
	}
	if r.Cwd == "" {
		r.Cwd = "/"
	}
	return r.Lockdown.validate()
}

func (r *startRequest) validateDescriptors() *failure {
	for i, stream := range []*string{&r.Stdin, &r.Stdout, &r.Stderr} {
		if *stream == "" {
			*stream = "null"
			if r.TTY != nil {
				*stream = "tty"
			}
		}
		if !slices.Contains([]string{"tty", "pipe", "null"}, *stream) || *stream == "tty" && r.TTY == nil {
			return fail(unix.EINVAL, "%s: %q is not possible here", streamNames[i], *stream)
		}
	}
	taken := append([]string{"tty"}, streamNames[:]...)
	for _, c := range r.Channels {
		if c.name == "" || len(c.name) > maxNameLength/2 || slices.Contains(taken, c.name) {
			return fail(unix.EINVAL, "channel %q: the name is empty, too long or taken", c.name)
		}
		taken = append(taken, c.name)
	}
	return nil
}

var streamNames = [3]string{"stdin", "stdout", "stderr"}

// plumbing is the two ends of everything that a process is connected to.
type plumbing struct {
	kept  []kept // ours
	child []int  // the child's, in the order of its descriptors
	slave int    // -1 without a terminal
	extra []int  // the child's ends to close here, once each
}

func (p *plumbing) close() {
	closeAll(p.extra...)
	for _, k := range p.kept {
		closeAll(k.fd)
	}
}

// lay opens the terminal and the pipes.
func lay(r *startRequest) (*plumbing, *failure) {
	p := &plumbing{slave: -1}
	if r.TTY != nil {
		master, slave, err := openTerminal(*r.TTY)
		if err != nil {
			return nil, failAt(stageTerminal, err, "open a terminal")
		}
		p.slave = slave
		p.kept = append(p.kept, kept{"tty", master})
		p.extra = append(p.extra, slave)
	}
	for i, kind := range []string{r.Stdin, r.Stdout, r.Stderr} {
		if err := p.addStream(streamNames[i], kind, i == 0); err != nil {
			p.close()
			return nil, failAt(stageStdio, err, streamNames[i])
		}
	}
	for _, c := range r.Channels {
		if err := p.addPipe(c.name, c.inward); err != nil {
			p.close()
			return nil, failAt(stageStdio, err, c.name)
		}
	}
	return p, nil
}

func (p *plumbing) addStream(name, kind string, inward bool) error {
	switch kind {
	case "tty":
		p.child = append(p.child, p.slave)
		return nil
	case "pipe":
		return p.addPipe(name, inward)
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.child = append(p.child, null)
	p.extra = append(p.extra, null)
	return nil
}

func (p *plumbing) addPipe(name string, inward bool) error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	ours, theirs := ends[0], ends[1]
	if inward {
		ours, theirs = theirs, ours
	}
	p.kept = append(p.kept, kept{name, ours})
	p.child = append(p.child, theirs)
	p.extra = append(p.extra, theirs)
	return nil
}

// portsFor makes the ruleset of a lockdown once. PID 1 is not restricted by it.
func (t *processTable) portsFor(l *lockdown) (int, error) {
	if t.abi < abiNetwork {
		return -1, nil
	}
	key := l.portsKey()
	if fd, known := t.ports[key]; known {
		return fd, nil
	}
	fd, err := portRuleset(t.abi, l)
	if err == nil {
		t.ports[key] = fd
	}
	return fd, err
}

// start runs a process. It is registered when argv has been executed; the
// caller says `announce` when the answer is out.
func (t *processTable) start(r *startRequest) (*process, []string, *failure) {
	if f := r.validate(); f != nil {
		return nil, nil, f
	}
	if f := t.admit(r.Name); f != nil {
		return nil, nil, f
	}
	ports, err := t.portsFor(r.Lockdown)
	if err != nil {
		return nil, nil, failAt(stageLandlock, err, "rules for ports")
	}
	pipes, f := lay(r)
	if f != nil {
		return nil, nil, f
	}
	p := &process{name: r.Name, kept: pipes.kept}
	missing, f := t.launch(p, r, pipes, ports)
	if f != nil {
		t.forget(p)
		return nil, nil, f
	}
	return p, missing, nil
}

func (t *processTable) admit(name string) *failure {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.find(name) != nil {
		return fail(unix.EEXIST, "%s: the name is taken until it is released", name)
	}
	if len(t.processes) >= maxProcesses {
		return fail(unix.EAGAIN, "%d processes are not released", maxProcesses)
	}
	return nil
}

// forget drops a process and what was kept for it.
func (t *processTable) forget(p *process) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.remove(p)
}

// remove wants the lock held.
func (t *processTable) remove(p *process) {
	t.processes = slices.DeleteFunc(t.processes, func(other *process) bool { return other == p })
	p.closeFDs()
}

// launch forks, hands the plan over, and waits for the execve.
func (t *processTable) launch(p *process, r *startRequest, pipes *plumbing, ports int) ([]string, *failure) {
	defer closeAll(pipes.extra...)
	files := slices.Clone(pipes.child)
	first := len(files)
	what := plan{
		Argv: r.Argv, Env: r.Env, Cwd: r.Cwd, Lockdown: *r.Lockdown,
		ABI: t.abi, Slave: -1, Ports: -1, First: first,
	}
	if pipes.slave >= 0 {
		files = append(files, pipes.slave)
		what.Slave = len(files) - 1
	}
	if ports >= 0 {
		files = append(files, ports)
		what.Ports = len(files) - 1
	}
	control, err := t.fork(modeExec, files, func(pid int) {
		p.pid = pid
		t.processes = append(t.processes, p)
	})
	if err != nil {
		return nil, failAt(stageFork, err, "start a process")
	}
	defer control.close()
	missing, f := control.converse(what)
	if f != nil {
		t.kill(p)
	}
	if f != nil && f.stage == stageExec && slices.Contains([]unix.Errno{unix.ENOENT, unix.EACCES, unix.ENOEXEC}, f.errno) {
		f.message = r.unexecuted(f.errno)
	}
	return missing, f
}

// kill ends a child whose start failed; it is gone already in most cases.
func (t *processTable) kill(p *process) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if p.exit == nil {
		_ = unix.Kill(p.pid, unix.SIGKILL)
	}
}

// fork re-executes this binary with the given descriptors and a control socket
// after them. The new pid is registered under the lock, before the reaper can
// see its end.
func (t *processTable) fork(mode string, files []int, register func(pid int)) (*controlSocket, error) {
	ours, theirs, err := controlPair()
	if err != nil {
		return nil, err
	}
	defer closeAll(theirs)
	inherited := make([]uintptr, 0, len(files)+1)
	for _, fd := range files {
		inherited = append(inherited, uintptr(fd))
	}
	inherited = append(inherited, uintptr(theirs))
	t.mutex.Lock()
	defer t.mutex.Unlock()
	pid, err := syscall.ForkExec(selfExe, []string{"launcher", mode, strconv.Itoa(len(files))},
		&syscall.ProcAttr{Files: inherited, Env: []string{}})
	if err != nil {
		ours.close()
		return nil, err
	}
	register(pid)
	return ours, nil
}

// announce marks the process as told to the supervisor, and returns whether it
// has ended meanwhile.
func (t *processTable) announce(p *process) (ended bool) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	p.running = true
	return p.exit != nil
}

// controlSocket is PID 1's end of the connection to a child that is not yet argv.
type controlSocket struct {
	fd   int
	file *os.File
}

func controlPair() (*controlSocket, int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, err
	}
	// Non-blocking, so that a wait holds no thread of PID 1 and can time out.
	if err := unix.SetNonblock(pair[0], true); err != nil {
		closeAll(pair[0], pair[1])
		return nil, -1, err
	}
	return &controlSocket{pair[0], os.NewFile(uintptr(pair[0]), "control")}, pair[1], nil
}

func (c *controlSocket) close() { _ = c.file.Close() }

// converse hands the plan over and reads reports until the child has become argv.
func (c *controlSocket) converse(what plan) ([]string, *failure) {
	answer, err := c.ask(what, startTimeout)
	if err != nil {
		return nil, failAt(stageExec, err, "start a process")
	}
	var ready *report
	decoder := json.NewDecoder(strings.NewReader(answer))
	for {
		var r report
		if err := decoder.Decode(&r); err != nil {
			break
		}
		if !r.Ready {
			return nil, &failure{errno: unix.Errno(r.Errno), stage: r.Stage, message: r.Message}
		}
		ready = &r
	}
	if ready == nil {
		return nil, &failure{errno: unix.EIO, stage: stageExec, message: "the child died before it could execute argv"}
	}
	return ready.Missing, nil
}

// ask sends one message and reads what comes until the other side is closed.
func (c *controlSocket) ask(message any, timeout time.Duration) (string, error) {
	if err := c.file.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	encoder := json.NewEncoder(c.file)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(message); err != nil && !errors.Is(err, unix.EPIPE) {
		return "", timeoutErrno(err)
	}
	answer, err := io.ReadAll(c.file)
	// A child that dies with the message unread resets the connection.
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		return "", timeoutErrno(err)
	}
	return string(answer), nil
}

func timeoutErrno(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return unix.ETIMEDOUT
	}
	return err
}
