package host

import (
	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"
)

// ownFacts is what a container may know of itself, in the words of Docker's API
// (https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerInspect):
// what is needed to find one's address. What was started in it, with what environment,
// what it mounts and how it is labelled is not in it.
type ownFacts struct {
	ID              string          `json:"Id"`
	Name            string          `json:"Name"`
	State           state           `json:"State"`
	Config          config          `json:"Config"`
	HostConfig      hostConfig      `json:"HostConfig"`
	NetworkSettings networkSettings `json:"NetworkSettings"`
}

type state struct {
	Status  string `json:"Status"`
	Running bool   `json:"Running"`
}

type config struct {
	ExposedPorts nat.PortSet `json:"ExposedPorts,omitempty"`
}

type hostConfig struct {
	NetworkMode     string      `json:"NetworkMode"`
	PortBindings    nat.PortMap `json:"PortBindings"`
	PublishAllPorts bool        `json:"PublishAllPorts"`
}

type networkSettings struct {
	Ports    nat.PortMap        `json:"Ports"`
	Networks map[string]network `json:"Networks"`
}

type network struct {
	IPAddress         string `json:"IPAddress"`
	GlobalIPv6Address string `json:"GlobalIPv6Address"`
}

// reduce leaves of Docker's answer what is for the container.
func reduce(c container.InspectResponse) ownFacts {
	a := ownFacts{
		ID:     c.ID,
		Name:   c.Name,
		Config: config{c.Config.ExposedPorts},
		HostConfig: hostConfig{
			string(c.HostConfig.NetworkMode), c.HostConfig.PortBindings, c.HostConfig.PublishAllPorts,
		},
		NetworkSettings: networkSettings{c.NetworkSettings.Ports, map[string]network{}},
	}
	if c.State != nil {
		a.State = state{c.State.Status, c.State.Running}
	}
	for name, n := range c.NetworkSettings.Networks {
		if n != nil {
			a.NetworkSettings.Networks[name] = network{n.IPAddress, n.GlobalIPv6Address}
		}
	}
	return a
}
