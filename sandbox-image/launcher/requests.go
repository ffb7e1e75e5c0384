package main

import (
	"encoding/json"

	"golang.org/x/sys/unix"
)

// request is what all requests share; the rest is decoded by its type.
type request struct {
	ID   *int64 `json:"id"`
	Type string `json:"type"`
}

// answer is an `ok` with its fields, and the descriptors that go with it.
type answer struct {
	fields      map[string]any
	descriptors []int
	// after runs when the answer is out.
	after func()
}

// handle answers one packet; only a broken connection is an error.
func (l *launcher) handle(c *packetConn, packet []byte) error {
	var r request
	if err := json.Unmarshal(packet, &r); err != nil || r.ID == nil {
		return c.write(errorMessage(r.ID, fail(unix.EINVAL, "the packet is no request with an id")))
	}
	a, f := l.perform(r.Type, packet)
	if f != nil {
		return c.write(errorMessage(r.ID, f))
	}
	fields := map[string]any{"id": *r.ID, "type": "ok"}
	for name, value := range a.fields {
		fields[name] = value
	}
	err := c.write(fields, a.descriptors...)
	if a.after != nil {
		a.after()
	}
	return err
}

func errorMessage(id *int64, f *failure) map[string]any {
	message := map[string]any{"id": id, "type": "error", "code": errnoName(f.errno), "message": f.Error()}
	if f.stage != "" {
		message["stage"] = f.stage
	}
	return message
}

func (l *launcher) perform(kind string, packet []byte) (answer, *failure) {
	switch kind {
	case "start":
		return l.performStart(packet)
	case "fds", "close", "release":
		return l.performOnDescriptors(kind, packet)
	case "signal":
		return l.performSignal(packet)
	case "freeze":
		stopped, f := l.freezer.freeze()
		return answer{fields: map[string]any{"stopped": stopped}}, f
	case "thaw":
		continued, ran, f := l.freezer.thaw()
		return answer{fields: map[string]any{"continued": continued, "ran": ran}}, f
	case "kill":
		killed, f := l.freezer.kill(l.table.reap)
		return answer{fields: map[string]any{"killed": killed}}, f
	case "processes":
		return listProcesses()
	case "probe":
		return l.performProbe(packet)
	case "dial":
		return performDial(packet)
	case "exit":
		return l.performExit(packet)
	}
	return answer{}, fail(unix.EINVAL, "unknown request type %q", kind)
}

func decode(packet []byte, into any) *failure {
	if err := json.Unmarshal(packet, into); err != nil {
		return fail(unix.EINVAL, "malformed request: %v", err)
	}
	return nil
}

func (l *launcher) performStart(packet []byte) (answer, *failure) {
	var r startRequest
	if f := decode(packet, &r); f != nil {
		return answer{}, f
	}
	p, missing, f := l.table.start(&r)
	if f != nil {
		return answer{}, f
	}
	fields := map[string]any{"pid": p.pid, "fds": p.fdNames()}
	if len(missing) > 0 {
		fields["missing"] = missing
	}
	return answer{fields: fields, descriptors: p.fds(), after: func() {
		if l.table.announce(p) {
			l.tellExit(p)
		}
	}}, nil
}

func (l *launcher) performOnDescriptors(kind string, packet []byte) (answer, *failure) {
	var r struct {
		Name string `json:"name"`
		FD   string `json:"fd"`
	}
	if f := decode(packet, &r); f != nil {
		return answer{}, f
	}
	l.table.mutex.Lock()
	defer l.table.mutex.Unlock()
	p := l.table.find(r.Name)
	if p == nil {
		return answer{}, fail(unix.ESRCH, "no process is named %q", r.Name)
	}
	switch kind {
	case "fds":
		return answer{fields: map[string]any{"fds": p.fdNames()}, descriptors: p.fds()}, nil
	case "close":
		return answer{}, p.closeFD(r.FD)
	}
	if p.exit == nil {
		return answer{}, fail(unix.EBUSY, "%s still runs", r.Name)
	}
	l.table.remove(p)
	return answer{}, nil
}

func (l *launcher) performSignal(packet []byte) (answer, *failure) {
	var r struct {
		Name   string `json:"name"`
		Signal int    `json:"signal"`
		Scope  string `json:"scope"`
	}
	if f := decode(packet, &r); f != nil {
		return answer{}, f
	}
	if r.Signal < 1 || r.Signal > 64 {
		return answer{}, fail(unix.EINVAL, "%d is no signal", r.Signal)
	}
	if r.Scope == "all" {
		if err := signalAll(unix.Signal(r.Signal)); err != nil {
			return answer{}, fail(errnoOf(err), "signal everything: %v", err)
		}
		return answer{}, nil
	}
	return answer{}, l.table.signal(r.Name, unix.Signal(r.Signal), r.Scope)
}

func (l *launcher) performExit(packet []byte) (answer, *failure) {
	var r struct {
		Code int `json:"code"`
	}
	if f := decode(packet, &r); f != nil {
		return answer{}, f
	}
	return answer{after: func() { l.end(r.Code) }}, nil
}
