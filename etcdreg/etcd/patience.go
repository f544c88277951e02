package etcd

import (
	"context"
	"time"
)

// patience is how long etcd is waited for, where that is longer than a request's usual
// time. An etcd that answers, but late, is given more, or nothing would ever be
// registered there; a member that hangs while another answers costs no more than the
// usual.
type patience struct{ least, most time.Duration }

// mostPatience is how long etcd itself takes for a request, at its defaults, before it gives it up
// (config.ReqTimeout: 5 s, and twice the election timeout). Who says nothing for longer will not
// say it: a load balancer, perhaps, that took the connection while there was no etcd behind it.
const mostPatience = 7 * time.Second

// grow follows a request that was not answered in time.
func (p *patience) grow() { p.least = min(2*max(p.least, Timeout), p.most) }

// of returns how long a request is waited for that usually has this much time.
func (p *patience) of(usual time.Duration) time.Duration { return max(usual, p.least) }

// try makes one request. An answer leaves room for the next one to take twice as long.
func (p *patience) try(ctx context.Context, usual time.Duration, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.of(usual))
	defer cancel()
	start := time.Now()
	err := request(ctx)
	if err == nil {
		p.least = min(max(p.least/2, 2*time.Since(start)), p.most)
	}
	return err
}
