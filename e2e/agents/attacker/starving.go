package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const mebibyte = 1 << 20

// starve prints `tick N MS` ten times a second, MS since the epoch, and ignores
// every signal that it can.
func starve(kind string) {
	signal.Ignore()
	begin, ok := starvations[kind]
	if !ok {
		fail("no such starvation: " + kind)
	}
	go begin()
	for number := 0; ; number++ {
		fmt.Printf("tick %d %d\n", number, time.Now().UnixMilli())
		time.Sleep(100 * time.Millisecond)
	}
}

var starvations = map[string]func(){
	"cpu":         burn,
	"churn":       churn,
	"memory":      useMemory,
	"disk":        fillDisk,
	"inodes":      makeFiles,
	"descriptors": useDescriptors,
	"pty":         flood,
	"signals":     sendSignals,
}

// child is this program again, for processes that are to be many.
func child(kind string) {
	signal.Ignore()
	switch kind {
	case "nap":
		time.Sleep(50 * time.Millisecond)
	case "descriptors":
		holdDescriptors()
		time.Sleep(time.Hour)
	default:
		kernelChild(kind)
	}
}

func spawn(kind string) *exec.Cmd {
	command := exec.Command(os.Args[0], "--child", kind)
	if command.Start() != nil {
		return nil
	}
	return command
}

func burn() {
	runtime.GOMAXPROCS(16)
	for range 16 {
		go func() {
			sum := sha256.Sum256(nil)
			for {
				sum = sha256.Sum256(sum[:])
			}
		}()
	}
}

// churn forks as fast as it can, and lets the children end: it never stands
// still long enough to be told a bomb.
func churn() {
	for range 16 {
		go func() {
			for {
				if command := spawn("nap"); command != nil {
					_ = command.Wait()
				}
			}
		}()
	}
}

// useMemory stays below its limit, and makes the kernel look for pages all the time.
func useMemory() {
	held := [][]byte{}
	for range 64 {
		block := make([]byte, mebibyte)
		for at := 0; at < len(block); at += 4096 {
			block[at] = 1
		}
		held = append(held, block)
	}
	for {
		if err := os.WriteFile("pages", held[0], 0o600); err == nil {
			_, _ = os.ReadFile("pages")
		}
		for _, block := range held {
			for at := 0; at < len(block); at += 4096 {
				block[at]++
			}
		}
	}
}

func fillDisk() {
	block := make([]byte, mebibyte)
	for number := 0; ; number++ {
		if os.WriteFile(fmt.Sprintf("block-%d", number), block, 0o600) != nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

func makeFiles() {
	for folder := 0; ; folder++ {
		name := "folder-" + strconv.Itoa(folder)
		_ = os.Mkdir(name, 0o700)
		for number := range 1000 {
			fd, err := unix.Open(fmt.Sprintf("%s/%d", name, number), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
			if err != nil {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			_ = unix.Close(fd)
		}
	}
}

func holdDescriptors() {
	for {
		if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
			return
		}
		ends := make([]int, 2)
		if unix.Pipe(ends) != nil {
			return
		}
	}
}

func useDescriptors() {
	for range 16 {
		spawn("descriptors")
	}
	holdDescriptors()
}

func flood() {
	line := make([]byte, 64*1024)
	for at := range line {
		line[at] = 'x'
	}
	line[len(line)-1] = '\n'
	for {
		_, _ = os.Stdout.Write(line)
	}
}

func sendSignals() {
	for {
		for _, number := range []unix.Signal{unix.SIGTERM, unix.SIGCHLD, unix.SIGUSR1, unix.SIGSTOP} {
			_ = unix.Kill(1, number)
		}
	}
}

// pulse does a piece of work fifty times a second: a wake-up, a hash, a file.
// It prints how often, and the 50th and 99th percentile in microseconds.
func pulse(name string, length time.Duration) {
	took := []int64{}
	data := make([]byte, 16*1024)
	until := time.Now().Add(length)
	for time.Now().Before(until) {
		begun := time.Now()
		time.Sleep(2 * time.Millisecond)
		sum := sha256.Sum256(data)
		check(os.WriteFile("pulse.tmp", sum[:], 0o600))
		check(os.Rename("pulse.tmp", "pulse"))
		took = append(took, time.Since(begun).Microseconds())
		time.Sleep(18 * time.Millisecond)
	}
	slices.Sort(took)
	fmt.Printf("pulse %s %d %d %d\n", name, len(took), took[len(took)/2], took[len(took)*99/100])
	check(os.WriteFile("pulsed-"+name, nil, 0o600))
}
