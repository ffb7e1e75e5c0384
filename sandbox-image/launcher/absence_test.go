package main

import (
	"encoding/json"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Every assertion of the probe fails where just its layer is absent: else it
// would say nothing. The last test here makes sure that none was forgotten.

// withoutLock takes locks of the launcher's own away.
var withoutLock = map[string]struct {
	network string
	alter   func(*stagePlan)
}{
	"no lock":                 {networkStrict, func(p *stagePlan) { p.Unlocked = true }},
	"no lock, and no network": {networkNone, func(p *stagePlan) { p.Unlocked = true }},
	"a lock on everything":    {networkStrict, func(p *stagePlan) { p.Lockdown.WritePaths = nil }},
}

// probeWithout is a launcher that does not hide, with one of withoutLock.
func probeWithout(arguments []string) {
	l, err := newLauncher("")
	if err != nil {
		panic(err)
	}
	absence := withoutLock[arguments[0]]
	expect := everything(absence.network)
	assertions, f := probe(l.table, &expect, absence.alter)
	if f != nil {
		panic(f)
	}
	_ = json.NewEncoder(os.Stdout).Encode(assertions)
}

// tryWalled tries a check below a filter that leaves no Unix socket.
func tryWalled(arguments []string) {
	runtime.LockOSThread()
	var p instructions
	p.add(load(offNumber))
	p.on(unix.SYS_SOCKET, argument(0), jumpEqual(unix.AF_UNIX, 0, 1), ret(refuse(unix.EACCES)), ret(actAllow))
	p.add(ret(actAllow))
	if err := noNewPrivileges(); err != nil {
		panic(err)
	}
	if err := p.install(); err != nil {
		panic(err)
	}
	i := slices.IndexFunc(allChecks(), func(c check) bool { return c.name == arguments[0] })
	_ = json.NewEncoder(os.Stdout).Encode(allChecks()[i].try(&stagePlan{}))
}

// absences take one layer of the container away. `fails` is every assertion
// that notices, and no other may.
var absences = []struct {
	absent string
	remove func(t *testing.T, b *box)
	fails  []string
}{
	{
		"the root is writable",
		func(_ *testing.T, b *box) {
			b.root, b.more = []string{"--tmpfs", "/", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"}, nil
		},
		[]string{
			"read_only_root.create-directory-refused", "read_only_root.create-file-refused", "read_only_root.mounted-read-only",
		},
	},
	{
		"the machine's processes are there",
		func(_ *testing.T, b *box) {
			b.notFirst, b.namespaces = true, without(b.namespaces, "--unshare-pid")
			b.proc = []string{"--bind", "/proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"}
		},
		[]string{"pid_namespace.kernel-threads-hidden", "pid_namespace.launcher-is-first"},
	},
	{
		"the machine's own users",
		func(_ *testing.T, b *box) { b.namespaces = without(b.namespaces, "--unshare-user") },
		// With the machine's root comes its bounding set.
		[]string{
			"no_capabilities.bounding-empty", "no_capabilities.not-root", "user_namespace.groups-mapped", "user_namespace.users-mapped",
		},
	},
	{
		"the kernel's settings are writable",
		func(_ *testing.T, b *box) { b.proc = []string{"--proc", "/proc"} },
		[]string{"container.kernel-settings-unwritable"},
	},
	{
		"sysfs is writable",
		func(t *testing.T, b *box) {
			b.proc = append(b.proc, "--tmpfs", "/sys")
			b.show(file(t), "/sys/kernel/uevent_helper")
		},
		[]string{"container.sysfs-unwritable"},
	},
	{
		"control groups are writable",
		func(t *testing.T, b *box) {
			b.proc = append(b.proc, "--tmpfs", "/sys")
			b.show(file(t), "/sys/fs/cgroup/cgroup.procs")
		},
		[]string{"container.cgroup-unwritable"},
	},
	{
		"a device of the machine",
		func(t *testing.T, b *box) { b.show(file(t), "/dev/kmsg") },
		[]string{"container.host-devices-absent"},
	},
	{
		"the container runtime's socket",
		func(t *testing.T, b *box) {
			path := filepath.Join(t.TempDir(), "docker.sock")
			listener, err := net.Listen("unix", path)
			must(t, err)
			t.Cleanup(func() { _ = listener.Close() })
			b.proc = append(b.proc, "--tmpfs", "/run")
			b.show(path, "/run/docker.sock")
		},
		[]string{"container.runtime-socket-absent"},
	},
	{
		"a service account's token",
		func(_ *testing.T, b *box) {
			b.proc = append(b.proc, "--tmpfs", "/run", "--dir", "/run/secrets/kubernetes.io")
		},
		[]string{"container.service-account-token-absent"},
	},
	{
		"every capability",
		func(_ *testing.T, b *box) {
			b.namespaces = append(without(b.namespaces, "--unshare-user", "--cap-drop", "ALL"), "--cap-add", "ALL")
			b.through = []string{"setpriv", "--inh-caps", "+chown", "--ambient-caps", "+chown"}
		},
		slices.Concat(namesOf(layerNoCapabilities), namesOf(layerUserNamespace)),
	},
}

// What fails on no kernel that lacks the call, with the error that says so.
var lackingCalls = map[string]func() error{
	"no_capabilities.module-refused": tryModule,
	"no_capabilities.kexec-refused":  tryKexec,
}

// without is --unshare-all, one by one, but for some options.
func without(options []string, some ...string) []string {
	all := []string{"--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup"}
	all = append(all, options[1:]...)
	if slices.Contains(some, "--unshare-user") {
		some = append(some, "--uid", "--gid", "1000")
	}
	return slices.DeleteFunc(all, func(one string) bool { return slices.Contains(some, one) })
}

func (b *box) show(path, at string) { b.proc = append(b.proc, "--bind", path, at) }

func file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte("what should not be seen"), 0o666))
	return path
}

func namesOf(layer string) []string {
	var names []string
	for _, c := range allChecks() {
		if c.layer == layer {
			names = append(names, c.name)
		}
	}
	return names
}

func failing(found map[string]assertion) []string {
	var names []string
	for name, a := range found {
		if !a.OK {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestEveryAssertionFailsWhereItsLayerIsAbsent(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: without its capabilities much is refused anyhow")
	}
	needLandlock(t, abiScopes)
	noticed := map[string]bool{"launcher.second-connection-refused": true} // TestSecondConnectionIsTried
	for absent := range withoutLock {
		t.Run(absent, func(t *testing.T) {
			output, err := exec.Command(selfExe, "probe-without", absent).Output()
			must(t, err)
			var assertions []assertion
			must(t, json.Unmarshal(output, &assertions))
			for _, a := range assertions {
				if ownLayers(a) && !a.OK {
					noticed[a.Name] = true
				}
			}
		})
	}
	t.Run("no Unix sockets", func(t *testing.T) {
		const name = "seccomp.unix-socket-allowed"
		output, err := exec.Command(selfExe, "try-walled", name).Output()
		must(t, err)
		var o outcome
		must(t, json.Unmarshal(output, &o))
		noticed[name] = !o.OK
	})
	t.Run("files of /proc that not every kernel has", func(t *testing.T) {
		open := file(t)
		noticed["container.sysrq-unwritable"] = !closedTo(open, unix.O_WRONLY)(nil).OK
		noticed["container.kernel-memory-unreadable"] = !emptyOrClosed(open)(nil).OK
	})
	for _, absence := range absences {
		t.Run(absence.absent, func(t *testing.T) {
			b := wholeBox()
			absence.remove(t, &b)
			s, _ := b.start(t)
			fails := slices.Sorted(slices.Values(absence.fails))
			fails = slices.DeleteFunc(fails, func(name string) bool { return lackedHere(name) })
			found := failing(s.probed(everything(networkStrict)))
			want(t, "assertions that fail", strings.Join(found, "\n"), strings.Join(fails, "\n"))
			for _, name := range found {
				noticed[name] = true
			}
		})
	}
	t.Run("the supervisor's own namespaces", func(t *testing.T) {
		s := withLauncher(t)
		own := map[string]string{}
		for _, name := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
			own[name], _ = os.Readlink("/proc/self/ns/" + name)
		}
		for name, a := range s.probed(expectation{Network: networkNone, Namespaces: own}) {
			if strings.HasSuffix(name, "-namespace-differs") && !a.OK {
				noticed[name] = true
			}
		}
	})
	for _, c := range allChecks() {
		if !noticed[c.name] && !lackedHere(c.name) {
			t.Errorf("%s fails in no test: take its layer away in one", c.name)
		}
	}
	t.Logf("%d of %d assertions were seen to fail", len(slices.Collect(maps.Keys(noticed))), len(allChecks()))
}

// lackedHere: the kernel of this machine has no such call, with or without rights.
func lackedHere(name string) bool {
	try := lackingCalls[name]
	return try != nil && errnoOf(try()) == unix.ENOSYS
}
