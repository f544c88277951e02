package etcdreg

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// plain speaks no TLS, and notices if etcd does.
type plain struct {
	credentials.TransportCredentials
	link *link
}

func newPlain(l *link) plain { return plain{insecure.NewCredentials(), l} }

// Clone is gRPC's.
func (p plain) Clone() credentials.TransportCredentials { return p }

// ClientHandshake is gRPC's, for each connection.
func (p plain) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := p.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	return &observed{Conn: conn, link: p.link, reason: p.reason}, info, nil
}

// reason: what speaks TLS hangs up, or first says so, in TLS or in HTTP. An etcd that
// was heard without it, and hangs up, is about to end.
func (p plain) reason(first []byte, err error) error {
	if bytes.HasPrefix(first, []byte{0x15, 3}) || bytes.HasPrefix(first, []byte("HTTP/1")) || hungUp(err) && !p.link.everHeard() {
		return errors.New("it ends the connection at once; if it speaks TLS, give https:// in --etcd")
	}
	return err
}

// secure speaks TLS, as the files say at the time of each connection.
type secure struct {
	credentials.TransportCredentials
	link  *link
	files *files
}

func newSecure(l *link, f *files) secure { return secure{credentials.NewTLS(nil), l, f} }

// Clone is gRPC's.
func (s secure) Clone() credentials.TransportCredentials { return s }

// ClientHandshake is gRPC's, for each connection.
func (s secure) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	now, err := s.files.latest()
	if err != nil {
		s.link.note(err)
		return nil, nil, err
	}
	h := &handshake{files: s.files, pair: now.pair}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    now.authorities,
		// Not Certificates, of which none is sent that etcd would not like: then its
		// refusal could not be told from that of a missing one.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			h.asked = true
			if h.pair == nil {
				return &tls.Certificate{}, nil
			}
			return h.pair, nil
		},
	}
	if s.files.ServerName != "" {
		authority = s.files.ServerName
	}
	conn, info, err := credentials.NewTLS(config).ClientHandshake(ctx, authority, raw)
	if err != nil {
		s.link.note(h.reason(nil, err))
		return nil, nil, err
	}
	h.done = true
	return &observed{Conn: conn, link: s.link, reason: h.reason}, info, nil
}

// handshake is one of them, for what can be said when it fails. With TLS 1.3 that
// shows only after it, when etcd is first read from.
type handshake struct {
	files *files
	pair  *tls.Certificate // what we have to show; nil: nothing
	asked bool             // etcd wants to be shown it
	done  bool             // as far as we are concerned
}

func (h *handshake) reason(_ []byte, err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var noTLS tls.RecordHeaderError
	switch {
	case err == nil, gaveUp(err):
		return err
	case errors.As(err, &unknown) && h.files.CACertFile != "":
		return errors.New("its certificate is not signed by an authority in --etcd-cacert")
	case errors.As(err, &unknown):
		return errors.New("its certificate is not signed by an authority that this system trusts; give the one that did as --etcd-cacert")
	case errors.As(err, &name) && h.files.ServerName != "":
		return fmt.Errorf("its certificate is for %s, not for --etcd-server-name %q", names(name.Certificate), h.files.ServerName)
	case errors.As(err, &name):
		return fmt.Errorf("its certificate is for %s, not for %s; if it is the right etcd, give a name of it as --etcd-server-name", names(name.Certificate), name.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("its certificate %s", valid(invalid.Cert))
	case errors.As(err, &noTLS), hungUp(err) && !h.asked && !h.done:
		return errors.New("it ends the connection at once; if it speaks no TLS, give http:// in --etcd")
	case h.asked && h.pair == nil:
		return errors.New("it wants to see a certificate; give --etcd-cert and --etcd-key")
	case h.asked && !now(h.pair.Leaf):
		return fmt.Errorf("it refuses the certificate in --etcd-cert, which %s", valid(h.pair.Leaf))
	case h.asked:
		return errors.New("it refuses the certificate in --etcd-cert; etcd's log says why")
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

// now says whether a certificate is valid now, as to its dates.
func now(c *x509.Certificate) bool {
	return time.Now().After(c.NotBefore) && time.Now().Before(c.NotAfter)
}

// valid says until when a certificate was valid, or from when on it will be.
func valid(c *x509.Certificate) string {
	if time.Now().Before(c.NotBefore) {
		return "is not valid before " + c.NotBefore.UTC().Format(time.RFC3339) + ", if the clock here is right"
	}
	return "expired on " + c.NotAfter.UTC().Format(time.RFC3339) + ", if the clock here is right"
}
