package main

import (
	"encoding/json"
	"strings"

	"golang.org/x/sys/unix"
)

// launcherChecks: nobody of the same user gets at PID 1, which holds the nonce.
// They run without a capability, so that it is the launcher's being undumpable
// that refuses.
var launcherChecks = []check{
	{name: "launcher.environment-hidden", layer: layerLauncher, stage: stagePowers, try: hides("environ")},
	{name: "launcher.memory-hidden", layer: layerLauncher, stage: stagePowers, try: hides("mem")},
	{name: "launcher.maps-hidden", layer: layerLauncher, stage: stagePowers, try: hides("maps")},
	{name: "launcher.descriptors-hidden", layer: layerLauncher, stage: stagePowers, try: hides("fd/0")},
	{name: "launcher.ptrace-refused", layer: layerLauncher, stage: stagePowers, try: func(p *stagePlan) outcome {
		return refused(seizes(p.Launcher), unix.EPERM)
	}},
	{name: "launcher.memory-read-refused", layer: layerLauncher, stage: stagePowers, try: func(p *stagePlan) outcome {
		return refused(readsMemory(p.Launcher, unix.SYS_PROCESS_VM_READV), unix.EPERM)
	}},
	{name: "launcher.memory-write-refused", layer: layerLauncher, stage: stagePowers, try: func(p *stagePlan) outcome {
		return refused(readsMemory(p.Launcher, unix.SYS_PROCESS_VM_WRITEV), unix.EPERM)
	}},
	{name: "launcher.descriptor-copy-refused", layer: layerLauncher, stage: stagePowers, try: func(p *stagePlan) outcome {
		return refused(takesDescriptor(p.Launcher), unix.EPERM)
	}},
	{
		name: "launcher.second-connection-refused", layer: layerLauncher, stage: stagePowers,
		applies: func(p *stagePlan) bool { return p.Expect.Socket != "" },
		try:     func(p *stagePlan) outcome { return trySecondConnection(p.Expect.Socket) },
	},
}

func hides(file string) func(*stagePlan) outcome {
	return func(p *stagePlan) outcome {
		return refused(reads(proc(p.Launcher, file)), unix.EACCES, unix.EPERM)
	}
}

// reads also reads, as some files of /proc refuse only then. The first page of
// a memory is never mapped, hence EIO from one that could be opened.
func reads(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer closeAll(fd)
	_, err = unix.Read(fd, make([]byte, 1))
	return err
}

// trySecondConnection says hello as if it were the launcher, with a nonce that
// nobody holds.
func trySecondConnection(path string) outcome {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return outcome{Detail: err.Error()}
	}
	defer closeAll(fd)
	// A supervisor on a busy node is slow, which is no reason to believe that it accepts.
	patience := unix.Timeval{Sec: 10}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return outcome{Detail: "connect: " + err.Error()}
	}
	packet, _ := encode(hello{
		Type: "hello", Protocol: protocol, Version: version,
		Nonce: strings.Repeat("0", 64), Processes: []listedProcess{},
	})
	if _, err := unix.Write(fd, packet); err != nil {
		return outcome{Detail: "hello: " + err.Error()}
	}
	buffer := make([]byte, maxPacket)
	n, err := unix.Read(fd, buffer)
	if err != nil {
		return outcome{Detail: "no answer: " + err.Error()}
	}
	var answer struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(buffer[:n], &answer) != nil {
		return outcome{Detail: "closed without a word"}
	}
	return holds(answer.Type == "refused", "the supervisor answered %q", answer.Type)
}
