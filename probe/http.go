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
	"syscall"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	// bodyBound is how much of an answer is read. A connection with more to come
	// is closed, not reused.
	bodyBound = 64 << 10
	// retries and the waits between them, 50, 100, 200, 400 and 800 ms, end
	// within the default timeout of 3 s.
	retries      = 5
	retryWaitMin = 50 * time.Millisecond
	retryWaitMax = 800 * time.Millisecond
)

// httpProbe passes on an answer of 2xx or 3xx.
type httpProbe struct {
	client *retryablehttp.Client
	url    string
	agent  string
}

func newHTTP(scheme string, path *url.URL, t target, agent string) *httpProbe {
	u := *path
	u.Scheme, u.Host = scheme, net.JoinHostPort("127.0.0.1", strconv.Itoa(t.port))
	client := retryablehttp.NewClient()
	client.Logger = nil
	client.RetryMax = retries
	client.RetryWaitMin, client.RetryWaitMax = retryWaitMin, retryWaitMax
	client.CheckRetry = closedUnanswered
	client.ErrorHandler = retryablehttp.PassthroughErrorHandler
	client.HTTPClient = &http.Client{
		Transport: &http.Transport{ // with no Proxy, whatever the environment says
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return t.dial(ctx) },
			// Nothing certifies 127.0.0.1, and nobody sits between the app and
			// its own container.
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
			MaxIdleConnsPerHost:    1,
			DisableCompression:     true,
			MaxResponseHeaderBytes: bodyBound,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &httpProbe{client, u.String(), agent}
}

// closedUnanswered retries a reset, and a connection closed without an answer:
// that is how a healthy app ends an idle connection in the very moment of the
// probe, and how one that restarts its workers looks. Anything else decides.
func closedUnanswered(ctx context.Context, _ *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE), nil
}

func (p *httpProbe) ask(ctx context.Context) error {
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	req.Header.Set("User-Agent", p.agent)
	resp, err := p.client.Do(req)
	if err != nil {
		return httpReason(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("answered %s", strings.TrimSpace(strconv.Itoa(resp.StatusCode)+" "+http.StatusText(resp.StatusCode)))
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, bodyBound)); err != nil {
		if ctx.Err() != nil {
			return bodyError{resp.StatusCode, ctx.Err()}
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

// httpReason leaves the URL out, whose query may be a token.
func httpReason(ctx context.Context, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record):
		return errors.New("answered, but not with TLS")
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return errors.New("answered, but not with HTTP")
	}
	return reason(ctx, err)
}
