// Package etcd talks to an etcd v3 cluster, one member at a time.
//
// A Client has a connection to one member. A request that fails or is not answered in
// time makes the next one use a fresh connection to the next member: measured with one
// of two members hung, that costs no absence of a key on a lease of 10 s, where
// clientv3's own balancer lost it for 51.9 of 60 s.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Timeout is what a request is usually given. Of a TTL of 20 s it leaves room for every
// member of a cluster to be tried in turn.
const Timeout = 1500 * time.Millisecond

// Config says where etcd is, and how to be let in.
type Config struct {
	// Endpoints are URLs, http:// or https://, all of one scheme. A name with several
	// addresses stands for a member at each of them.
	Endpoints []string
	// DiscoverySRV is the domain whose SRV records name the members, in place of
	// Endpoints. They are looked up again whenever a member fails.
	DiscoverySRV string
	// DiscoveryTLS leaves records of members without TLS unused.
	DiscoveryTLS bool
	// With https, CACertFile holds the certificate authorities that etcd's
	// certificate is checked against, if it is not empty, and not the system's;
	// ServerName is the name it is checked for, if it is not empty, and not the
	// endpoint's host. CertFile and KeyFile are what etcd is shown, if they are not
	// empty.
	CACertFile, CertFile, KeyFile, ServerName string
	// Username authenticates, if it is not empty, with Password or with what
	// PasswordFile holds at the time.
	Username, Password, PasswordFile string
	// Patience is how long an etcd is waited for, at most, that answers, but late.
	// Less than a request's own timeout means nothing, and so does more than etcd's, 7 s.
	Patience time.Duration
	// Log is told what is no error, if it is not nil.
	Log *slog.Logger
	// Requested is told of each request, if it is not nil: of which member it was, how long
	// that took, and what came of it.
	Requested func(member string, took time.Duration, err error)
}

// Client makes requests. It is not safe for concurrent use.
type Client struct {
	config     Config
	members    members
	session    *session
	patience   patience         // with requests
	connecting patience         // with connections
	client     *clientv3.Client // connected to the member in use, or nil
	link       *link            // how connecting to it went
	failures   int              // requests in a row that failed
}

// New returns a Client that has not contacted etcd yet.
func New(c Config) *Client {
	m := newMembers(c)
	p := patience{most: max(Timeout, min(c.Patience, mostPatience))}
	return &Client{
		config:     c,
		members:    m,
		link:       &link{hosts: m.hosts},
		session:    newSession(c),
		patience:   p,
		connecting: p,
	}
}

// Close ends the connection. A later request would make another one.
func (c *Client) Close() {
	if c.client != nil {
		_ = c.client.Close() // only ever says that its context was cancelled
		c.client = nil
	}
}

// Member returns the URL of the member in use, or to be used next; before the SRV
// records were first looked up, their domain.
func (c *Client) Member() string { return c.members.current() }

// Within returns how long a request is waited for at present that usually has this
// much time.
func (c *Client) Within(usual time.Duration) time.Duration { return c.patience.of(usual) }

// Do makes a request of the member in use, once. Connecting to it, if that is due,
// and the request each end after within, or later with an etcd that has been slow to
// answer or to connect; within is Timeout at most. What request returns counts as a fault
// of the member: an answer that is no fault is for request to keep.
//
// The error of a fault names the member, in the same words for the same cause, and has
// one of this package's errors in its tree where somebody has to act. The next request
// goes to the next member then. An end of ctx, the caller's own, says nothing about the
// member.
func (c *Client) Do(ctx context.Context, within time.Duration, request func(context.Context, *clientv3.Client) error) error {
	began := time.Now()
	client, err := c.connect(ctx, within)
	member := c.Member() // which may be another one than before
	if c.config.Requested != nil {
		defer func() { c.config.Requested(member, time.Since(began), err) }()
	}
	if err == nil {
		err = c.patience.try(ctx, within, func(ctx context.Context) error { return request(ctx, client) })
	}
	if err == nil {
		c.failures = 0
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	c.failures++
	if errors.Is(err, context.DeadlineExceeded) && c.slow() {
		c.patience.grow()
	}
	err = c.explain(err)
	c.Close()
	c.members.advance()
	return err
}

// Ask is Do of one member after the other, until one answers or each has been asked.
func (c *Client) Ask(ctx context.Context, within time.Duration, request func(context.Context, *clientv3.Client) error) (err error) {
	for tries := 0; tries < c.members.count(); tries++ { // a first try may learn how many there are
		if err = c.Do(ctx, within, request); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// slow says whether etcd may only be late: it was heard, or it takes connections, and no
// other member is better, because each has failed meanwhile.
func (c *Client) slow() bool {
	down := c.link.state()
	return down == nil || errors.Is(down, errSilent) && c.failures >= c.members.count()
}

// Renew gives a lease its whole TTL again, as Do does. It says whether the lease is
// still there.
func (c *Client) Renew(ctx context.Context, within time.Duration, lease clientv3.LeaseID) (there bool, err error) {
	err = c.Do(ctx, within, func(ctx context.Context, client *clientv3.Client) error {
		return c.session.again(ctx, client.ActiveConnection(), func() (err error) {
			there, err = KeepAlive(ctx, client, lease)
			if err = clientv3.ContextError(ctx, err); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
				return fmt.Errorf("renew lease: %w", err)
			}
			return nil
		})
	})
	return there, err
}

// KeepAlive gives a lease its whole TTL again, in one request, and says whether the
// lease is still there. The client's own KeepAliveOnce asks a member that answers
// "no leader" again and again, with no pause, as fast as it can [read].
func KeepAlive(ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID) (there bool, err error) {
	ctx, cancel := context.WithCancel(ctx) // it is what ends the stream
	defer cancel()
	stream, err := clientv3.RetryLeaseClient(client).LeaseKeepAlive(ctx)
	if err != nil {
		return false, err
	}
	if err := stream.Send(&etcdserverpb.LeaseKeepAliveRequest{ID: int64(lease)}); err != nil {
		return false, err
	}
	answer, err := stream.Recv()
	return answer.GetTTL() > 0, err
}
