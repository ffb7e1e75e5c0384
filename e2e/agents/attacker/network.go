package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const connectPatience = 3 * time.Second

func dial(network, address string) outcome {
	connection, err := net.DialTimeout(network, address, connectPatience)
	if err != nil {
		return refused(err)
	}
	_ = connection.Close()
	return succeeded("connected to " + address)
}

// reach tries an address in every way that a policy might have forgotten.
func reach(name, address string) {
	target, err := netip.ParseAddrPort(address)
	check(err)
	host, port := target.Addr().Unmap(), int(target.Port())
	if host.Is4() {
		report(name+"/ipv4", dialRaw(host.String(), port))
		report(name+"/ipv6-mapped", dialRaw("::ffff:"+host.String(), port))
		report(name+"/ipv6-nat64", dialRaw("64:ff9b::"+host.String(), port))
	} else {
		report(name+"/ipv6", dialRaw(host.String(), port))
	}
	report(name+"/udp", otherSocket(host, unix.SOCK_DGRAM, 0))
	report(name+"/mptcp", otherSocket(host, unix.SOCK_STREAM, 262))
	report(name+"/sctp", otherSocket(host, unix.SOCK_STREAM, unix.IPPROTO_SCTP))
	report(name+"/fast-open", fastOpen(host, port))
}

func family(host netip.Addr) int {
	if host.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(host netip.Addr, port int) unix.Sockaddr {
	if host.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: host.As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: host.As16()}
}

// dialRaw connects by a socket of the very family that the address is written
// in: libraries take ::ffff:1.2.3.4 for 1.2.3.4.
func dialRaw(host string, port int) outcome {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return refused(err)
	}
	fd, err := unix.Socket(family(address), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, sockaddr(address, port))
	if errors.Is(err, unix.EINPROGRESS) {
		err = finished(fd)
	}
	return by(err, "connected to "+net.JoinHostPort(host, strconv.Itoa(port)))
}

func finished(fd int) error {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	until := time.Now().Add(connectPatience)
	for {
		n, err := unix.Poll(polled, int(time.Until(until).Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n == 0 || time.Now().After(until) {
			return errors.New("no answer")
		}
		break
	}
	number, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if number != 0 {
		return unix.Errno(number)
	}
	return nil
}

func otherSocket(host netip.Addr, kind, protocol int) outcome {
	fd, err := unix.Socket(family(host), kind|unix.SOCK_CLOEXEC, protocol)
	if err == nil {
		_ = unix.Close(fd)
	}
	return by(err, fmt.Sprintf("made a socket of kind %d, protocol %d", kind, protocol))
}

// Data in the first packet connects without connect(), where Landlock looks.
func fastOpen(host netip.Addr, port int) outcome {
	fd, err := unix.Socket(family(host), unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 3})
	return by(unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, sockaddr(host, port)), "sent without connecting")
}

// ask reports the status; it is refused by any status from 400 on.
func ask(url, token string) outcome {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	check(err)
	request.Header.Set("Authorization", "Bearer "+token)
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		return refused(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
	seen := fmt.Sprintf("%d %s", answer.StatusCode, body)
	if answer.StatusCode >= 400 {
		return outcome{"refused", seen}
	}
	return succeeded(seen)
}
