package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The probe tries from inside what must not work. Each check runs in a child
// with just the layer under test, as another layer would hide that one is
// missing, and says which mechanism refused. No packet leaves the loopback
// interface.

// expectation is what the backend promises; checks of other layers are left out.
type expectation struct {
	UserNamespace  bool   `json:"user_namespace"`
	ReadOnlyRoot   bool   `json:"read_only_root"`
	Network        string `json:"network"`
	PIDNamespace   bool   `json:"pid_namespace"`
	NoCapabilities bool   `json:"no_capabilities"`
	Landlock       bool   `json:"landlock"`
	Seccomp        bool   `json:"seccomp"`

	// Layers that may be missing: tried all the same, for the supervisor to judge.
	MayMiss []string `json:"may_miss"`

	// Optional, for what the launcher cannot know.
	ProxyPorts  []int             `json:"proxy_ports"`
	DeniedPorts []int             `json:"denied_ports"`
	Socket      string            `json:"socket"`     // the supervisor's
	Namespaces  map[string]string `json:"namespaces"` // the supervisor's own, which ours must not be
}

// The layers, as assertions name them. The first two need no promise.
const (
	layerLauncher       = "launcher"
	layerContainer      = "container"
	layerUserNamespace  = "user_namespace"
	layerReadOnlyRoot   = "read_only_root"
	layerNetwork        = "network"
	layerPIDNamespace   = "pid_namespace"
	layerNoCapabilities = "no_capabilities"
	layerLandlock       = "landlock"
	layerSeccomp        = "seccomp"
)

// tries reports whether a layer's checks are wanted.
func (e *expectation) tries(layer string) bool {
	return e.promises(layer) || slices.Contains(e.MayMiss, layer)
}

// demands reports whether a layer must be there.
func (e *expectation) demands(layer string) bool {
	return e.promises(layer) && !slices.Contains(e.MayMiss, layer)
}

func (e *expectation) promises(layer string) bool {
	switch layer {
	case layerUserNamespace:
		return e.UserNamespace
	case layerReadOnlyRoot:
		return e.ReadOnlyRoot
	case layerPIDNamespace:
		return e.PIDNamespace
	case layerNoCapabilities:
		return e.NoCapabilities
	case layerLandlock:
		return e.Landlock
	case layerSeccomp:
		return e.Seccomp
	}
	return true
}

// lockdown is the one that the probe tests: the agent's own ports, where given.
func (e *expectation) lockdown(writePaths []string) lockdown {
	l := lockdown{Network: e.Network, ProxyPorts: e.ProxyPorts, DeniedPorts: e.DeniedPorts, WritePaths: writePaths}
	if len(l.ProxyPorts) == 0 {
		l.ProxyPorts = []int{8788}
	}
	if len(l.DeniedPorts) == 0 {
		l.DeniedPorts = []int{8443}
	}
	return l
}

// assertion is one line of the probe's answer.
type assertion struct {
	Name   string `json:"name"`
	Layer  string `json:"layer"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// check is an assertion before it is tried. Its name never changes.
type check struct {
	name  string
	layer string
	stage string
	// applies is nil for a check that always does.
	applies func(*stagePlan) bool
	// try is nil where the end of the stage's process is the outcome.
	try func(*stagePlan) outcome
}

// outcome is what a check found.
type outcome struct {
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// allChecks is the order of the answer.
func allChecks() []check {
	var all []check
	for _, some := range [][]check{launcherChecks, containerChecks, landlockChecks, seccompChecks, lockedChecks} {
		all = append(all, some...)
	}
	return all
}

func (c *check) wanted(p *stagePlan) bool {
	return p.Expect.tries(c.layer) && (c.applies == nil || c.applies(p))
}

// stageTimeout bounds each wait of the probe. What was not tried by then counts as
// failed, so it is generous: on a node that has hardly any CPU left, a stage can
// take seconds.
const stageTimeout = 30 * time.Second

func (l *launcher) performProbe(packet []byte) (answer, *failure) {
	var r struct {
		Expect *expectation `json:"expect"`
	}
	if f := decode(packet, &r); f != nil {
		return answer{}, f
	}
	if r.Expect == nil {
		return answer{}, fail(unix.EINVAL, "expect is missing")
	}
	assertions, f := probe(l.table, r.Expect, nil)
	return answer{fields: map[string]any{"assertions": assertions}}, f
}

// probe runs all stages. Tests take locks away with alter, and see the checks of
// these locks fail.
func probe(t *processTable, expect *expectation, alter func(*stagePlan)) ([]assertion, *failure) {
	scene, f := setScene(t, expect)
	if f != nil {
		return nil, f
	}
	defer scene.clear()
	if alter != nil {
		alter(&scene.plan)
	}
	found := scene.runStages(t)
	assertions := []assertion{}
	for _, c := range allChecks() {
		if !c.wanted(&scene.plan) {
			continue
		}
		o, tried := found[c.stage].outcomes[c.name]
		if c.try == nil {
			o, tried = outcomeOfEnd(found[c.stage].status), true
		}
		if !tried {
			o = outcome{Detail: "not tried: " + found[c.stage].problem}
		}
		assertions = append(assertions, assertion{c.name, c.layer, o.OK, printable(o.Detail)})
	}
	return assertions, nil
}

// scene is what the stages need around them.
type scene struct {
	plan     stagePlan
	ports    int
	abstract *net.UnixListener
	target   *controlSocket
}

func setScene(t *processTable, expect *expectation) (*scene, *failure) {
	s := &scene{ports: -1, plan: stagePlan{
		Expect: *expect, ABI: t.abi, Launcher: os.Getpid(), Scratch: makeScratch(),
		BaseFilters: statusNumber("/proc/self/status", "Seccomp_filters"),
	}}
	s.plan.Lockdown = expect.lockdown([]string{filepath.Join(s.plan.Scratch, "inside"), "/dev"})
	if f := s.plan.Lockdown.validate(); f != nil {
		s.clear()
		return nil, f
	}
	var err error
	if s.ports, err = t.portsFor(&s.plan.Lockdown); err != nil {
		s.clear()
		return nil, failAt(stageLandlock, err, "rules for ports")
	}
	s.plan.Abstract = "axiom-probe-" + rand.Text()
	if s.abstract, err = net.ListenUnix("unix", &net.UnixAddr{Name: "@" + s.plan.Abstract, Net: "unix"}); err != nil {
		s.clear()
		return nil, failAt("probe", err, "listen on an abstract address")
	}
	if f := s.startTarget(t); f != nil {
		s.clear()
		return nil, f
	}
	return s, nil
}

func (s *scene) clear() {
	if s.target != nil {
		s.target.close()
	}
	if s.abstract != nil {
		_ = s.abstract.Close()
	}
	if s.plan.Scratch != "" {
		_ = os.RemoveAll(s.plan.Scratch)
	}
}

// makeScratch makes a directory with an inside, where Landlock allows writing,
// and an outside with a file; "" where nothing can be written at all.
func makeScratch() string {
	for _, parent := range []string{"/tmp", "/dev/shm", "/var/tmp", "/workspace", "/home/agent"} {
		scratch, err := os.MkdirTemp(parent, ".axiom-probe-")
		if err != nil {
			continue
		}
		if os.Mkdir(filepath.Join(scratch, "inside"), 0o755) == nil &&
			os.Mkdir(filepath.Join(scratch, "outside"), 0o755) == nil &&
			os.WriteFile(filepath.Join(scratch, "outside", "file"), []byte("kept"), 0o644) == nil &&
			os.WriteFile(filepath.Join(scratch, "outside", "victim"), nil, 0o644) == nil {
			return scratch
		}
		_ = os.RemoveAll(scratch)
	}
	return ""
}

// startTarget starts a process of the same user outside every lock, for others
// to reach out to.
func (s *scene) startTarget(t *processTable) *failure {
	control, _, err := s.fork(t, &s.plan.Target)
	if err != nil {
		return failAt(stageFork, err, "start the probe's target")
	}
	s.target = control
	plan := s.plan
	plan.Stage = stageTarget
	_ = control.file.SetDeadline(time.Now().Add(stageTimeout))
	if err := json.NewEncoder(control.file).Encode(plan); err != nil {
		return failAt("probe", err, "start the probe's target")
	}
	if _, err := control.file.Read(make([]byte, 1)); err != nil {
		return failAt("probe", timeoutErrno(err), "wait for the probe's target")
	}
	return nil
}

// fork starts a stage with nothing but /dev/null and, as descriptor 3, the
// ruleset for ports. Its end arrives on the channel.
func (s *scene) fork(t *processTable, pid *int) (*controlSocket, <-chan unix.WaitStatus, error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	defer closeAll(null)
	files := []int{null, null, null}
	if s.ports >= 0 {
		files = append(files, s.ports)
	}
	ended := make(chan unix.WaitStatus, 1)
	control, err := t.fork(modeStage, files, func(child int) {
		*pid = child
		t.children[child] = ended
	})
	return control, ended, err
}

// stageResult is what became of a stage.
type stageResult struct {
	outcomes map[string]outcome
	status   *unix.WaitStatus
	problem  string
}

func (s *scene) runStages(t *processTable) map[string]*stageResult {
	results := map[string]*stageResult{}
	var running sync.WaitGroup
	for _, stage := range stages {
		result := &stageResult{problem: "its stage found nothing"}
		results[stage] = result
		running.Go(func() { s.runStage(t, stage, result) })
	}
	running.Wait()
	return results
}

func (s *scene) runStage(t *processTable, stage string, result *stageResult) {
	var pid int
	control, ended, err := s.fork(t, &pid)
	if err != nil {
		result.problem = err.Error()
		return
	}
	defer control.close()
	plan := s.plan
	plan.Stage = stage
	found, err := control.ask(plan, stageTimeout)
	if err != nil {
		result.problem = err.Error()
		t.killChild(pid)
	}
	var reported stageReport
	if json.Unmarshal([]byte(found), &reported) == nil {
		result.outcomes = reported.Outcomes
		if reported.Problem != "" {
			result.problem = reported.Problem
		}
	}
	select {
	case status := <-ended:
		result.status = &status
	case <-time.After(stageTimeout):
		t.killChild(pid)
	}
}

// killChild ends a stage that hangs, if it was not reaped yet.
func (t *processTable) killChild(pid int) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.children[pid] != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// outcomeOfEnd judges a stage that must be killed by the filter. The stage has
// left faults to the kernel: one means that the machine has no such calls.
func outcomeOfEnd(status *unix.WaitStatus) outcome {
	switch {
	case status == nil:
		return outcome{Detail: "the process did not end"}
	case status.Signaled() && status.Signal() == unix.SIGSYS:
		return outcome{true, "killed by SIGSYS"}
	case status.Signaled() && status.Signal() == unix.SIGSEGV:
		return outcome{true, "the kernel has no such calls"}
	case status.Signaled():
		return outcome{Detail: "ended by " + unix.SignalName(status.Signal())}
	}
	return outcome{Detail: fmt.Sprintf("not killed: exit code %d", status.ExitStatus())}
}
