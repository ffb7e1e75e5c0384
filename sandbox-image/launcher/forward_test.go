package main

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestForwardCopiesBothWaysAndKeepsHalfCloses(t *testing.T) {
	s := supervise(t)
	path := filepath.Join(filepath.Dir(s.path), "proxy.sock")
	proxy, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	defer func() { _ = proxy.Close() }()
	go func() {
		for {
			connection, err := proxy.AcceptUnix()
			if err != nil {
				return
			}
			go func() { // answers only when the question has ended
				question, _ := io.ReadAll(connection)
				_, _ = fmt.Fprintf(connection, "answer to %s", question)
				_ = connection.Close()
			}()
		}
	}()
	address := freeAddress(t)
	f, err := parseForward(address + "=" + path)
	must(t, err)
	must(t, f.listen())
	for range 3 {
		client, err := net.Dial("tcp", address)
		must(t, err)
		_, err = io.WriteString(client, "hello")
		must(t, err)
		must(t, client.(*net.TCPConn).CloseWrite())
		must(t, client.SetReadDeadline(time.Now().Add(patience)))
		answer, err := io.ReadAll(client)
		must(t, err)
		want(t, "answer", string(answer), "answer to hello")
		_ = client.Close()
	}
}

func TestForwardWithoutAProxyCloses(t *testing.T) {
	address := freeAddress(t)
	f, err := parseForward(address + "=/no/such/socket")
	must(t, err)
	must(t, f.listen())
	client, err := net.Dial("tcp", address)
	must(t, err)
	defer func() { _ = client.Close() }()
	must(t, client.SetReadDeadline(time.Now().Add(patience)))
	n, err := client.Read(make([]byte, 1))
	if n != 0 || err == nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestForwardWantsALoopbackAddress(t *testing.T) {
	for text, good := range map[string]bool{
		"127.0.0.1:80=/s": true, "127.5.5.5:80=/s": true, "[::1]:80=/s": true,
		"0.0.0.0:80=/s": false, "10.0.0.1:80=/s": false, "[::]:80=/s": false, "localhost:80=/s": false,
		"127.0.0.1:80": false, "127.0.0.1:80=": false, "127.0.0.1=/s": false, "": false,
	} {
		_, err := parseForward(text)
		want(t, text, err == nil, good)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
