package main

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func packetPair(t *testing.T) (*packetConn, *net.UnixConn) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	var ends [2]*net.UnixConn
	for i, fd := range pair {
		file := os.NewFile(uintptr(fd), "pair")
		conn, err := net.FileConn(file)
		must(t, err)
		_ = file.Close()
		ends[i] = conn.(*net.UnixConn)
		t.Cleanup(func() { _ = conn.Close() })
	}
	return newPacketConn(ends[0]), ends[1]
}

func TestPacketCarriesDescriptors(t *testing.T) {
	ours, theirs := packetPair(t)
	var pipe [2]int
	must(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	must(t, ours.write(message{"type": "ok"}, pipe[0], pipe[1]))
	closeAll(pipe[0], pipe[1])
	s := &supervisor{t: t, socket: theirs}
	m, files := s.next()
	want(t, "type", m.text("type"), "ok")
	want(t, "descriptors", len(files), 2)
	_, err := files[1].WriteString("through")
	must(t, err)
	_ = files[1].Close()
	want(t, "pipe", readAll(t, files[0]), "through")
}

func TestReceivedDescriptorsAreClosed(t *testing.T) {
	ours, theirs := packetPair(t)
	var pipe [2]int
	must(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	_, _, err := theirs.WriteMsgUnix([]byte(`{}`), unix.UnixRights(pipe[1]), nil)
	must(t, err)
	closeAll(pipe[1])
	_, err = ours.read()
	must(t, err)
	n, err := unix.Read(pipe[0], make([]byte, 1))
	want(t, "bytes before the end of the pipe", n, 0)
	must(t, err)
	closeAll(pipe[0])
}

func TestLargestPacketPasses(t *testing.T) {
	ours, theirs := packetPair(t)
	text := strings.Repeat("<", maxPacket-len(`{"text":""}`))
	go func() { _ = ours.write(message{"text": text}) }()
	s := &supervisor{t: t, socket: theirs}
	m, _ := s.next()
	want(t, "length", len(m.text("text")), len(text))
}

func TestTooLargePacketsAreRefused(t *testing.T) {
	ours, theirs := packetPair(t)
	must(t, theirs.SetWriteBuffer(4*maxPacket))
	if err := ours.write(message{"text": strings.Repeat("x", maxPacket)}); !errors.Is(err, errTooLarge) {
		t.Errorf("write: %v", err)
	}
	_, err := theirs.Write(make([]byte, maxPacket+100))
	must(t, err)
	if _, err := ours.read(); !errors.Is(err, errTooLarge) {
		t.Errorf("read: %v", err)
	}
}

func TestFailureNamesItsErrno(t *testing.T) {
	id := int64(3)
	m := errorMessage(&id, failAt(stageCwd, &os.PathError{Op: "chdir", Path: "/x", Err: unix.ENOTDIR}, "/x"))
	want(t, "code", m["code"].(string), "ENOTDIR")
	want(t, "stage", m["stage"].(string), "cwd")
}
