package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestHello(t *testing.T) {
	s := withLauncher(t)
	want(t, "type", s.hello.Type, "hello")
	want(t, "protocol", s.hello.Protocol, 1)
	want(t, "length of the nonce", len(s.hello.Nonce), 64)
	want(t, "kernel", s.hello.Kernel, kernelRelease())
	want(t, "processes", len(s.hello.Processes), 0)
	if other := withLauncher(t); other.hello.Nonce == s.hello.Nonce {
		t.Error("two launchers have the same nonce")
	}
}

func TestTerminalIsControlling(t *testing.T) {
	s := withLauncher(t)
	m, files := s.askOK("start", shell("agent", `stty size; read line; echo "got $line"; echo by-tty >/dev/tty; exec cat`).
		with("tty", message{"cols": 120, "rows": 40}))
	want(t, "descriptors", strings.Join(m.texts("fds"), " "), "tty")
	readUntil(t, files[0], "40 120")
	_, err := files[0].WriteString("hällo\r")
	must(t, err)
	if !strings.Contains(readUntil(t, files[0], "by-tty"), "got hällo") {
		t.Error("the line did not arrive")
	}
	_, err = files[0].WriteString("ready\r")
	must(t, err)
	readUntil(t, files[0], "ready\r\nready") // the echo, and then cat itself
	_, err = files[0].Write([]byte{3})       // ^C reaches the foreground group of the session
	must(t, err)
	want(t, "signal", s.awaitExit("agent").number("signal"), int(unix.SIGINT))
}

func TestTerminalAndPipesMix(t *testing.T) {
	s := withLauncher(t)
	m, files := s.askOK("start", shell("agent", `test -t 0 && ! test -t 1 && echo to-pipe; echo to-tty >&2; sleep 60`).
		with("tty", message{"cols": 80, "rows": 24}).with("stdout", "pipe"))
	want(t, "descriptors", strings.Join(m.texts("fds"), " "), "tty stdout")
	readUntil(t, files[1], "to-pipe") // another pipe, so the order does not matter
	readUntil(t, files[0], "to-tty")
}

func TestClosingStdinEndsIt(t *testing.T) {
	s := withLauncher(t)
	m, files := s.askOK("start", startFields("cat", "cat").with("stdin", "pipe").with("stdout", "pipe").with("stderr", "pipe"))
	want(t, "descriptors", strings.Join(m.texts("fds"), " "), "stdin stdout stderr")
	_, err := files[0].WriteString("hello")
	must(t, err)
	s.askOK("close", message{"name": "cat", "fd": "stdin"})
	_ = files[0].Close()
	want(t, "exit code", s.awaitExit("cat").number("code"), 0)
	readUntil(t, files[1], "hello")
}

func TestChannelsHaveDirections(t *testing.T) {
	s := withLauncher(t)
	m, files := s.askOK("start", shell("agent", `read word <&4; echo "result $word" >&3`).
		with("channels", []any{"results", message{"name": "nonce", "direction": "in"}}))
	want(t, "descriptors", strings.Join(m.texts("fds"), " "), "results nonce")
	_, err := files[1].WriteString("secret\n")
	must(t, err)
	readUntil(t, files[0], "result secret")
}

func TestChildInheritsNothingElse(t *testing.T) {
	s := withLauncher(t)
	output, _ := s.run(shell("agent", `ls /proc/self/fd; umask; cat /proc/self/status; env`).with("channels", []any{"results"}))
	// The last is what ls reads the directory with.
	if !strings.HasPrefix(output, "0\n1\n2\n3\n4\n0022\n") {
		t.Errorf("descriptors and umask: %q", output[:min(40, len(output))])
	}
	for _, field := range []string{"SigBlk", "SigIgn"} {
		if !strings.Contains(output, field+":\t0000000000000000") {
			t.Errorf("%s is not empty", field)
		}
	}
	if !strings.Contains(output, "NoNewPrivs:\t1") || !strings.Contains(output, "Seccomp:\t2") {
		t.Error("not locked")
	}
}

func TestChildOfAnIgnoringParentHasDefaultSignals(t *testing.T) {
	s := supervise(t)
	s.launch(exec.Command("sh", "-c", `trap "" INT HUP PIPE; exec "$@"`, "sh", "/proc/"+fmt.Sprint(os.Getpid())+"/exe", "init", "--socket", s.path))
	s.accept()
	output, _ := s.run(startFields("agent", "grep", "SigIgn", "/proc/self/status"))
	want(t, "ignored", strings.TrimSpace(output), "SigIgn:\t0000000000000000")
}

func TestEnvironmentAndDirectoryAreAsGiven(t *testing.T) {
	s := withLauncher(t)
	output, _ := s.run(startFields("agent", "/usr/bin/env").with("env", []string{"A=1", "PATH=/nowhere"}))
	want(t, "environment", output, "A=1\nPATH=/nowhere\n")
	output, _ = s.run(startFields("pwd", "pwd").with("cwd", "/usr"))
	want(t, "directory", output, "/usr\n")
}

func TestLimits(t *testing.T) {
	s := withLauncher(t)
	limited := locked(networkStrict).with("limits", message{"file_size": 1 << 20, "processes": 333, "open_files": 99})
	output, _ := s.run(startFields("agent", "cat", "/proc/self/limits").with("lockdown", limited))
	for name, value := range map[string]string{
		"Max file size": "1048576", "Max processes": "333", "Max open files": "99", "Max core file size": "0",
	} {
		fields := strings.Fields(output[strings.Index(output, name)+len(name):])
		want(t, name, fields[0]+" "+fields[1], value+" "+value)
	}
}

func TestStartErrorsNameTheirStage(t *testing.T) {
	s := withLauncher(t)
	plain := filepath.Join(t.TempDir(), "plain")
	must(t, os.WriteFile(plain, nil, 0o644))
	for _, c := range []struct {
		fields      message
		code, stage string
	}{
		{startFields("a", "no-such-program"), "ENOENT", "exec"},
		{startFields("a", "/no/such/program"), "ENOENT", "exec"},
		{startFields("a", plain), "EACCES", "exec"},
		{startFields("a", "true").with("cwd", "/no/such"), "ENOENT", "cwd"},
		{startFields("a"), "EINVAL", ""},
		{startFields("", "true"), "EINVAL", ""},
		{startFields("a", "a\x00b"), "EINVAL", "exec"},
		{startFields("a", "true").with("stdin", "tty"), "EINVAL", ""},
		{startFields("a", "true").with("channels", []any{"stdin"}), "EINVAL", ""},
		{startFields("a", "true").with("channels", []any{message{"name": "x", "direction": "up"}}), "EINVAL", ""},
		{startFields("a", "true").with("lockdown", nil), "EINVAL", ""},
		{startFields("a", "true").with("lockdown", message{}), "EINVAL", ""},
	} {
		code, stage := s.askError("start", c.fields)
		want(t, fmt.Sprint(c.fields["argv"], " code"), code, c.code)
		want(t, fmt.Sprint(c.fields["argv"], " stage"), stage, c.stage)
	}
	s.waitForCount(0)
}

func TestNamesAreTakenUntilReleased(t *testing.T) {
	s := withLauncher(t)
	s.askOK("start", startFields("agent", "sleep", "60"))
	code, _ := s.askError("start", startFields("agent", "true"))
	want(t, "a second start", code, "EEXIST")
	code, _ = s.askError("release", message{"name": "agent"})
	want(t, "release of a running process", code, "EBUSY")
	s.askOK("signal", message{"name": "agent", "signal": 9, "scope": "process"})
	s.awaitExit("agent")
	code, _ = s.askError("signal", message{"name": "agent", "signal": 9, "scope": "process"})
	want(t, "signal to an exited process", code, "ESRCH")
	s.askOK("release", message{"name": "agent"})
	for _, kind := range []string{"release", "fds", "close", "signal"} {
		code, _ = s.askError(kind, message{"name": "agent", "signal": 9, "scope": "process"})
		want(t, kind+" of an unknown process", code, "ESRCH")
	}
}

func TestMalformedRequestsAreAnswered(t *testing.T) {
	s := withLauncher(t)
	_, err := s.socket.Write([]byte(`no json`))
	must(t, err)
	m, _ := s.next()
	want(t, "code", m.text("code"), "EINVAL")
	code, _ := s.askError("dance", nil)
	want(t, "unknown type", code, "EINVAL")
	code, _ = s.askError("signal", message{"name": "x", "signal": 99, "scope": "all"})
	want(t, "unknown signal", code, "EINVAL")
	code, _ = s.askError("start", message{"argv": 3})
	want(t, "wrong field", code, "EINVAL")
}

func TestExitStatuses(t *testing.T) {
	s := withLauncher(t)
	_, exit := s.run(shell("code", `exit 42`))
	want(t, "code", exit.number("code"), 42)
	want(t, "signal", exit["signal"], nil)
	_, exit = s.run(shell("signal", `kill -SEGV $$`))
	want(t, "signal", exit.number("signal"), int(unix.SIGSEGV))
	want(t, "code", exit["code"], nil)
	_, exit = s.run(shell("busy", `i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done`))
	if exit.number("user_ms") <= 0 || exit.number("max_rss_kib") <= 0 {
		t.Errorf("no usage in %v", exit)
	}
}

func TestSignalReachesTheGroup(t *testing.T) {
	s := withLauncher(t)
	s.askOK("start", shell("agent", `sleep 60 & sleep 60 & wait`))
	s.waitForCount(3)
	s.askOK("signal", message{"name": "agent", "signal": 15, "scope": "group"})
	want(t, "signal", s.awaitExit("agent").number("signal"), 15)
	s.waitForCount(0)
}

func (s *supervisor) waitForCount(wanted int) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		m, _ := s.askOK("processes", nil)
		if m.number("count") == wanted {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d processes, wanted %d: %v", m.number("count"), wanted, m["processes"])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	s := withLauncher(t)
	s.run(shell("agent", `(sleep 0.05 &) ; (sleep 0.05 &) ; true`))
	s.waitForCount(0)
}

func TestReconnectKeepsNonceExitsAndDescriptors(t *testing.T) {
	s := withLauncher(t)
	nonce := s.hello.Nonce
	s.askOK("start", shell("agent", `read line; echo "got $line"; sleep 60`).with("tty", message{"cols": 80, "rows": 24}))
	m, _ := s.askOK("start", shell("brief", `exit 7`))
	brief := m.number("pid")
	s.waitForCount(1)
	must(t, s.socket.Close())
	s.accept()
	want(t, "nonce", s.hello.Nonce, nonce)
	i := slices.IndexFunc(s.hello.Processes, func(p listedProcess) bool { return p.Name == "brief" })
	if i < 0 || s.hello.Processes[i].Exit == nil || *s.hello.Processes[i].Exit.Code != 7 || s.hello.Processes[i].PID != brief {
		t.Fatalf("the exit was lost: %+v", s.hello.Processes)
	}
	_, files := s.askOK("fds", message{"name": "agent"})
	_, err := files[0].WriteString("again\r")
	must(t, err)
	readUntil(t, files[0], "got again")
}

func TestExitBetweenHelloAndWelcomeIsTold(t *testing.T) {
	s := withLauncher(t)
	m, _ := s.askOK("start", startFields("agent", "sleep", "60"))
	must(t, s.socket.Close())
	s.acceptOnly()
	want(t, "listed", len(s.hello.Processes), 1)
	must(t, unix.Kill(m.number("pid"), unix.SIGTERM))
	waitFor(t, "end", func() bool { return unix.Kill(m.number("pid"), 0) == unix.ESRCH })
	must(t, s.send(message{"type": "welcome"}))
	want(t, "signal", s.awaitExit("agent").number("signal"), int(unix.SIGTERM))
}

func TestRefusedLauncherTriesAgain(t *testing.T) {
	s := supervise(t)
	s.launch(exec.Command(selfExe, "init", "--socket", s.path))
	s.acceptOnly()
	nonce := s.hello.Nonce
	must(t, s.send(message{"type": "refused", "reason": "test"}))
	must(t, s.socket.Close())
	s.accept()
	want(t, "nonce", s.hello.Nonce, nonce)
}

func TestSignalsAreReportedAndSurvived(t *testing.T) {
	s := withLauncher(t)
	for number := unix.Signal(1); number <= 31; number++ {
		switch number {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGPROF:
			continue
		}
		must(t, s.command.Process.Signal(number))
		want(t, "signal", s.await("signalled").number("signal"), int(number))
	}
}

func TestExitEndsEverything(t *testing.T) {
	s := supervise(t)
	command := exec.Command(selfExe, "init", "--socket", s.path)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	must(t, command.Start())
	s.accept()
	m, _ := s.askOK("start", shell("agent", `trap "" TERM; sleep 60`))
	s.askOK("exit", message{"code": 9})
	_ = command.Wait()
	want(t, "code", command.ProcessState.ExitCode(), 9)
	want(t, "the process", unix.Kill(m.number("pid"), 0), error(unix.ESRCH))
}

func TestInitRefusesWrongArguments(t *testing.T) {
	for _, arguments := range [][]string{{}, {"--socket", "/x", "more"}, {"--socket", "/x", "--forward", "10.0.0.1:1=/x"}} {
		err := exec.Command(selfExe, append([]string{"init"}, arguments...)...).Run()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 2 {
			t.Errorf("%v: %v", arguments, err)
		}
	}
}

func TestWhyAProgramIsNotExecutedIsSaid(t *testing.T) {
	s := withLauncher(t)
	folder := t.TempDir()
	put := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		must(t, os.WriteFile(path, []byte(content), mode))
		must(t, os.Chmod(path, mode))
		return path
	}
	program, err := os.ReadFile("/bin/sh")
	must(t, err)
	loader := loaderOf(program)
	if loader == "" {
		t.Skip("this machine's shell needs no loader")
	}
	other := slices.Clone(program)
	other[18], other[19] = 0x34, 0x12 // of a processor that there is none of
	orphaned := bytes.Replace(program, []byte(loader), []byte(loader[:len(loader)-1]+"~"), 1)
	script := put("script", "#!/no/such/interpreter -x\n", 0o755)
	must(t, unix.Mkfifo(filepath.Join(folder, "fifo"), 0o755))
	for _, c := range []struct {
		name   string
		argv   string
		wanted string
	}{
		{"a name", "no-such-program", "no-such-program is in no folder of PATH (" + folder + ")"},
		{"a path", "/no/such/program", "/no/such/program is not there"},
		{"a script", script, script + " is there, but /no/such/interpreter, which runs it, is not"},
		{"a script by its name", "script", script + " is there, but /no/such/interpreter, which runs it, is not"},
		{"no loader", put("orphaned", string(orphaned), 0o755), "which runs it, is not"},
		{"another processor", put("other", string(other), 0o755), "is no program for this machine"},
		{"no first line", put("plain", "echo hello\n", 0o755), "is no program for this machine"},
		{"not executable", put("data", "#!/bin/sh\n", 0o644), "may not be executed"},
		{"a folder", folder, folder + " is a directory"},
		{"a fifo", filepath.Join(folder, "fifo"), "may not be executed"},
	} {
		m, _ := s.ask("start", startFields(c.name, c.argv).with("env", []string{"PATH=" + folder}))
		want(t, c.name+": stage", m.text("stage"), "exec")
		if said := m.text("message"); !strings.Contains(said, c.wanted) {
			t.Errorf("%s: %q does not say %q", c.name, said, c.wanted)
		}
	}
}
