// An agent of one static file, for an image that holds nothing else. Its only
// argument, the prompt, is a script: one step a line.
//
//	say TEXT          prints to the terminal
//	write PATH TEXT   writes a file, relative to the working directory
//	await PATH        goes on once the file is there, at the latest after 5 min
//	clock             prints the time, in milliseconds since the epoch
//	reach NAME ADDR   tries to connect; writes open/NAME or closed/NAME; goes on meanwhile
//	call PATH         asks $MODEL_URL/PATH with the key $MODEL_KEY; writes the answer to the file "answer"
//	poll PATH         asks as call does, again and again until the answer is 200, at the latest after 5 minutes
//	post PATH         the same as call, by POST, as models are asked
//	insist PATH       the same as poll, by POST
//	exit CODE         ends, once all that was to be reached has been tried
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const patience = 5 * time.Minute

var reaching sync.WaitGroup

func main() {
	if len(os.Args) != 2 {
		fail("usage: agent SCRIPT")
	}
	for _, line := range strings.Split(os.Args[1], "\n") {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch verb {
		case "":
		case "say":
			fmt.Println(rest)
		case "clock":
			fmt.Println("clock", time.Now().UnixMilli())
		case "write":
			write(rest)
		case "await":
			await(rest)
		case "reach":
			reaching.Go(func() { reach(rest) })
		case "call":
			call(http.MethodGet, rest, "")
		case "post":
			call(http.MethodPost, rest, "{}")
		case "poll":
			poll(http.MethodGet, rest, "")
		case "insist":
			poll(http.MethodPost, rest, "{}")
		case "exit":
			code, err := strconv.Atoi(rest)
			check(err)
			reaching.Wait()
			os.Exit(code)
		default:
			// Prose around the steps, such as the criteria that a task shows.
		}
	}
	reaching.Wait()
}

func write(rest string) {
	path, text, _ := strings.Cut(rest, " ")
	check(os.MkdirAll(filepath.Dir(path), 0o755))
	check(os.WriteFile(path, []byte(text+"\n"), 0o600))
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

func reach(rest string) {
	name, address, _ := strings.Cut(rest, " ")
	connection, err := net.DialTimeout("tcp", address, 3*time.Second)
	if err != nil {
		write("closed/" + name + " " + err.Error())
		return
	}
	check(connection.Close())
	write("open/" + name + " " + address)
}

func call(method, path, sent string) {
	status, body, err := ask(method, path, sent)
	check(err)
	write("answer " + status + " " + body)
}

// Whatever goes wrong meanwhile, such as a proxy that is being replaced, is tried again.
func poll(method, path, sent string) {
	until := time.Now().Add(5 * patience)
	for time.Now().Before(until) {
		if status, body, err := ask(method, path, sent); err == nil && strings.HasPrefix(status, "200 ") {
			write("answer " + status + " " + body)
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	fail(path + " does not say yes")
}

func ask(method, path, sent string) (string, string, error) {
	request, err := http.NewRequest(method, os.Getenv("MODEL_URL")+"/"+path, strings.NewReader(sent))
	check(err)
	request.Header.Set("Authorization", "Bearer "+os.Getenv("MODEL_KEY"))
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		return "", "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.Status, string(body), err
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
