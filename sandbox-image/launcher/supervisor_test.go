package main

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 5 * time.Second

// supervisor is the trusted side of the protocol, for tests.
type supervisor struct {
	t        *testing.T
	path     string
	listener *net.UnixListener
	socket   *net.UnixConn
	command  *exec.Cmd
	hello    hello
	lastID   int64
	unasked  []message
}

// message is any packet of the launcher's.
type message map[string]any

func (m message) text(key string) string { s, _ := m[key].(string); return s }

func (m message) number(key string) int { n, _ := m[key].(float64); return int(n) }

func (m message) texts(key string) []string {
	var all []string
	list, _ := m[key].([]any)
	for _, one := range list {
		all = append(all, one.(string))
	}
	return all
}

// supervise listens; launch starts what connects.
func supervise(t *testing.T) *supervisor {
	t.Helper()
	directory, err := os.MkdirTemp("", "axiom")
	must(t, err)
	must(t, os.Chmod(directory, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	path := filepath.Join(directory, "launcher.sock")
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	must(t, err)
	must(t, os.Chmod(path, 0o777))
	t.Cleanup(func() { _ = listener.Close() })
	return &supervisor{t: t, path: path, listener: listener}
}

// withLauncher is the common case: a launcher that is not PID 1, welcomed.
func withLauncher(t *testing.T) *supervisor {
	t.Helper()
	s := supervise(t)
	s.launch(exec.Command(selfExe, "init", "--socket", s.path))
	s.accept()
	return s
}

func (s *supervisor) launch(command *exec.Cmd) {
	s.t.Helper()
	command.Stderr = os.Stderr
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL // also if the tests time out
	must(s.t, command.Start())
	s.command = command
	s.t.Cleanup(func() {
		if s.socket != nil {
			defer func() { _ = s.socket.Close() }()
			_ = s.send(message{"id": 0, "type": "exit", "code": 0})
		}
		ended := make(chan struct{})
		go func() { _ = command.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(patience):
			_ = command.Process.Kill()
			s.t.Error("the launcher did not exit")
		}
	})
}

// accept takes the next connection and welcomes it.
func (s *supervisor) accept() {
	s.t.Helper()
	s.acceptOnly()
	must(s.t, s.send(message{"type": "welcome"}))
}

func (s *supervisor) acceptOnly() {
	s.t.Helper()
	must(s.t, s.listener.SetDeadline(time.Now().Add(patience)))
	socket, err := s.listener.AcceptUnix()
	must(s.t, err)
	s.socket = socket
	packet, _ := s.receive()
	must(s.t, json.Unmarshal(packet, &s.hello))
}

func (s *supervisor) send(m message) error {
	packet, err := encode(m)
	if err != nil {
		return err
	}
	_, err = s.socket.Write(packet)
	return err
}

func (s *supervisor) receive() ([]byte, []*os.File) {
	s.t.Helper()
	buffer, rights := make([]byte, maxPacket+1), make([]byte, 4096)
	must(s.t, s.socket.SetReadDeadline(time.Now().Add(patience)))
	n, rn, _, _, err := s.socket.ReadMsgUnix(buffer, rights)
	must(s.t, err)
	var files []*os.File
	controls, err := unix.ParseSocketControlMessage(rights[:rn])
	must(s.t, err)
	for i := range controls {
		fds, err := unix.ParseUnixRights(&controls[i])
		must(s.t, err)
		for _, fd := range fds {
			must(s.t, unix.SetNonblock(fd, true))
			file := os.NewFile(uintptr(fd), "received")
			s.t.Cleanup(func() { _ = file.Close() })
			files = append(files, file)
		}
	}
	return buffer[:n], files
}

// next reads one packet.
func (s *supervisor) next() (message, []*os.File) {
	s.t.Helper()
	packet, files := s.receive()
	var m message
	must(s.t, json.Unmarshal(packet, &m))
	return m, files
}

// ask sends a request and returns its answer; what comes unasked is kept.
func (s *supervisor) ask(kind string, fields message) (message, []*os.File) {
	s.t.Helper()
	s.lastID++
	request := message{"id": s.lastID, "type": kind}
	for key, value := range fields {
		request[key] = value
	}
	must(s.t, s.send(request))
	for {
		m, files := s.next()
		if m["id"] != nil && int64(m.number("id")) == s.lastID {
			return m, files
		}
		s.unasked = append(s.unasked, m)
	}
}

func (s *supervisor) askOK(kind string, fields message) (message, []*os.File) {
	s.t.Helper()
	m, files := s.ask(kind, fields)
	if m.text("type") != "ok" {
		s.t.Fatalf("%s: %v", kind, m)
	}
	return m, files
}

// askError returns the code and the stage.
func (s *supervisor) askError(kind string, fields message) (code, stage string) {
	s.t.Helper()
	m, files := s.ask(kind, fields)
	if m.text("type") != "error" || len(files) > 0 {
		s.t.Fatalf("%s: wanted an error, got %v", kind, m)
	}
	return m.text("code"), m.text("stage")
}

// await returns the next unasked message of a type.
func (s *supervisor) await(kind string) message {
	s.t.Helper()
	for i, m := range s.unasked {
		if m.text("type") == kind {
			s.unasked = slices.Delete(s.unasked, i, i+1)
			return m
		}
	}
	for {
		if m, _ := s.next(); m.text("type") == kind {
			return m
		}
	}
}

func (s *supervisor) awaitExit(name string) message {
	s.t.Helper()
	for {
		if m := s.await("exited"); m.text("name") == name {
			return m["exit"].(map[string]any)
		}
	}
}

// locked is a lockdown that lets a test's process do its work.
func locked(network string) message {
	return message{
		"network": network, "proxy_ports": []int{8788}, "denied_ports": []int{8443},
		"write_paths": []string{os.TempDir(), "/dev"},
	}
}

func startFields(name string, argv ...string) message {
	return message{
		"name": name, "argv": argv, "env": []string{"PATH=/usr/bin:/bin"}, "cwd": "/",
		"lockdown": locked(networkStrict),
	}
}

func shell(name, script string) message { return startFields(name, "sh", "-c", script) }

func (m message) with(key string, value any) message {
	m[key] = value
	return m
}

// run starts a script with stdout in a pipe, and returns what it wrote and its exit.
func (s *supervisor) run(fields message) (string, message) {
	s.t.Helper()
	name := fields.text("name")
	_, files := s.askOK("start", fields.with("stdout", "pipe"))
	s.askOK("close", message{"name": name, "fd": "stdout"})
	output := readAll(s.t, files[0])
	exit := s.awaitExit(name)
	s.askOK("release", message{"name": name})
	return output, exit
}

func readAll(t *testing.T, file *os.File) string {
	t.Helper()
	must(t, file.SetReadDeadline(time.Now().Add(patience)))
	data, err := io.ReadAll(file)
	must(t, err)
	return string(data)
}

// readUntil reads a terminal, which has no end.
func readUntil(t *testing.T, file *os.File, wanted string) string {
	t.Helper()
	must(t, file.SetReadDeadline(time.Now().Add(patience)))
	var all strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(all.String(), wanted) {
		n, err := file.Read(buffer)
		all.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v before %q came; got %q", err, wanted, all.String())
		}
	}
	return all.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want[T comparable](t *testing.T, what string, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: got %v, wanted %v", what, got, wanted)
	}
}

func needLandlock(t *testing.T, abi int) {
	t.Helper()
	if landlockABI() < abi {
		t.Skipf("needs Landlock ABI %d; this kernel has %d", abi, landlockABI())
	}
}
