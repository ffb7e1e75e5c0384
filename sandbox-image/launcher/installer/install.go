package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// places are the folders of a pod, and what the image brings for them.
type places struct {
	bin, keys, files string // volumes
	launcher, tools  string // in the image
	terminationLog   string
}

// pod is where things lie below a root.
func pod(root string) places {
	return places{
		bin:      filepath.Join(root, "axiom/bin"),
		keys:     filepath.Join(root, "axiom/keys"),
		files:    filepath.Join(root, "axiom/files"),
		launcher: filepath.Join(root, "opt/axiom/launcher"),
		tools:    filepath.Join(root, "opt/axiom/tools"),

		terminationLog: filepath.Join(root, "dev/termination-log"),
	}
}

func (p places) certificate() string { return filepath.Join(p.keys, "channel.crt") }

// clientCA is written last: whoever finds it finds everything.
func (p places) clientCA() string { return filepath.Join(p.keys, "clients.crt") }

// install fills the pod's volumes, once in the pod's life: a supervisor that is
// started again finds the key that the control plane knows.
func install(p places, subject, clientCA string, now time.Time) error {
	if subject == "" || clientCA == "" {
		return errors.New("AXIOM_SUBJECT and AXIOM_CLIENT_CA have to be set")
	}
	if _, err := os.Stat(p.clientCA()); err == nil {
		return nil
	}
	for _, name := range []string{"workspace", "home"} {
		if err := os.Mkdir(filepath.Join(p.files, name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make the agent's folders: %w", err)
		}
	}
	if err := copyFile(p.launcher, filepath.Join(p.bin, "launcher"), 0o555); err != nil {
		return fmt.Errorf("install the launcher: %w", err)
	}
	if err := copyTools(p.tools, filepath.Join(p.bin, "tools")); err != nil {
		return fmt.Errorf("install the tools: %w", err)
	}
	certificate, key, err := makeCertificate(subject, now)
	if err != nil {
		return fmt.Errorf("make the channel's key: %w", err)
	}
	for _, file := range []struct {
		path    string
		content []byte
	}{
		{filepath.Join(p.keys, "channel.key"), key},
		{p.certificate(), certificate},
		{p.clientCA(), []byte(clientCA)},
	} {
		if err := write(file.path, file.content, 0o600); err != nil {
			return fmt.Errorf("keep the channel's key: %w", err)
		}
	}
	return nil
}

// tell makes the certificate the container's termination message: the control
// plane reads it in the pod's status, which no sandbox can write.
func tell(p places) error {
	certificate, err := os.ReadFile(p.certificate())
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	if err := os.WriteFile(p.terminationLog, certificate, 0o600); err != nil {
		return fmt.Errorf("tell the certificate: %w", err)
	}
	return nil
}

func copyTools(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			if err := copyFile(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name()), 0o444); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string, mode fs.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return write(to, content, mode)
}

// write replaces a file as a whole.
func write(path string, content []byte, mode fs.FileMode) error {
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(part, content, 0o600); err != nil {
		return err
	}
	if err := os.Chmod(part, mode); err != nil {
		return err
	}
	return os.Rename(part, path)
}
