package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

// session authenticates one user, once a connection and when etcd forgot or outlived
// the token. The client would do so with each lease's renewal: that costs etcd's
// members a write to their log and 50 ms or so of a core. It is safe for concurrent
// use.
type session struct {
	*files
	turn chan struct{} // to authenticate; holds a token

	mu    sync.Mutex
	token string // "": none
	off   bool   // etcd said, last, that it has authentication off
}

func newSession(c Config) *session {
	s := &session{files: &files{Config: c}, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	// So that a file that is being replaced when etcd is first dialled counts as
	// it was. What is wrong shows then.
	_, _ = s.latest()
	return s
}

// login gets a token with the password that there is now.
func (s *session) login(ctx context.Context, cc grpc.ClientConnInterface) error {
	latest, err := s.latest()
	if err != nil {
		return err
	}
	s.set("")
	answer, err := pb.NewAuthClient(cc).Authenticate(ctx, &pb.AuthenticateRequest{Name: s.Username, Password: latest.password})
	err = rpctypes.Error(err)
	off := errors.Is(err, rpctypes.ErrAuthNotEnabled)
	s.tell(ctx, off)
	if ctx.Err() != nil {
		return ctx.Err() // and not gRPC's word for it
	}
	if off {
		return nil // anybody may do anything, and so may dockreg
	}
	if err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	s.set(answer.Token)
	return nil
}

func (s *session) set(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

// tell logs that etcd has authentication off, once it has.
func (s *session) tell(ctx context.Context, off bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if off && !s.off && s.Log != nil {
		s.Log.WarnContext(ctx, "etcd has authentication off: anybody may write there; the user is not needed", "user", s.Username)
	}
	s.off = off
}

func (s *session) get() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

// GetRequestMetadata is gRPC's, for each call.
func (s *session) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token := s.get()
	if token == "" {
		return nil, nil
	}
	return map[string]string{rpctypes.TokenFieldNameGRPC: token}, nil
}

// RequireTransportSecurity is gRPC's.
func (s *session) RequireTransportSecurity() bool { return false }

// call is every call that is no stream.
func (s *session) call(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	do := func() error { return invoke(ctx, method, req, reply, cc, opts...) }
	if method == pb.Auth_Authenticate_FullMethodName {
		return do()
	}
	return s.again(ctx, cc, do)
}

// again does a call, and does it again with a new token if it failed for the old
// one. A stream is for its caller to put into it; etcd 3.4 renews leases without
// a token, 3.7 does not [measured].
func (s *session) again(ctx context.Context, cc grpc.ClientConnInterface, do func() error) error {
	used := s.get()
	err := do()
	if s.Username == "" || !outlived(err) {
		return err
	}
	if err := s.replace(ctx, cc, used); err != nil {
		return err
	}
	return do()
}

// replace gets a token in the place of one, once for all calls that were refused for that.
func (s *session) replace(ctx context.Context, cc grpc.ClientConnInterface, used string) error {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if now := s.get(); now != "" && now != used {
		return nil
	}
	return s.login(ctx, cc)
}

// outlived says whether a call was refused for its token, or for its lack.
func outlived(err error) bool {
	err = rpctypes.Error(err)
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision) || errors.Is(err, rpctypes.ErrUserEmpty)
}
