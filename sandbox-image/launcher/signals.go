package main

import (
	"os"
	"os/signal"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A signal that comes from inside is a claim of the agent's, and it may send a
// million: each number is reported once in this time.
const signalReportInterval = time.Second

// watchSignals takes every signal that can be caught. SIGCHLD wakes the
// reaper; all others are only reported.
func watchSignals(reap func(), report func(unix.Signal)) {
	arrived := make(chan os.Signal, 64)
	signal.Notify(arrived)
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	if os.Getpid() == 1 {
		dropForgedFaults()
	}
	go func() {
		for range children {
			reap()
		}
	}()
	go func() {
		last := map[os.Signal]time.Time{}
		for s := range arrived {
			// The Go runtime preempts with SIGURG; SIGPIPE and SIGCHLD are daily life.
			if s == unix.SIGURG || s == unix.SIGCHLD || s == unix.SIGPIPE {
				continue
			}
			if now := time.Now(); now.Sub(last[s]) >= signalReportInterval {
				last[s] = now
				report(s.(unix.Signal))
			}
		}
	}()
}

// dropForgedFaults resets the signals of hardware faults to their default. The
// kernel discards a signal to PID 1 that has the default action, so that a
// SIGSEGV sent with rt_sigqueueinfo, or with F_SETSIG, which the Go runtime
// cannot tell from a fault of its own, never arrives. A real fault still ends
// the launcher, as it must.
func dropForgedFaults() {
	for _, s := range []unix.Signal{unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS, unix.SIGSTKFLT} {
		_ = defaultSignal(s)
	}
}

// kernelSigaction is the kernel's struct sigaction, wide enough for every architecture.
type kernelSigaction struct {
	handler, flags, restorer, mask uintptr
}

func defaultSignal(s unix.Signal) error {
	var action kernelSigaction
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// resetSignals gives the calling thread, which is about to execve, the
// dispositions and the mask that a program expects. An ignored signal would
// otherwise stay ignored in everything the agent runs.
func resetSignals() {
	for s := unix.Signal(1); s <= 64; s++ {
		if s != unix.SIGKILL && s != unix.SIGSTOP {
			_ = defaultSignal(s)
		}
	}
	var none unix.Sigset_t
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil)
}

// createThreads makes the runtime create its threads now. They are never
// ended, so that the launcher needs no new one when a fork bomb has filled the
// PID table; the Go runtime would abort if it could not create one then.
func createThreads(count int) {
	runtime.GOMAXPROCS(2)
	var ready, done sync.WaitGroup
	release := make(chan struct{})
	for range count {
		ready.Add(1)
		done.Add(1)
		go func() {
			// Each locked goroutine holds a thread of its own until all have one.
			runtime.LockOSThread()
			ready.Done()
			<-release
			runtime.UnlockOSThread()
			done.Done()
		}()
	}
	ready.Wait()
	close(release)
	done.Wait()
}
