package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxPacket = 160 << 10
	// A supervisor that takes no packet for so long is gone: the connection is
	// given up, and what it missed is in the next hello.
	sendTimeout = 10 * time.Second
)

var errTooLarge = errors.New("packet is larger than 160 KiB")

// packetConn carries one JSON object per packet, with descriptors.
type packetConn struct {
	socket *net.UnixConn
	send   sync.Mutex
	buffer []byte
}

func dial(path string) (*packetConn, error) {
	socket, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	return newPacketConn(socket), nil
}

func newPacketConn(socket *net.UnixConn) *packetConn {
	// The largest packet must fit in the socket's buffer. Where the system's
	// maximum is lower the kernel takes that, and its default fits, too.
	_ = socket.SetWriteBuffer(2 * maxPacket)
	return &packetConn{socket: socket, buffer: make([]byte, maxPacket+1)}
}

func (c *packetConn) close() { _ = c.socket.Close() }

// write sends one packet. It may be called from several goroutines.
func (c *packetConn) write(message any, descriptors ...int) error {
	packet, err := encode(message)
	if err != nil {
		return err
	}
	var rights []byte
	if len(descriptors) > 0 {
		rights = unix.UnixRights(descriptors...)
	}
	c.send.Lock()
	defer c.send.Unlock()
	if err := c.socket.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, _, err = c.socket.WriteMsgUnix(packet, rights, nil)
	return err
}

// read returns one packet, valid until the next read. The supervisor has no
// descriptor to give: any that come are closed.
func (c *packetConn) read() ([]byte, error) {
	rights := make([]byte, unix.CmsgSpace(4*16))
	n, rn, flags, _, err := c.socket.ReadMsgUnix(c.buffer, rights)
	closeRights(rights[:rn])
	switch {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, net.ErrClosed
	case n > maxPacket || flags&unix.MSG_TRUNC != 0:
		return nil, errTooLarge
	}
	return c.buffer[:n], nil
}

func closeRights(control []byte) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return
	}
	for i := range messages {
		descriptors, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range descriptors {
			_ = unix.Close(fd)
		}
	}
}

// encode leaves < and > alone: escaped, a packet could grow to six times its size.
func encode(message any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(message); err != nil {
		return nil, err
	}
	packet := bytes.TrimRight(out.Bytes(), "\n")
	if len(packet) > maxPacket {
		return nil, errTooLarge
	}
	return packet, nil
}

// failure is an error as the protocol reports it: what failed, where, and why.
type failure struct {
	errno   unix.Errno
	stage   string
	message string
}

func (f *failure) Error() string {
	if f.message != "" {
		return f.message
	}
	return fmt.Sprintf("%s: %s", f.stage, f.errno.Error())
}

func fail(errno unix.Errno, format string, arguments ...any) *failure {
	return &failure{errno: errno, message: fmt.Sprintf(format, arguments...)}
}

// failAt wraps an error that arose in a stage of starting a process.
func failAt(stage string, err error, what string) *failure {
	return &failure{errno: errnoOf(err), stage: stage, message: fmt.Sprintf("%s: %v", what, err)}
}

func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return unix.EIO
}

func errnoName(errno unix.Errno) string {
	if name := unix.ErrnoName(errno); name != "" {
		return name
	}
	return fmt.Sprintf("E%d", int(errno))
}
