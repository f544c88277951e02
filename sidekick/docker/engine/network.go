package engine

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/container"
)

// maxHops bounds the way from one container to the one whose network it uses, which
// would never end in a circle. One is the rule.
const maxHops = 5

// Networks follows --network container:X: it returns c, then the container whose network
// c uses, and so on. Published ports are the last one's, which is c itself for most
// containers. inspect's error is returned with those that were found up to then.
func Networks(ctx context.Context, c container.InspectResponse, inspect func(ctx context.Context, id string) (container.InspectResponse, error)) ([]container.InspectResponse, error) {
	way := []container.InspectResponse{c}
	for c.HostConfig.NetworkMode.IsContainer() {
		if len(way) > maxHops {
			return way, fmt.Errorf("docker's answer: the containers whose network this one uses go on forever, with %.64q", c.ID)
		}
		var err error
		if c, err = inspect(ctx, c.HostConfig.NetworkMode.ConnectedContainer()); err != nil {
			return way, fmt.Errorf("the container whose network this one uses: %w", err)
		}
		way = append(way, c)
	}
	return way, nil
}
