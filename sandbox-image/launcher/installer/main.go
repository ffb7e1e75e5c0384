// The installer runs in the supervisor's container when a pod starts. It puts
// in place what the others need, and makes the channel's key; then `tell`, in a
// container of its own, says the certificate as its last word.
//
// It is not Python, and no part of the launcher, because every pod's start
// waits for it and the launcher lies where the agent can read it.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		usage()
	}
	root := "/"
	if len(os.Args) == 3 {
		root = os.Args[2]
	}
	var err error
	switch os.Args[1] {
	case "install":
		err = install(pod(root), os.Getenv("AXIOM_SUBJECT"), os.Getenv("AXIOM_CLIENT_CA"), time.Now())
	case "tell":
		err = tell(pod(root))
	default:
		usage()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "installer:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: installer install [ROOT] | installer tell [ROOT]")
	os.Exit(2)
}
