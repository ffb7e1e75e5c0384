// The launcher is PID 1 of an untrusted container. It opens terminals, starts
// processes that lock themselves down first, signals, freezes and reaps them,
// and hands their file descriptors to a trusted supervisor over a Unix socket.
// It decides nothing: docs/design/launcher-protocol.md is the whole of what it
// may be asked.
package main

import (
	"fmt"
	"os"
	"runtime"
)

// version is reported in hello; the release build sets it with -ldflags -X.
var version = "0.1.0"

// The internal modes: re-executions of this binary by PID 1.
const (
	modeExec  = "exec"
	modeStage = "stage"
)

// Landlock, seccomp and no_new_privs belong to a thread, and execve keeps those
// of the calling thread. Locking here pins main() to the first thread.
func init() {
	if len(os.Args) > 1 && (os.Args[1] == modeExec || os.Args[1] == modeStage) {
		runtime.LockOSThread()
	}
}

func main() {
	if len(os.Args) > 1 && runMode(os.Args[1], os.Args[2:]) {
		return
	}
	fmt.Fprintln(os.Stderr, "usage: launcher init --socket PATH [--forward 127.0.0.1:PORT=SOCKET]... | launcher version")
	os.Exit(2)
}

// runMode reports whether the mode is known; tests share it, as their binary
// is what gets re-executed there.
func runMode(mode string, arguments []string) bool {
	switch mode {
	case "init":
		if err := runInit(arguments); err != nil {
			fmt.Fprintln(os.Stderr, "launcher:", err)
			os.Exit(2)
		}
	case modeExec:
		runExec(arguments)
	case modeStage:
		runStage(arguments)
	case "version":
		fmt.Println(version)
	default:
		return false
	}
	return true
}
