package main

import "golang.org/x/sys/unix"

func (l *launcher) performProbe([]byte) (answer, *failure) {
	return answer{}, fail(unix.ENOSYS, "not yet")
}

func runStage([]string) {}
