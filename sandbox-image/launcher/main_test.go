package main

import (
	"fmt"
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test binary is also the launcher, and what runs below it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if helper := helpers[os.Args[1]]; helper != nil {
			helper(os.Args[2:])
			os.Exit(0)
		}
		if runMode(os.Args[1], os.Args[2:]) {
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

var helpers = map[string]func([]string){
	"probe-without": probeWithout,
	"try-walled":    tryWalled,
	"run-on":        runOn,
}

// runOn continues itself with a timer, later than a freeze takes.
func runOn([]string) {
	event := struct {
		value  uintptr
		signal int32
		notify int32
		_      [48]byte
	}{signal: int32(unix.SIGCONT)}
	var timer int32
	if err := call(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&timer))); err != nil {
		panic(err)
	}
	once := [2]unix.Timespec{{}, {Nsec: int64(500 * time.Millisecond)}}
	if err := call(unix.SYS_TIMER_SETTIME, uintptr(timer), 0, uintptr(unsafe.Pointer(&once)), 0); err != nil {
		panic(err)
	}
	fmt.Println("armed")
	time.Sleep(time.Minute)
}

func everything(network string) expectation {
	return expectation{
		UserNamespace: true, ReadOnlyRoot: true, Network: network, PIDNamespace: true,
		NoCapabilities: true, Landlock: true, Seccomp: true,
	}
}
