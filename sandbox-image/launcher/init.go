package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	protocol       = 1
	reconnectFirst = 50 * time.Millisecond
	reconnectMost  = time.Second
	// More threads than the launcher can ever block at once.
	threadsWanted = 12
)

// launcher is PID 1's state. Requests are performed one after another, by the
// goroutine that reads them; exits and signals come from others.
type launcher struct {
	nonce   string
	socket  string
	table   *processTable
	freezer freezer

	mutex      sync.Mutex
	connection *packetConn  // nil unless welcomed
	signals    map[int]bool // that arrived meanwhile
}

// hello is the first packet of each connection.
type hello struct {
	Type      string          `json:"type"`
	Protocol  int             `json:"protocol"`
	Version   string          `json:"version"`
	Nonce     string          `json:"nonce"`
	Kernel    string          `json:"kernel"`
	ABI       int             `json:"landlock_abi"`
	Processes []listedProcess `json:"processes"`
}

func runInit(arguments []string) error {
	// Before anything else exists: nobody may read this memory, where the nonce will be.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide the launcher's memory: %w", err)
	}
	flags := flag.NewFlagSet("init", flag.ContinueOnError)
	socket := flags.String("socket", "", "the supervisor's `path`")
	var forwards []forward
	flags.Func("forward", "copy connections from 127.0.0.1:`PORT=SOCKET`", func(text string) error {
		f, err := parseForward(text)
		forwards = append(forwards, f)
		return err
	})
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *socket == "" || flags.NArg() > 0 {
		return errors.New("init wants --socket PATH and nothing else but --forward")
	}
	createThreads(threadsWanted)
	l, err := newLauncher(*socket)
	if err != nil {
		return err
	}
	for _, f := range forwards {
		if err := f.listen(); err != nil {
			return err
		}
	}
	l.serve()
	return nil
}

func newLauncher(socket string) (*launcher, error) {
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, fmt.Errorf("make the nonce: %w", err)
	}
	l := &launcher{nonce: hex.EncodeToString(secret[:]), socket: socket, signals: map[int]bool{}}
	l.table = newProcessTable(l.tellExit)
	if os.Getpid() != 1 {
		// Orphans come to us, as they do to PID 1.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return nil, fmt.Errorf("become the reaper of orphans: %w", err)
		}
	}
	watchSignals(l.table.reap, func(s unix.Signal) { l.tellSignal(int(s)) })
	return l, nil
}

// serve connects again for ever.
func (l *launcher) serve() {
	wait := reconnectFirst
	for {
		if welcomed := l.serveOnce(); welcomed {
			wait = reconnectFirst
		}
		time.Sleep(wait)
		wait = min(2*wait, reconnectMost)
	}
}

// serveOnce is one connection from hello to its end.
func (l *launcher) serveOnce() (welcomed bool) {
	c, err := dial(l.socket)
	if err != nil {
		return false
	}
	defer c.close()
	if !l.open(c) {
		return false
	}
	defer l.disconnect()
	for {
		packet, err := c.read()
		if err != nil {
			return true
		}
		if err := l.handle(c, packet); err != nil {
			return true
		}
	}
}

// open says hello, and makes the connection the one that exits are told to. An
// exit between the list and the welcome is told after it.
func (l *launcher) open(c *packetConn) bool {
	listed := l.table.list()
	if c.write(l.hello(listed)) != nil {
		return false
	}
	packet, err := c.read()
	var r struct {
		Type string `json:"type"`
	}
	if err != nil || json.Unmarshal(packet, &r) != nil || r.Type != "welcome" {
		return false
	}
	l.mutex.Lock()
	l.connection = c
	l.mutex.Unlock()
	l.tellMissedExits(listed)
	l.tellMissedSignals()
	return true
}

func (l *launcher) hello(listed []listedProcess) hello {
	return hello{
		Type: "hello", Protocol: protocol, Version: version, Nonce: l.nonce,
		Kernel: kernelRelease(), ABI: l.table.abi, Processes: listed,
	}
}

// tellMissedExits tells those that happened while hello was answered.
func (l *launcher) tellMissedExits(listed []listedProcess) {
	ran := map[string]bool{}
	for _, p := range listed {
		ran[p.Name] = p.Exit == nil
	}
	for _, p := range l.table.list() {
		if ran[p.Name] && p.Exit != nil {
			l.tell(exitedMessage(p.Name, p.PID, p.Exit))
		}
	}
}

// tellSignal keeps a signal that nobody is there to hear of.
func (l *launcher) tellSignal(number int) {
	l.mutex.Lock()
	missed := l.connection == nil
	if missed {
		l.signals[number] = true
	}
	l.mutex.Unlock()
	if !missed {
		l.tell(map[string]any{"type": "signalled", "signal": number})
	}
}

func (l *launcher) tellMissedSignals() {
	l.mutex.Lock()
	numbers := slices.Sorted(maps.Keys(l.signals))
	clear(l.signals)
	l.mutex.Unlock()
	for _, number := range numbers {
		l.tellSignal(number)
	}
}

func (l *launcher) disconnect() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.connection = nil
}

// tell sends an unasked message if a supervisor is there; the next hello says
// what it missed.
func (l *launcher) tell(message any) {
	l.mutex.Lock()
	c := l.connection
	l.mutex.Unlock()
	if c != nil && c.write(message) != nil {
		c.close()
	}
}

func (l *launcher) tellExit(p *process) { l.tell(exitedMessage(p.name, p.pid, p.exit)) }

func exitedMessage(name string, pid int, exit *exitStatus) map[string]any {
	return map[string]any{"type": "exited", "name": name, "pid": pid, "exit": exit}
}

// end is the one way out, and only the supervisor opens it.
func (l *launcher) end(code int) {
	_, _ = l.freezer.kill(l.table.reap)
	os.Exit(code)
}

func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}
