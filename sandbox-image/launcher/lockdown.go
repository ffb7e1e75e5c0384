package main

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// The modes of a sandbox's network.
const (
	networkNone     = "None"
	networkStrict   = "Strict"
	networkLoopback = "Loopback"
)

// lockdown is what a process is bound by before its first instruction.
type lockdown struct {
	Network     string   `json:"network"`
	ProxyPorts  []int    `json:"proxy_ports"`
	DeniedPorts []int    `json:"denied_ports"`
	WritePaths  []string `json:"write_paths"`
	Limits      limits   `json:"limits"`
}

func (l *lockdown) validate() *failure {
	if !slices.Contains([]string{networkNone, networkStrict, networkLoopback}, l.Network) {
		return fail(unix.EINVAL, "lockdown.network must be None, Strict or Loopback, not %q", l.Network)
	}
	for _, port := range slices.Concat(l.ProxyPorts, l.DeniedPorts) {
		if port < 1 || port > 65535 {
			return fail(unix.EINVAL, "lockdown: %d is no port", port)
		}
	}
	return nil
}

// portsKey is the same for lockdowns with the same rules for ports.
func (l *lockdown) portsKey() string {
	sorted := func(ports []int) []int { return slices.Sorted(slices.Values(ports)) }
	if l.Network != networkLoopback {
		return fmt.Sprint(l.Network, sorted(l.ProxyPorts))
	}
	return fmt.Sprint(l.Network, sorted(l.ProxyPorts), sorted(l.DeniedPorts))
}

// noNewPrivileges is what lets an unprivileged process lock itself, and makes
// setuid binaries ordinary ones.
func noNewPrivileges() error {
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// lockLandlock restricts the calling thread; ports is the ruleset that PID 1
// made, or -1 where the kernel has none. The files come first: a second layer
// copies the rules of the first, and those of the ports are many.
func (l *lockdown) lockLandlock(abi, ports int) error {
	if abi == 0 {
		return nil
	}
	if err := restrictFiles(abi, l.WritePaths); err != nil {
		return err
	}
	if ports < 0 {
		return nil
	}
	return enforce(ports)
}
