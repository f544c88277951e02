package etcdreg

import (
	"context"
	"time"
)

// patience is how much longer than a request's usual deadline etcd is waited for.
// An etcd that answers, but late, is given more, or nothing would ever be
// registered there; a member that hangs while another answers costs no more than the
// usual.
type patience struct {
	times, most float64
}

func newPatience(ttl time.Duration) patience {
	return patience{times: 1, most: max(1, float64(ttl/4)/float64(callTimeout))}
}

// grow follows a request that was not answered in time.
func (p *patience) grow() { p.times = min(2*p.times, p.most) }

// bound returns ctx with the deadline of one request, or of one connecting.
func (p *patience) bound(ctx context.Context, usual time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.of(usual))
}

func (p *patience) of(usual time.Duration) time.Duration {
	return time.Duration(p.times * float64(usual))
}

// try makes one request. An answer shortens the patience to twice what it took.
func (p *patience) try(ctx context.Context, usual time.Duration, request func(context.Context) error) error {
	ctx, cancel := p.bound(ctx, usual)
	defer cancel()
	start := time.Now()
	err := request(ctx)
	if err == nil {
		took := float64(2*time.Since(start)) / float64(callTimeout)
		p.times = min(max(1, p.times*0.9, took), p.most)
	}
	return err
}
