package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	// bodyBound is how much of an answer is read.
	bodyBound = 64 << 10
	// retries and the waits between them, 50, 100, 200 and 400 ms, leave most of
	// the default timeout, 3 s, to a busy machine.
	retries      = 4
	retryWaitMin = 50 * time.Millisecond
	retryWaitMax = 400 * time.Millisecond
)

// parseHTTP returns what reads the path of an http or https check.
func parseHTTP(scheme string) func(string, target, string) (*Probe, error) {
	return func(rest string, app target, agent string) (*Probe, error) {
		path := strings.TrimPrefix(rest, ":")
		u, err := url.Parse(path)
		if err == nil && u.Host != "" {
			return nil, fmt.Errorf("a host, which the probe finds by itself; give %s:%s", scheme, pathOf(u))
		}
		if err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsFunc(path, isSpace) {
			return nil, fmt.Errorf("no path to ask for; give %s:/ or %s:/path", scheme, scheme)
		}
		if strings.Contains(path, "#") {
			return nil, errors.New("what follows a # is never sent; leave it out, or write %23")
		}
		show := scheme + ":" + u.EscapedPath()
		if u.RawQuery != "" {
			show += "?…" // may be a token
		}
		return &Probe{show: show, ask: newHTTP(scheme, u, app, agent).ask}, nil
	}
}

// pathOf is the path of a URL that was given in place of one, without what may be a
// password in the host's part.
func pathOf(u *url.URL) string {
	path := u.EscapedPath()
	switch {
	case path == "":
		return "/"
	case strings.Contains(path, "@"):
		return "/path"
	}
	return path
}

func isSpace(r rune) bool { return r <= ' ' || r == 0x7f }

// httpProbe passes on an answer of 2xx or 3xx.
type httpProbe struct {
	client *retryablehttp.Client
	url    string
	agent  string
}

func newHTTP(scheme string, path *url.URL, app target, agent string) *httpProbe {
	u := *path
	u.Scheme, u.Host = scheme, net.JoinHostPort("127.0.0.1", strconv.Itoa(app.port))
	client := retryablehttp.NewClient()
	client.Logger = nil
	client.RetryMax = retries
	client.RetryWaitMin, client.RetryWaitMax = retryWaitMin, retryWaitMax
	client.CheckRetry = closedUnanswered
	client.ErrorHandler = retryablehttp.PassthroughErrorHandler
	client.HTTPClient = &http.Client{
		Transport: noRedirects{&http.Transport{ // with no Proxy, whatever the environment says
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return app.dial(ctx) },
			// Nothing certifies 127.0.0.1, and nobody sits between the app and
			// its own container.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
			// A server with one worker that keeps a connection open has nobody
			// left to answer others.
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: bodyBound,
		}},
	}
	return &httpProbe{client, u.String(), agent}
}

// noRedirects is a transport whose answers lead nowhere else: http.Client follows no
// redirect, and minds none that it can't read, if it doesn't see where to.
type noRedirects struct{ *http.Transport }

func (t noRedirects) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(req)
	if err == nil {
		resp.Header.Del("Location")
	}
	return resp, err
}

// closedUnanswered retries a reset, and a connection closed without an answer:
// that is how a healthy app looks that restarts its workers. Anything else decides.
func closedUnanswered(ctx context.Context, _ *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	err = httpReason(err)
	return errors.Is(err, errReset) || errors.Is(err, errClosed), nil
}

func (p *httpProbe) ask(ctx context.Context) error {
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	req.Header.Set("User-Agent", p.agent)
	resp, err := p.client.Do(req)
	if err != nil {
		return httpReason(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("answered %s", strings.TrimSpace(strconv.Itoa(resp.StatusCode)+" "+http.StatusText(resp.StatusCode)))
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, bodyBound)); err != nil {
		if late := reason(err); errors.Is(late, context.DeadlineExceeded) {
			return bodyError{resp.StatusCode, late}
		}
		return fmt.Errorf("answered %d, but its body broke off", resp.StatusCode)
	}
	return nil
}

// bodyError is a body that was still coming when its time was up.
type bodyError struct {
	code  int
	cause error
}

func (e bodyError) Error() string {
	return fmt.Sprintf("answered %d, but its body did not end", e.code)
}
func (e bodyError) Unwrap() error { return e.cause }

// httpReason leaves out the URL, whose query may be a token, and whatever the app
// said in place of an answer.
func httpReason(err error) error {
	if err == nil {
		return nil
	}
	var (
		op     *net.OpError
		record tls.RecordHeaderError
	)
	known := reason(err)
	switch text := err.Error(); {
	case errors.Is(known, context.Canceled), errors.Is(known, context.DeadlineExceeded),
		errors.Is(known, errRefused), errors.Is(known, errReset), errors.Is(known, errClosed):
		return known
	case strings.Contains(text, "server closed idle connection"): // http's errServerClosedIdle
		return errClosed
	case errors.Is(err, net.ErrClosed):
		// The transport itself closed the connection, because the app had closed it or
		// spoken first, just before it wrote the request: asking again tells which.
		return errClosed
	case errors.As(err, &record),
		strings.Contains(text, "HTTP response to HTTPS client"): // http's own name for a RecordHeaderError
		return errors.New("answered, but not with TLS")
	case errors.As(err, &op):
		return known
	}
	return errors.New("answered, but not with HTTP")
}
