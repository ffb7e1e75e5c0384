package main

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestDialHandsOutAConnection(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", host)
		if err != nil && host == "[::1]:0" {
			t.Skip("no IPv6 here")
		}
		must(t, err)
		defer func() { _ = listener.Close() }()
		s := withLauncher(t)
		_, files := s.askOK("dial", message{"address": listener.Addr().String()})
		if len(files) != 1 {
			t.Fatalf("%d descriptors", len(files))
		}
		ours, err := net.FileConn(files[0])
		must(t, err)
		defer func() { _ = ours.Close() }()
		theirs, err := listener.Accept()
		must(t, err)
		_, err = theirs.Write([]byte("hello"))
		must(t, err)
		must(t, theirs.Close()) // the launcher keeps no copy of its own, or the end would not be seen
		must(t, ours.SetReadDeadline(time.Now().Add(patience)))
		heard, err := io.ReadAll(ours)
		must(t, err)
		if string(heard) != "hello" {
			t.Errorf("heard %q", heard)
		}
	}
}

func TestDialReachesTheLoopbackAlone(t *testing.T) {
	s := withLauncher(t)
	for _, address := range []any{"", "192.0.2.1:80", "localhost:80", "127.0.0.1:0", "0.0.0.0:80", "[::]:80", 80} {
		if code, _ := s.askError("dial", message{"address": address}); code != "EINVAL" {
			t.Errorf("%v: %s", address, code)
		}
	}
}
