package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Of execve a reader learns "no such file or directory", also where the file is
// there and what runs it is not. The head of a file tells which it was.

const headBytes = 4096

// unexecuted says why argv could not be executed, for whoever wrote it.
func (r *startRequest) unexecuted(errno unix.Errno) string {
	name := r.Argv[0]
	for _, path := range candidates(name, r.Env) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(r.Cwd, path)
		}
		head, err := headOf(path)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		switch {
		case errors.Is(err, unix.EISDIR):
			return path + " is a directory"
		case errno == unix.EACCES:
			return path + " may not be executed: its mode, or that of a folder above it, forbids it"
		case errno == unix.ENOEXEC:
			return path + " is no program for this machine: it is for another processor, or a script whose first line does not begin with #!"
		}
		if by := interpreterOf(head); by != "" {
			return fmt.Sprintf("%s is there, but %s, which runs it, is not", path, by)
		}
		return path + " is there, and something that runs it is not"
	}
	if strings.Contains(name, "/") {
		return name + " is not there"
	}
	return fmt.Sprintf("%s is in no folder of PATH (%s)", name, pathOf(r.Env))
}

// headOf reads the first bytes of a regular file. Whatever else lies there, such
// as a FIFO, is not waited for.
func headOf(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer closeAll(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, err
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return nil, unix.EISDIR
	case unix.S_IFREG:
	default:
		return nil, unix.EINVAL
	}
	head := make([]byte, headBytes)
	n, err := unix.Pread(fd, head, 0)
	return head[:max(n, 0)], err
}

// interpreterOf is what the kernel starts in a program's place: the program of a
// script's first line, or the loader that a dynamic one names.
func interpreterOf(head []byte) string {
	if line, script := bytes.CutPrefix(head, []byte("#!")); script {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		if words := strings.Fields(string(line)); len(words) > 0 {
			return printableName(words[0])
		}
		return ""
	}
	return printableName(loaderOf(head))
}

// loaderOf reads the program headers of a 64-bit ELF file, little-endian as both
// architectures here are.
func loaderOf(head []byte) string {
	const (
		class64, headerSize, entrySize, loader = 2, 64, 56, 3
	)
	if len(head) < headerSize || !bytes.HasPrefix(head, []byte("\x7fELF")) || head[4] != class64 {
		return ""
	}
	table, count := binary.LittleEndian.Uint64(head[32:]), binary.LittleEndian.Uint16(head[56:])
	for i := range uint64(count) {
		at := table + i*entrySize
		if at > uint64(len(head)-entrySize) {
			return ""
		}
		entry := head[at:]
		if binary.LittleEndian.Uint32(entry) != loader {
			continue
		}
		offset, size := binary.LittleEndian.Uint64(entry[8:]), binary.LittleEndian.Uint64(entry[32:])
		if offset > uint64(len(head)) || size > uint64(len(head))-offset {
			return ""
		}
		return strings.TrimRight(string(head[offset:offset+size]), "\x00")
	}
	return ""
}

// printableName leaves out what only looks like a name: the file is the agent's.
func printableName(name string) string {
	for _, r := range name {
		if r <= ' ' || r > '~' {
			return ""
		}
	}
	return name
}
