package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// More connections than this at once are closed, not queued: PID 1's
// descriptors are limited.
const (
	maxForwarded = 256
	acceptPause  = 10 * time.Millisecond
)

// forward copies connections from a loopback address of a network namespace
// that nothing else enters, to the Unix socket behind which the proxy listens.
type forward struct {
	address netip.AddrPort
	socket  string
}

func parseForward(text string) (forward, error) {
	address, socket, found := strings.Cut(text, "=")
	if !found || socket == "" {
		return forward{}, fmt.Errorf("%q is not ADDRESS:PORT=SOCKET", text)
	}
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return forward{}, err
	}
	if !parsed.Addr().IsLoopback() {
		return forward{}, fmt.Errorf("%s is not a loopback address", parsed.Addr())
	}
	return forward{parsed, socket}, nil
}

func (f forward) listen() error {
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(f.address))
	if err != nil {
		return err
	}
	go f.accept(listener)
	return nil
}

func (f forward) accept(listener *net.TCPListener) {
	places := make(chan struct{}, maxForwarded)
	for {
		client, err := listener.AcceptTCP()
		if err != nil {
			// No descriptor is free, or the client has gone: the next may do.
			time.Sleep(acceptPause)
			continue
		}
		select {
		case places <- struct{}{}:
			go func() {
				f.copy(client)
				<-places
			}()
		default:
			_ = client.Close()
		}
	}
}

// copy goes on until both directions have ended; each end is passed on, so that
// a half-closed connection stays one.
func (f forward) copy(client *net.TCPConn) {
	defer func() { _ = client.Close() }()
	proxy, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: f.socket, Net: "unix"})
	if err != nil {
		return
	}
	defer func() { _ = proxy.Close() }()
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(proxy, client)
		_ = proxy.CloseWrite()
		close(done)
	}()
	_, _ = io.Copy(client, proxy)
	_ = client.CloseWrite()
	<-done
}
