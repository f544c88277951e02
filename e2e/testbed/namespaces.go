package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
)

// network is a switch in a network namespace of its own, so that no firewall of this
// machine's takes part, with this machine and any number of namespaces on it.
type network struct {
	name   string
	number int
	spaces []*namespace
}

type namespace struct {
	name string
	ip   string
}

var networks atomic.Int32

// newNetwork makes a network 10.213.x.0/24, on which this machine is .254. Another
// process may have the x that comes first.
func newNetwork() (*network, error) {
	var errs []error
	for range 8 {
		number := (os.Getpid()*30 + int(networks.Add(1))) % 250
		n, err := newNetworkOf(number)
		if err == nil {
			return n, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func newNetworkOf(number int) (*network, error) {
	n := &network{name: fmt.Sprintf("dockreg-%d-%d", os.Getpid(), number), number: number}
	here, there := fmt.Sprintf("dr%d", number), fmt.Sprintf("dr%dp", number)
	err := ip(
		"netns add "+n.name,
		"-n "+n.name+" link add switch type bridge",
		"-n "+n.name+" link set switch up",
		"link add "+here+" type veth peer name "+there+" netns "+n.name,
		"-n "+n.name+" link set "+there+" master switch up",
		fmt.Sprintf("addr add 10.213.%d.254/24 dev %s", number, here),
		"link set "+here+" up",
	)
	if err != nil {
		return nil, errors.Join(err, n.remove())
	}
	return n, nil
}

// join makes a namespace on the network.
func (n *network) join() (*namespace, error) {
	i := len(n.spaces) + 1
	s := &namespace{name: fmt.Sprintf("%s-%d", n.name, i), ip: fmt.Sprintf("10.213.%d.%d", n.number, i)}
	n.spaces = append(n.spaces, s)
	port := fmt.Sprintf("p%d", i)
	return s, ip(
		"netns add "+s.name,
		"-n "+s.name+" link set lo up",
		"-n "+s.name+" link add eth0 type veth peer name "+port+" netns "+n.name,
		"-n "+n.name+" link set "+port+" master switch up",
		"-n "+s.name+" addr add "+s.ip+"/24 dev eth0",
		"-n "+s.name+" link set eth0 up",
	)
}

// remove removes the network with its namespaces: their interfaces go with them.
func (n *network) remove() error {
	var errs []error
	for _, s := range n.spaces {
		errs = append(errs, ip("netns del "+s.name))
	}
	return errors.Join(append(errs, ip("netns del "+n.name))...)
}

func (s *namespace) path() string { return "/var/run/netns/" + s.name }

// firewall appends, with -A, or deletes, with -D, the rules that drop all packets.
func (s *namespace) firewall(verb string) error {
	return errors.Join(
		command("nsenter", "--net="+s.path(), "iptables", "-w", verb, "INPUT", "-i", "eth0", "-j", "DROP"),
		command("nsenter", "--net="+s.path(), "iptables", "-w", verb, "OUTPUT", "-o", "eth0", "-j", "DROP"),
	)
}

func ip(commands ...string) error {
	for _, c := range commands {
		if err := command("ip", strings.Fields(c)...); err != nil {
			return err
		}
	}
	return nil
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
