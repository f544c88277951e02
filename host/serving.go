package host

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"dockreg/host/client"
)

// The part of HTTP/1.1 that is needed, and no more: but for metrics, requests have no body,
// and after a refusal nothing else that came on the connection is read.

const (
	// requestTimeout bounds how long a request takes to arrive, once it has begun, and how
	// long its answer waits to be read.
	requestTimeout = time.Second
	// idleTimeout bounds how long a connection waits for its next request.
	idleTimeout = 10 * time.Second
	// maxRequest bounds a request's line and headers. What asks has a few hundred bytes.
	maxRequest = 4 << 10
)

// reply is what a request is answered with.
type reply struct {
	status int    // 0: 200
	header string // lines, each with its end
	body   []byte
	// goesOn is, if it is not nil, what the end of the answer waits for. It has no body.
	goesOn func(ctx context.Context)
}

// serve answers what comes on a connection, until that or ctx ends.
func (s *Service) serve(ctx context.Context, c *conn) {
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Now()) })() // who asks nothing now
	limited := &io.LimitedReader{R: c}
	reader := bufio.NewReaderSize(limited, maxRequest)
	for ctx.Err() == nil {
		limited.N = maxRequest
		_ = c.SetReadDeadline(time.Now().Add(idleTimeout))
		if ctx.Err() != nil {
			return // or the end would wait for this deadline
		}
		if _, err := reader.Peek(1); err != nil || ctx.Err() != nil {
			return
		}
		now := time.Now()
		_ = c.SetReadDeadline(now.Add(requestTimeout))
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		limited.N += min(max(0, r.ContentLength), maxTold)
		var said reply
		if err = s.admission.ask(c.share, now); err != nil {
			err = refuse(http.StatusTooManyRequests, err)
		} else {
			said, err = s.answer(ctx, c, r)
		}
		if err != nil {
			said = s.explain(c, r, now, err)
		}
		// What HTTP/1.0 takes for a body can't be told from a next request.
		last := err != nil || r.Close || !r.ProtoAtLeast(1, 1) || said.goesOn != nil
		err = c.write(r, said, last)
		if said.goesOn != nil {
			c.goOn(ctx, said.goesOn) // which sees by itself if nobody is there
			return
		}
		if err != nil || last {
			return
		}
	}
}

// write writes an answer, or the beginning of one that goes on.
func (c *conn) write(r *http.Request, said reply, last bool) error {
	if said.status == 0 {
		said.status = http.StatusOK
	}
	text := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nServer: %s\r\n%s", said.status, http.StatusText(said.status), client.Server, said.header)
	if last {
		text = append(text, "Connection: close\r\n"...)
	}
	if said.goesOn == nil && said.status != http.StatusNoContent {
		text = fmt.Appendf(text, "Content-Length: %d\r\n", len(said.body))
	}
	text = append(text, "\r\n"...)
	if r.Method != http.MethodHead {
		text = append(text, said.body...)
	}
	_ = c.SetWriteDeadline(time.Now().Add(requestTimeout))
	_, err := c.Write(text)
	return err
}

// goOn waits, for no longer than the other side does.
func (c *conn) goOn(ctx context.Context, wait func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		defer cancel()
		_ = c.SetReadDeadline(time.Time{})
		_, _ = c.Read(make([]byte, 1)) // there is nothing to be said any more
	}()
	wait(ctx)
	_ = c.Close()
	<-heard
}
