package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// probed asks for a probe and returns its assertions by name.
func (s *supervisor) probed(expect expectation) map[string]assertion {
	s.t.Helper()
	s.lastID++
	must(s.t, s.send(message{"id": s.lastID, "type": "probe", "expect": expect}))
	packet, _ := s.receive()
	var answer struct {
		Type       string      `json:"type"`
		Message    string      `json:"message"`
		Assertions []assertion `json:"assertions"`
	}
	must(s.t, json.Unmarshal(packet, &answer))
	if answer.Type != "ok" {
		s.t.Fatal(answer.Message)
	}
	byName := map[string]assertion{}
	for _, a := range answer.Assertions {
		if _, twice := byName[a.Name]; twice {
			s.t.Errorf("%s is there twice", a.Name)
		}
		byName[a.Name] = a
	}
	return byName
}

func ownLayers(a assertion) bool {
	return a.Layer == layerLandlock || a.Layer == layerSeccomp || a.Layer == layerLauncher || a.Layer == layerNetwork
}

func TestEveryLockHolds(t *testing.T) {
	needLandlock(t, abiScopes)
	s := withLauncher(t)
	for _, network := range []string{networkNone, networkStrict, networkLoopback} {
		begin := time.Now()
		count := 0
		for name, a := range s.probed(everything(network)) {
			if !ownLayers(a) {
				continue
			}
			count++
			if !a.OK {
				t.Errorf("%s: %s: %s", network, name, a.Detail)
			}
		}
		t.Logf("%s: %d assertions, %v", network, count, time.Since(begin))
	}
}

func TestUnpromisedLayersAreLeftOut(t *testing.T) {
	s := withLauncher(t)
	for name, a := range s.probed(expectation{Network: networkNone}) {
		if a.Layer != layerLauncher && a.Layer != layerContainer && a.Layer != layerNetwork {
			t.Errorf("%s was not promised", name)
		}
	}
	code, _ := s.askError("probe", message{"expect": message{"network": "Everything"}})
	want(t, "an unknown network", code, "EINVAL")
}

func TestLayersThatMayBeMissingAreTried(t *testing.T) {
	s := withLauncher(t)
	found := s.probed(expectation{Network: networkNone, MayMiss: []string{layerUserNamespace}})
	_, tried := found["user_namespace.users-mapped"]
	want(t, "tried", tried, true)
	_, tried = found["seccomp.filter-mode"]
	want(t, "another layer tried", tried, false)
}

func TestOwnNamespacesAreNotTheSupervisors(t *testing.T) {
	s := withLauncher(t)
	ours, err := os.Readlink("/proc/self/ns/mnt")
	must(t, err)
	found := s.probed(expectation{Network: networkNone, Namespaces: map[string]string{"mnt": ours, "pid": "pid:[1]"}})
	want(t, "the same", found["container.mnt-namespace-differs"].OK, false)
	want(t, "another", found["container.pid-namespace-differs"].OK, true)
}

func TestSecondConnectionIsTried(t *testing.T) {
	for _, c := range []struct {
		answer string
		ok     bool
	}{{"refused", true}, {"welcome", false}} {
		s := withLauncher(t)
		go func() {
			second, err := s.listener.AcceptUnix()
			if err != nil {
				return
			}
			buffer := make([]byte, maxPacket)
			n, _ := second.Read(buffer)
			if strings.Contains(string(buffer[:n]), s.hello.Nonce) {
				t.Error("the second connection knows the nonce")
			}
			_, _ = second.Write([]byte(`{"type":"` + c.answer + `"}`))
			_ = second.Close()
		}()
		found := s.probed(expectation{Network: networkNone, Socket: s.path})
		want(t, c.answer, found["launcher.second-connection-refused"].OK, c.ok)
	}
}

// A user namespace gives the launcher and its children one unprivileged user.
func TestNonceIsHiddenFromTheSameUser(t *testing.T) {
	s := supervise(t)
	command := exec.Command(selfExe, "init", "--socket", s.path)
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getgid(), Size: 1}},
	}
	if err := exec.Command("unshare", "--user", "true").Run(); err != nil {
		t.Skipf("needs user namespaces: %v", err)
	}
	s.launch(command)
	s.accept()
	for name, a := range s.probed(expectation{Network: networkNone, UserNamespace: true}) {
		if (a.Layer == layerLauncher || a.Layer == layerUserNamespace) && !a.OK {
			t.Errorf("%s: %s", name, a.Detail)
		}
	}
	output, _ := s.run(shell("agent", `for f in mem environ maps; do cat /proc/$PPID/$f 2>&1; done`))
	if strings.Contains(output, s.hello.Nonce) || strings.Count(output, "Permission denied") != 3 {
		t.Errorf("the agent read: %q", output)
	}
}
