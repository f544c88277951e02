package etcd

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What somebody has to change, here or at etcd's end: one of them is in the tree of an
// error that says so.
var (
	// ErrMaybeTLS: what may be an etcd that speaks TLS was not spoken to with it.
	ErrMaybeTLS = errors.New("it ends the connection at once")
	// ErrMaybePlain is the other way round.
	ErrMaybePlain = errors.New("it ends the connection at once, in place of a word of TLS")
	// ErrAuthority: etcd's certificate is signed by an authority that isn't trusted.
	ErrAuthority = errors.New("its certificate is not signed by an authority that is trusted")
	// ErrName: etcd's certificate is for other names.
	ErrName = errors.New("its certificate is for other names")
	// ErrNoCertificate: etcd wants to be shown a certificate, and there is none.
	ErrNoCertificate = errors.New("it wants to see a certificate")
	// ErrCertificate: etcd refuses the certificate that it was shown.
	ErrCertificate = errors.New("it refuses the certificate that it was shown")
	// ErrFile: one of the files in a Config is missing or broken, and was never right.
	ErrFile = errors.New("a file can't be used")
	// ErrPassword: etcd knows no such user with that password.
	ErrPassword = errors.New("it refuses the user and the password")
	// ErrNoUser: etcd wants a user to authenticate.
	ErrNoUser = errors.New("it wants to know who asks")
	// ErrPermission: the user lacks the right to what was asked.
	ErrPermission = errors.New("permission denied")
)

// Of connections.
var (
	errSilent      = errors.New("it takes connections, but says nothing")
	errUnreachable = errors.New("can't be reached")
)

// fault is an error in words for those who can fix it.
type fault struct {
	error
	cause error
}

func (f fault) Unwrap() []error { return []error{f.error, f.cause} }

func faultf(cause error, format string, args ...any) error {
	return fault{fmt.Errorf(format, args...), cause}
}

// explain names the member that a request failed at, and says why. The same cause has
// the same words each time.
func (c *Client) explain(err error) error {
	at := c.link.from(c.members.current())
	down := c.link.state()
	late := errors.Is(err, context.DeadlineExceeded)
	switch refusal := c.refusal(err); {
	case refusal != nil:
		return faultf(err, "etcd at %s: %w", at, refusal)
	case late && down == nil:
		return fmt.Errorf("etcd at %s did not answer in time", at)
	case !late && !errors.Is(err, errUnreachable) && !broke(err):
		return fmt.Errorf("etcd at %s: %w", at, err)
	case down == nil:
		return faultf(err, "etcd at %s: the connection to it broke", at)
	}
	return faultf(err, "etcd at %s can't be reached: %w", at, down)
}

// refusal says what etcd refused, and to whom; nil if it is no refusal.
func (c *Client) refusal(err error) error {
	user := fmt.Sprintf("user %q", c.config.Username)
	if c.config.Username == "" {
		user = "the user that the certificate names"
	}
	switch {
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return faultf(ErrPassword, "it refuses %s with its password", user)
	case errors.Is(err, rpctypes.ErrUserEmpty) && c.config.Username == "":
		return ErrNoUser
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return faultf(ErrPermission, "it refuses %s: permission denied", user)
	}
	return nil
}

// broke says whether a request failed with its connection, which gRPC tells with the
// ports of it.
func broke(err error) bool {
	var etcds rpctypes.EtcdError
	return !errors.As(err, &etcds) && status.Code(err) == codes.Unavailable
}

// reason: what speaks TLS hangs up, or first says so, in TLS or in HTTP. An etcd that
// was heard without it, and hangs up, is about to end.
func (p plain) reason(first []byte, err error) error {
	if bytes.HasPrefix(first, []byte{0x15, 3}) || bytes.HasPrefix(first, []byte("HTTP/1")) || hungUp(err) && !p.link.everHeard() {
		return ErrMaybeTLS
	}
	return err
}

// reason is why a handshake failed.
func (h *handshake) reason(_ []byte, err error) error {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var noTLS tls.RecordHeaderError
	switch {
	case err == nil, gaveUp(err):
		return err
	case errors.As(err, &authority):
		return ErrAuthority
	case errors.As(err, &name):
		return faultf(ErrName, "its certificate is for %s, not for %s", names(name.Certificate), name.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("its certificate %s", validity(invalid.Cert))
	case errors.As(err, &noTLS), hungUp(err) && !h.asked && !h.done:
		return ErrMaybePlain
	case h.asked && h.pair == nil:
		return ErrNoCertificate
	case h.asked && !valid(h.pair.Leaf):
		return faultf(ErrCertificate, "it refuses the certificate that it was shown, which %s", validity(h.pair.Leaf))
	case h.asked:
		return ErrCertificate
	}
	return err
}

// names are those that a certificate is for.
func names(c *x509.Certificate) string {
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name at all"
	}
	return strings.Join(all, ", ")
}

// valid says whether a certificate is valid now, as to its dates.
func valid(c *x509.Certificate) bool {
	return time.Now().After(c.NotBefore) && time.Now().Before(c.NotAfter)
}

// validity says until when a certificate was valid, or from when on it will be.
func validity(c *x509.Certificate) string {
	if time.Now().Before(c.NotBefore) {
		return "is not valid before " + c.NotBefore.UTC().Format(time.RFC3339) + ", if the clock here is right"
	}
	return "expired on " + c.NotAfter.UTC().Format(time.RFC3339) + ", if the clock here is right"
}

// words says err without what differs from one time to the next, such as the port
// of our end.
func words(err error) string {
	var dns *net.DNSError
	var errno syscall.Errno
	var op *net.OpError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(err, &dns):
		return "its name can't be looked up: " + dnsReason(err).Error()
	case hungUp(err):
		return "it ends the connection"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

// dnsReason leaves out the addresses of a DNSError, which differ from try to try.
func dnsReason(err error) error {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return errors.New("the DNS does not answer")
	case errors.As(err, &dns):
		return errors.New("the DNS fails")
	}
	return err
}

// hungUp says whether the other end closed the connection: how that shows is up to
// what was under way.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// gaveUp says whether it was our side that ended an attempt.
func gaveUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)
}
