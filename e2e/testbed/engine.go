package testbed

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The network of an Engine: a cable to this machine, and a bridge for containers.
const (
	engineIP     = "192.168.213.2"
	engineCable  = "192.168.213.1"
	engineBridge = "192.168.214.1/24"
)

// Engine is a Docker engine of its own, in a network namespace of its own, which can
// be stopped and started again while its containers live on. There is one at a time.
type Engine struct {
	Docker
	Folder string // holds the socket, docker.sock, and nothing else
	name   string // of the namespace, and of the cable's end on this machine
	dir    string
	daemon *exec.Cmd // nil: stopped
}

// NewEngine makes an engine that is not started yet. It takes root, dockerd, ip and
// nsenter, and an engine on this machine to take the storage driver from. With liveRestore
// its containers live on while it is stopped.
func NewEngine(liveRestore bool) (*Engine, error) {
	for _, tool := range []string{"dockerd", "ip", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, err
		}
	}
	if os.Getuid() != 0 {
		return nil, errors.New("only root can start a Docker engine")
	}
	driver, err := docker("", "info", "--format", "{{.Driver}}")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "own")
	if err != nil {
		return nil, err
	}
	e := &Engine{
		Folder: filepath.Join(dir, "socket"),
		name:   filepath.Base(dir), // 13 characters, of the 15 that an interface's name may have
		dir:    dir,
	}
	e.Docker = Docker{Gateway: engineIP, host: "unix://" + e.Folder + "/docker.sock"}
	config, err := json.Marshal(map[string]any{
		"hosts": []string{e.host}, "data-root": dir + "/data", "exec-root": dir + "/exec", "pidfile": dir + "/pid",
		"bip": engineBridge, "storage-driver": driver, "live-restore": liveRestore,
	})
	if err != nil {
		return nil, err
	}
	return e, errors.Join(
		os.Mkdir(e.Folder, 0o700),
		os.WriteFile(dir+"/config.json", config, 0o600),
		e.plug(),
	)
}

// plug connects the namespace to this machine, which is its way to everywhere.
func (e *Engine) plug() error {
	for _, line := range []string{
		"netns add NAME",
		"link add NAME type veth peer name eth0 netns NAME",
		"addr add " + engineCable + "/30 dev NAME",
		"link set NAME up",
		"-netns NAME addr add " + engineIP + "/30 dev eth0",
		"-netns NAME link set eth0 up",
		"-netns NAME link set lo up",
		"-netns NAME route add default via " + engineCable,
	} {
		if out, err := exec.Command("ip", strings.Fields(strings.ReplaceAll(line, "NAME", e.name))...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

// Start starts the engine unless it runs, and waits until it answers.
func (e *Engine) Start() error {
	if e.daemon != nil {
		return nil
	}
	log, err := os.OpenFile(e.dir+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	// Not by "ip netns exec", which hides the cgroups.
	daemon := exec.Command("nsenter", "--net=/var/run/netns/"+e.name, "dockerd", "--config-file", e.dir+"/config.json")
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		return err
	}
	e.daemon = daemon
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); <-tick.C {
		if _, err = docker(e.host, "version"); err == nil {
			return nil
		}
	}
	text, _ := os.ReadFile(log.Name())
	return fmt.Errorf("the engine does not start: %w; it logged\n%s", err, text)
}

// Stop asks the engine to end, and waits until it has. Its containers run on.
func (e *Engine) Stop() error {
	if e.daemon == nil {
		return nil
	}
	defer func() { e.daemon = nil }()
	_ = e.daemon.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(commandTimeout, func() { _ = e.daemon.Process.Kill() })
	defer late.Stop()
	return e.daemon.Wait()
}

// Kill kills the engine, without a word to its containers.
func (e *Engine) Kill() error {
	defer func() { e.daemon = nil }()
	if err := e.daemon.Process.Kill(); err != nil {
		return err
	}
	_ = e.daemon.Wait() // says that it was killed
	// It takes its containerd down with it, whose number it would find again for as long
	// as nobody has waited for that.
	return os.Remove(e.dir + "/exec/containerd/containerd.pid")
}

// loadTimeout bounds how long an image takes to be written or read, which is hundreds of
// megabytes.
const loadTimeout = 5 * time.Minute

// Load copies an image from the engine that the docker command talks to.
func (e *Engine) Load(image string) error {
	tar := filepath.Join(e.dir, "image.tar")
	if _, err := dockerWithin(loadTimeout, "", "save", "--output", tar, image); err != nil {
		return err
	}
	_, err := dockerWithin(loadTimeout, e.host, "load", "--input", tar)
	return errors.Join(err, os.Remove(tar))
}

// Remove ends the engine with all its containers, and leaves nothing of it.
func (e *Engine) Remove() error {
	errs := []error{e.Start()}
	if ids, err := docker(e.host, "ps", "--all", "--quiet"); err == nil && ids != "" {
		_, err = docker(e.host, append([]string{"rm", "--force", "--volumes"}, strings.Fields(ids)...)...)
		errs = append(errs, err)
	}
	errs = append(errs, e.Stop(), e.killRest(), e.unmount())
	if out, err := exec.Command("ip", "netns", "delete", e.name).CombinedOutput(); err != nil {
		errs = append(errs, fmt.Errorf("ip netns delete: %w: %s", err, out))
	}
	return errors.Join(append(errs, os.RemoveAll(e.dir))...)
}

// killRest ends what a broken engine left: whatever was started in its folder. It waits for
// their end, or they would go on to write into what is being removed.
func (e *Engine) killRest() error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return err
		}
		left := false
		for _, file := range lines {
			var pid int
			line, _ := os.ReadFile(file) // empty, once it has ended
			if _, err := fmt.Sscanf(file, "/proc/%d/", &pid); err == nil && strings.Contains(string(line), e.dir+"/") {
				left = true
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if !left {
			return nil
		}
	}
	return errors.New("processes of the engine do not end")
}

// unmount unmounts what is mounted in the engine's folder, the last one first.
func (e *Engine) unmount() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	lines := strings.Split(string(mounts), "\n")
	var errs []error
	for i := range lines {
		if fields := strings.Fields(lines[len(lines)-1-i]); len(fields) > 1 && strings.HasPrefix(fields[1], e.dir+"/") {
			errs = append(errs, syscall.Unmount(fields[1], syscall.MNT_DETACH))
		}
	}
	return errors.Join(errs...)
}
