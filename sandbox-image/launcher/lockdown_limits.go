package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// limits are upper bounds; 0 leaves a limit as it is.
type limits struct {
	FileSize  uint64 `json:"file_size"`
	Processes uint64 `json:"processes"`
	OpenFiles uint64 `json:"open_files"`
}

// apply sets the limits of this process, soft and hard. Core dumps are off: a
// dump would be a file of the size of a process's memory in the workspace.
func (l limits) apply() error {
	for _, one := range []struct {
		name     string
		resource int
		value    uint64
		wanted   bool
	}{
		{"core", unix.RLIMIT_CORE, 0, true},
		{"file_size", unix.RLIMIT_FSIZE, l.FileSize, l.FileSize > 0},
		{"open_files", unix.RLIMIT_NOFILE, l.OpenFiles, l.OpenFiles > 0},
		// Last: from here on this process itself may be refused a thread.
		{"processes", unix.RLIMIT_NPROC, l.Processes, l.Processes > 0},
	} {
		if !one.wanted {
			continue
		}
		if err := lower(one.resource, one.value); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	return nil
}

// lower never raises: a hard limit below the wanted value stays.
func lower(resource int, value uint64) error {
	var current unix.Rlimit
	if err := unix.Prlimit(0, resource, nil, &current); err != nil {
		return err
	}
	value = min(value, current.Max)
	return unix.Prlimit(0, resource, &unix.Rlimit{Cur: value, Max: value}, nil)
}
