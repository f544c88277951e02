package etcd

import (
	"context"
	"crypto/tls"
	"net"

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
	latest, err := s.files.latest()
	if err != nil {
		s.link.note(err)
		return nil, nil, err
	}
	h := &handshake{files: s.files, pair: latest.pair}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    latest.authorities,
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
