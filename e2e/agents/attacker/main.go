// An agent that attacks, for an image that holds nothing else. Its only
// argument, the prompt, is a script: one step a line.
//
//	escape               tries every known way out of a sandbox
//	kernel               goes for the kernel, and for processes that are bound by less
//	trusted              goes for the launcher and the supervisor
//	reach NAME HOST:PORT tries to connect over IPv4, over IPv6 and by other protocols than TCP; goes on meanwhile
//	ask NAME URL TOKEN   asks the egress proxy with a token; the outcome is its status. Both may name variables
//	starve KIND          uses up something, and prints a tick ten times a second until it is stopped
//	pulse NAME SECONDS   measures how long small work takes, as a neighbour notices it; then makes the file pulsed-NAME
//	publish PATH         writes the attempt's own token to a file
//	await PATH           goes on once the file is there, at the latest after 5 minutes
//	say TEXT             prints to the terminal
//	exit CODE            ends
//
// What an attack came to is a line of the file attacks.txt: its name, then
// `refused`, `absent` or `succeeded`, then what was seen.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const patience = 5 * time.Minute

var (
	reaching  sync.WaitGroup
	reporting sync.Mutex
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "--child" {
		child(os.Args[2])
		return
	}
	if len(os.Args) != 2 {
		fail("usage: agent SCRIPT")
	}
	for _, line := range strings.Split(os.Args[1], "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch verb, rest := words[0], words[1:]; verb {
		case "escape":
			tryAll(escapes)
		case "kernel":
			tryAll(onTheKernel)
		case "trusted":
			tryAll(onTheTrustedSide)
		case "reach":
			reaching.Go(func() { reach(rest[0], rest[1]) })
		case "ask":
			report(rest[0], ask(os.ExpandEnv(rest[1]), os.ExpandEnv(rest[2])))
		case "starve":
			starve(rest[0])
		case "pulse":
			seconds, err := strconv.Atoi(rest[1])
			check(err)
			pulse(rest[0], time.Duration(seconds)*time.Second)
		case "publish":
			check(os.WriteFile(rest[0], []byte(os.Getenv("MODEL_KEY")), 0o600))
		case "await":
			await(rest[0])
		case "say":
			fmt.Println(strings.Join(rest, " "))
		case "exit":
			code, err := strconv.Atoi(rest[0])
			check(err)
			reaching.Wait()
			os.Exit(code)
		}
	}
}

// outcome is what an attack came to.
type outcome struct {
	verdict string
	seen    string
}

func refused(err error) outcome { return outcome{"refused", err.Error()} }

func absent(what string) outcome { return outcome{"absent", what} }

func succeeded(what string) outcome { return outcome{"succeeded", what} }

// by is the outcome of something that must fail.
func by(err error, what string) outcome {
	if err != nil {
		return refused(err)
	}
	return succeeded(what)
}

// all is refused when each part is; the first that succeeds is the outcome.
func all(parts ...outcome) outcome {
	seen := []string{}
	verdict := "absent"
	for _, part := range parts {
		if part.verdict == "succeeded" {
			return part
		}
		if part.verdict == "refused" {
			verdict = "refused"
		}
		seen = append(seen, part.seen)
	}
	return outcome{verdict, strings.Join(seen, "; ")}
}

type attack struct {
	name string
	try  func() outcome
}

func tryAll(attacks []attack) {
	for _, one := range attacks {
		report(one.name, one.try())
	}
}

func report(name string, found outcome) {
	seen := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, found.seen)
	line := fmt.Sprintf("%s %s %.300s\n", name, found.verdict, seen)
	reporting.Lock()
	defer reporting.Unlock()
	file, err := os.OpenFile("attacks.txt", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	check(err)
	_, err = file.WriteString(line)
	check(err)
	check(file.Close())
	fmt.Print(line)
}

func await(path string) {
	until := time.Now().Add(patience)
	for time.Now().Before(until) {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	fail(path + " does not come")
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, "agent:", message)
	os.Exit(1)
}
