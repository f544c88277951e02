package probe

import (
	"context"
	"errors"
)

func parseTCP(rest string, app target, _ string) (*Probe, error) {
	if rest != "" {
		return nil, errNoKind
	}
	return &Probe{show: "tcp", ask: tcpProbe{app}.ask}, nil
}

// tcpProbe passes if the app accepts a connection, or its system does so for it.
type tcpProbe struct {
	app target
}

func (p tcpProbe) ask(ctx context.Context) error {
	conn, err := p.app.dial(ctx)
	if errors.Is(err, errReset) {
		return nil // accepted, and reset in the same moment: dial sees that at random
	}
	if err != nil {
		return err
	}
	_ = conn.Close() // by then the answer is known
	return nil
}
