package main

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// performDial hands the supervisor a connection to a server inside, for a
// browser that has no way into this network namespace. The connection may still
// be on its way: whether somebody listens is seen by who gets it, so that a
// server that accepts nothing holds nobody up here.
func performDial(packet []byte) (answer, *failure) {
	var r struct {
		Address string `json:"address"`
	}
	if f := decode(packet, &r); f != nil {
		return answer{}, f
	}
	address, err := netip.ParseAddrPort(r.Address)
	if err != nil || !address.Addr().IsLoopback() || address.Port() == 0 {
		return answer{}, fail(unix.EINVAL, "%q is not a port of a loopback address", r.Address)
	}
	descriptor, err := connect(address)
	if err != nil {
		return answer{}, fail(errnoOf(err), "connect to %s: %v", address, err)
	}
	return answer{descriptors: []int{descriptor}, after: func() { _ = unix.Close(descriptor) }}, nil
}

func connect(address netip.AddrPort) (int, error) {
	var target unix.Sockaddr
	family, port, host := unix.AF_INET, int(address.Port()), address.Addr().Unmap()
	if host.Is4() {
		target = &unix.SockaddrInet4{Port: port, Addr: host.As4()}
	} else {
		family, target = unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: host.As16()}
	}
	descriptor, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(descriptor, target); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(descriptor)
		return -1, err
	}
	return descriptor, nil
}
