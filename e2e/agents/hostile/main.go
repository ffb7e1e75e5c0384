// An agent that misbehaves, for an image that holds nothing else. Its only
// argument, the prompt, names how:
//
//	linger      ignores every signal that it can, and never ends
//	flood [MIB] writes 1 GiB, or that many mebibytes, to the terminal, then ends well
//	fill        fills the workspace until it cannot
//	fork        starts itself again and again; the class bounds its processes
//	leave       ends at once with exit code 3
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"time"
)

const (
	mebibyte = 1 << 20
	floodMiB = 1024
)

func main() {
	signal.Ignore()
	verb, amount := "", ""
	if len(os.Args) > 1 {
		line, _, _ := strings.Cut(os.Args[1], "\n")
		verb, amount, _ = strings.Cut(line, " ")
	}
	switch verb {
	case "linger":
		fmt.Println("I stay")
		time.Sleep(time.Hour)
	case "flood":
		line := append(bytes.Repeat([]byte("x"), 1023), '\n')
		mebibytes, err := strconv.Atoi(amount)
		if err != nil {
			mebibytes = floodMiB
		}
		for range mebibytes * 1024 {
			_, _ = os.Stdout.Write(line)
		}
		fmt.Println("flooded")
	case "fill":
		block := make([]byte, mebibyte)
		for number := 0; ; number++ {
			if os.WriteFile(fmt.Sprintf("block-%d", number), block, 0o600) != nil {
				time.Sleep(100 * time.Millisecond)
			}
		}
	case "fork":
		for {
			if exec.Command(os.Args[0], "fork").Start() != nil {
				time.Sleep(100 * time.Millisecond)
			}
		}
	case "leave":
		os.Exit(3)
	default:
		fmt.Println("no such misbehaviour:", verb)
		os.Exit(2)
	}
}
