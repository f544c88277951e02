package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/e2e/testbed"
)

const (
	vagrantDir  = "../vagrant"
	vagrantEtcd = "http://10.1.0.101:2379"
)

// needVagrant skips a test unless it was asked for: the hosts take the network
// 10.1.0.0/24, and minutes.
func needVagrant(t *testing.T) {
	t.Helper()
	if os.Getenv("DOCKREG_VAGRANT") != "1" {
		t.Skip("make vagrant-demo runs this, with DOCKREG_VAGRANT=1")
	}
}

// walk is a reader who walks the walk.
type walk struct {
	// known has the ids and addresses in the README, and what they are here.
	known map[string]string
	// Once there is an etcd:
	etcd *clientv3.Client
	keys *testbed.Keys
}

// The README's commands, in its order, on two real hosts of Vagrant's, show what it
// says they do.
func TestVagrantWalk(t *testing.T) {
	needVagrant(t)
	text, err := os.ReadFile(vagrantDir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if up, _ := filepath.Glob(vagrantDir + "/.vagrant/machines/*/*/id"); up != nil {
		t.Fatalf("somebody's hosts are there: vagrant destroy -f, in %s, removes them", vagrantDir)
	}
	// Whoever interrupts this should find nothing left.
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	t.Cleanup(func() {
		if out, err := vagrant(context.Background(), nil, "destroy", "-f"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})

	w := &walk{known: map[string]string{}}
	steps := stepsOf(string(text))
	if len(steps) < 20 {
		t.Fatalf("the README has %d commands, want the whole walk", len(steps))
	}
	measured := 0
	var load *testbed.Load
	var killed time.Time
	for _, s := range steps {
		if strings.HasPrefix(s.command, "vagrant ssh ") {
			continue // it is in the next prompt
		}
		began, slack := time.Now(), time.Duration(0)
		if s.command == "vagrant halt -f host-2" && w.leads(ctx, t, "http://10.1.0.102:2379") {
			slack = 3 * time.Second
		}
		switch {
		case load == nil:
		case strings.HasPrefix(s.command, "docker kill "):
			wantNoneLost(t, load, "a rolling restart and a stop", time.Time{})
			load = startLoad()
		case s.command == "vagrant halt -f host-2":
			wantNoneLost(t, load, "a kill", killed)
			load = startLoad()
		}
		w.take(ctx, t, s)
		switch {
		case s.command == "vagrant up host-1":
			w.follow(ctx, t)
		case s.command == "curl http://10.1.0.101/":
			load = startLoad()
		case strings.HasPrefix(s.command, "docker stop "):
			w.wantGoneAtOnce(ctx, t, s.where, "stop", began)
			measured++
		case strings.HasPrefix(s.command, "docker kill "):
			killed = w.wantGoneAtOnce(ctx, t, s.where, "kill", began)
			measured++
		case s.command == "vagrant halt -f host-2":
			died := w.wantLapsed(ctx, t, 21500*time.Millisecond+slack+busy)
			if load != nil {
				wantNoneLost(t, load, "the loss of host-2", died)
				measured++
			}
			measured++
		}
	}
	if measured != 4 {
		t.Errorf("%d measurements, want a stop, a kill, a halt -f of host-2, and a load through all three", measured)
	}
	wantNothingLeft(t)
}

// take runs a command until it shows what it should. One that changes something
// runs just once.
func (w *walk) take(ctx context.Context, t *testing.T, s step) {
	t.Helper()
	command := w.fillIn(s.command)
	fmt.Printf("%s$ %s\n", s.where, command)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	reads := strings.HasPrefix(command, "etcdctl ") || strings.HasPrefix(command, "curl ")
	began := time.Now()
	for {
		args := []string{"ssh", s.where, "-c", command}
		live := io.Discard
		if s.where == "" {
			args = strings.Fields(strings.TrimPrefix(command, "vagrant "))
			live = os.Stdout
		}
		out, err := vagrant(ctx, live, args...)
		if err == nil && s.shows != "" {
			err = w.compare(s.shows, out)
		}
		if err == nil {
			if s.where != "" {
				fmt.Print(out)
			} else {
				fmt.Printf("    (%.0f s)\n", time.Since(began).Seconds())
			}
			return
		}
		// Vagrant looks at all containers and networks on the engine, and gives up
		// when one of somebody else's goes in between.
		again := reads && time.Since(began) < 30*time.Second ||
			s.where == "" && strings.Contains(err.Error(), "No such ")
		if !again || ctx.Err() != nil {
			t.Fatalf("%s$ %s\nshows\n%s\n%v", s.where, command, out, err)
		}
	}
}

// vagrant runs the command in the demo's folder, and returns what it printed. Its
// own lines, not those of what it runs, go to live too.
func vagrant(ctx context.Context, live io.Writer, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "vagrant", args...)
	cmd.Dir = vagrantDir
	cmd.Env = append(testbed.CleanEnv(), "VAGRANT_DEFAULT_PROVIDER=docker", "VAGRANT_CHECKPOINT_DISABLE=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return "", err
	}
	var out strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		out.WriteString(lines.Text() + "\n")
		if live != nil && strings.HasPrefix(lines.Text(), "==> ") {
			_, _ = fmt.Fprintln(live, "   ", lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("vagrant %s: %w\n%s", args[0], err, &stderr)
	}
	return out.String(), nil
}

// follow follows the keys in the hosts' etcd, from this machine.
func (w *walk) follow(ctx context.Context, t *testing.T) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{vagrantEtcd}, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	w.etcd = client
	w.keys = testbed.FollowKeys(ctx, client, "/service/")
}

// The walk's last command removes all that its first ones made.
func wantNothingLeft(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"ps", "-a", "--filter", "name=vagrant_host-"},
		{"network", "ls", "--filter", "name=vagrant_network_10.1.0.0/24"},
		{"images", "dockreg-vagrant-host"},
	} {
		out, err := exec.Command("docker", append(args, "-q")...).Output()
		if err != nil || len(out) > 0 {
			t.Errorf("docker %s: %q, %v; want nothing left", strings.Join(args, " "), out, err)
		}
	}
}

// The Vagrantfile suits the providers with virtual machines too.
func TestVagrantfile(t *testing.T) {
	needVagrant(t)
	// All that Vagrant wants to know of a VirtualBox before it starts machines.
	path := t.TempDir()
	if err := os.WriteFile(path+"/VBoxManage", []byte("#!/bin/sh\necho 7.0.20r163906\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, provider := range []string{"virtualbox", "libvirt"} {
		cmd := exec.Command("vagrant", "validate")
		cmd.Dir = vagrantDir
		cmd.Env = append(testbed.CleanEnv(), "VAGRANT_DEFAULT_PROVIDER="+provider, "VAGRANT_DOTFILE_PATH="+t.TempDir(),
			"VAGRANT_CHECKPOINT_DISABLE=1", "PATH="+path+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if bytes.Contains(out, []byte("provider '"+provider+"' could not be found")) && os.Getenv("CI") != "true" {
			t.Logf("the plugin vagrant-%s is not here to validate its part", provider)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", provider, err, out)
		}
	}
}
