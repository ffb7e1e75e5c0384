package main

import (
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// landlockChecks run with Landlock alone: the user may do all of it otherwise.
var landlockChecks = []check{
	{name: "landlock.connect-low-port-refused", layer: layerLandlock, stage: stageFiles, try: func(*stagePlan) outcome {
		return refused(connects(loopback4(1)), unix.EACCES)
	}},
	{name: "landlock.connect-low-port-refused-ipv6", layer: layerLandlock, stage: stageFiles, try: func(*stagePlan) outcome {
		// Without IPv6 there is nothing to refuse.
		return refused(connects(&unix.SockaddrInet6{Port: 1, Addr: [16]byte{15: 1}}), unix.EACCES, unix.EAFNOSUPPORT)
	}},
	{name: "landlock.connect-denied-port-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(connects(loopback4(p.Lockdown.DeniedPorts[0])), unix.EACCES)
	}},
	{name: "landlock.connect-high-port", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return byMode(connects(loopback4(p.freePort())), p.Lockdown.Network == networkLoopback)
	}},
	{name: "landlock.connect-proxy-port", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return byMode(connects(loopback4(p.Lockdown.ProxyPorts[0])), p.Lockdown.Network != networkNone)
	}},
	{name: "landlock.bind-low-port-refused", layer: layerLandlock, stage: stageFiles, try: func(*stagePlan) outcome {
		return refused(binds(1023), unix.EACCES)
	}},
	{name: "landlock.bind-denied-port-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(binds(p.Lockdown.DeniedPorts[0]), unix.EACCES)
	}},
	{name: "landlock.bind-high-port", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return byMode(binds(p.freePort()), p.Lockdown.Network == networkLoopback)
	}},

	{name: "landlock.write-inside-allowed", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return allowed(creates(filepath.Join(p.Scratch, "inside", "file")))
	}},
	{name: "landlock.create-outside-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(creates(p.outside("new")), unix.EACCES)
	}},
	{name: "landlock.open-outside-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(opens(p.outside("file"), unix.O_WRONLY), unix.EACCES)
	}},
	{name: "landlock.truncate-outside-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(unix.Truncate(p.outside("file"), 4), unix.EACCES)
	}},
	{name: "landlock.directory-outside-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(makesDirectory(p.outside("directory")), unix.EACCES)
	}},
	{name: "landlock.symlink-outside-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(os.Symlink("file", p.outside("link")), unix.EACCES)
	}},
	{name: "landlock.rename-outside-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(os.Rename(p.outside("file"), filepath.Join(p.Scratch, "inside", "moved")), unix.EACCES, unix.EXDEV)
	}},
	{name: "landlock.unlink-outside-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(unix.Unlink(p.outside("victim")), unix.EACCES)
	}},

	{name: "landlock.abstract-socket-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(connectsUnix("@"+p.Abstract), unix.EPERM)
	}},
	{name: "landlock.signal-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(unix.Kill(p.Target, 0), unix.EPERM)
	}},
	{name: "landlock.signal-to-launcher-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(unix.Kill(p.Launcher, 0), unix.EPERM)
	}},
	{name: "landlock.ptrace-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(seizes(p.Target), unix.EPERM)
	}},
	{name: "landlock.memory-refused", layer: layerLandlock, stage: stageFiles, try: func(p *stagePlan) outcome {
		return refused(opens(proc(p.Target, "mem"), unix.O_RDWR), unix.EACCES)
	}},
}

// byMode is for what only some modes allow. These errors come from behind
// Landlock: nobody listens there, or somebody does.
func byMode(err error, wanted bool) outcome {
	if !wanted {
		return refused(err, unix.EACCES)
	}
	switch err {
	case unix.ECONNREFUSED, unix.EADDRINUSE, unix.EINPROGRESS:
		return outcome{true, "allowed"}
	}
	return allowed(err)
}

func (p *stagePlan) outside(name string) string { return filepath.Join(p.Scratch, "outside", name) }

// freePort is a high one that is neither the proxy's nor denied.
func (p *stagePlan) freePort() int {
	port := 65535
	for slices.Contains(p.Lockdown.ProxyPorts, port) || slices.Contains(p.Lockdown.DeniedPorts, port) {
		port--
	}
	return port
}

func loopback4(port int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

func connects(address unix.Sockaddr) error {
	domain := unix.AF_INET
	if _, six := address.(*unix.SockaddrInet6); six {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer closeAll(fd)
	return unix.Connect(fd, address)
}

func binds(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer closeAll(fd)
	return unix.Bind(fd, loopback4(port))
}
