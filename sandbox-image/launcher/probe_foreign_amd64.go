package main

import "golang.org/x/sys/unix"

// System calls of other architectures, which a filter by number would miss.
var foreignStages = []string{stageX32, stageI386}

var foreignChecks = []check{
	{name: "seccomp.x32-call-killed", layer: layerSeccomp, stage: stageX32},
	{name: "seccomp.i386-call-killed", layer: layerSeccomp, stage: stageI386},
}

func callForeign(stage string) {
	if stage == stageX32 {
		_, _, _ = unix.RawSyscall(x32Bit|unix.SYS_GETPID, 0, 0, 0)
		return
	}
	getpid386()
}

// getpid386 makes the i386 call by interrupt 0x80.
func getpid386()
