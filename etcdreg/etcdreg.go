// Package etcdreg keeps one leased key in etcd v3: its creation, its renewal, its
// removal, whose it is, and how a disturbance of it is noticed.
//
// A Registry talks to one member at a time over a client of its own. A call that
// fails or is not answered in time makes the next one use a fresh client on the
// next member: measured with one of two members hung, that costs no absence of
// the key, where the client's own balancer lost it for 51.9 of 60 s.
package etcdreg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Config says where etcd is and how long a lease lasts.
type Config struct {
	// Endpoints are URLs, http:// or https://, all of one scheme.
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
	// Log is told what is no error, if it is not nil.
	Log *slog.Logger
	// TTL of the lease, in whole seconds. etcd may grant more than it was asked
	// for (two seconds where one was asked [measured]), never less.
	TTL time.Duration
}

// Registry is one key's registration. It is not safe for concurrent use, but for
// Disturbed.
type Registry struct {
	Config
	members  members
	client   *clientv3.Client
	hangUp   func() // closes client, so that the next call dials anew
	link     *link  // how connecting to the member in use went
	session  *session
	looked   string // the key of the latest Look
	patience patience

	key      string             // of the latest Register
	lease    clientv3.LeaseID   // what the key hangs on; 0 if there is none
	granted  bool               // etcd said that it granted lease
	own      []clientv3.LeaseID // the latest that were ours
	limbo    []clientv3.LeaseID // of own, to be revoked: never renewed or used again
	standsBy bool               // another instance had the key when last looked at
	past     past
	count    atomic.Int64 // keys under the key's parent, when last counted

	watch     *watch // on the key as we put it; nil if that is not known to be there
	disturbed chan error
}

// New returns a Registry that has not contacted etcd yet.
func New(c Config) *Registry {
	return &Registry{
		Config:    c,
		members:   newMembers(c),
		link:      &link{},
		session:   newSession(c),
		patience:  newPatience(c.TTL),
		disturbed: make(chan error, 1),
		hangUp:    func() {},
	}
}

// Close ends all traffic with etcd. It removes nothing: see Deregister.
func (r *Registry) Close() {
	r.unwatch()
	r.hangUp()
}

// Disturbed delivers, after a Register that succeeded, the reason why the key may
// no longer be as registered: it was deleted or overwritten, or the connection to
// etcd broke, and so nobody would tell. A method Pause() time.Duration of it is
// that of Register's errors.
func (r *Registry) Disturbed() <-chan error { return r.disturbed }

// Look reads the key, and changes nothing. It asks one member after the other
// until one answers.
func (r *Registry) Look(ctx context.Context, key string) (value string, there bool, err error) {
	r.looked = key
	for tries := 0; tries < max(1, len(r.members.urls)); tries++ { // a first try may learn how many there are
		if value, there, err = r.lookOnce(ctx, key); err == nil || ctx.Err() != nil {
			break
		}
	}
	return value, there, err
}

func (r *Registry) lookOnce(ctx context.Context, key string) (value string, there bool, err error) {
	c, err := r.connect(ctx, callTimeout)
	if err != nil {
		return "", false, r.outcome(ctx, err)
	}
	callCtx, cancel := r.patience.bound(ctx, callTimeout)
	defer cancel()
	found, err := c.Get(callCtx, key)
	if err != nil {
		return "", false, r.outcome(ctx, fmt.Errorf("get key: %w", err))
	}
	if len(found.Kvs) == 0 {
		return "", false, nil
	}
	return string(found.Kvs[0].Value), true, nil
}

// Deregister revokes the lease, and with it removes the key, unless somebody else
// has taken the key over. It takes at most 0.6 s, and longer only with an etcd that
// has been slow to answer. After an error, calling it again is the caller's.
func (r *Registry) Deregister(ctx context.Context) error {
	r.unwatch()
	r.retire()
	return r.outcome(ctx, r.revoke(ctx))
}

// retire gives the lease up: it is to be revoked.
func (r *Registry) retire() {
	if r.lease != 0 {
		r.limbo = append(r.limbo, r.lease)
		r.lease, r.granted = 0, false
	}
}

// revoke revokes what is in limbo. A lease stays there while it is not known to be
// gone.
func (r *Registry) revoke(ctx context.Context) error {
	for len(r.limbo) > 0 {
		c, err := r.connect(ctx, revokeTimeout)
		if err != nil {
			return err
		}
		err = r.patience.try(ctx, revokeTimeout, func(ctx context.Context) error {
			_, err := c.Revoke(ctx, r.limbo[0])
			return err
		})
		if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return fmt.Errorf("revoke lease: %w", err)
		}
		r.limbo = r.limbo[1:]
	}
	return nil
}
