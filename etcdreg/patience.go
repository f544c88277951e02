package etcdreg

import (
	"context"
	"time"
)

// patience is how long etcd is waited for, where that is longer than a request's usual
// deadline. An etcd that answers, but late, is given more, or nothing would ever be
// registered there; a member that hangs while another answers costs no more than the
// usual.
type patience struct{ least, most time.Duration }

func newPatience(ttl time.Duration) patience {
	return patience{most: max(callTimeout, ttl/4)}
}

// grow follows a request that was not answered in time.
func (p *patience) grow() { p.least = min(2*max(p.least, callTimeout), p.most) }

// bound returns ctx with the deadline of one request, or of one connecting.
func (p *patience) bound(ctx context.Context, usual time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.of(usual))
}

func (p *patience) of(usual time.Duration) time.Duration { return max(usual, p.least) }

// try makes one request. An answer leaves room for the next one to take twice as long.
func (p *patience) try(ctx context.Context, usual time.Duration, request func(context.Context) error) error {
	ctx, cancel := p.bound(ctx, usual)
	defer cancel()
	start := time.Now()
	err := request(ctx)
	if err == nil {
		p.least = min(max(p.least/2, 2*time.Since(start)), p.most)
	}
	return err
}
