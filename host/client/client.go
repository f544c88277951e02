// Package client is a sidekick's side of the host's service, beside the questions about its
// own container, which it asks as if Docker were there.
//
// It tells the service the container's last will (will.go), and what Prometheus is to read
// of the sidekick (metrics.go). Whoever else is at the socket, such as Docker itself, answers
// 404, or in another way without the header "Server: dockreg".
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Server is what the service calls itself, in the header of that name.
const Server = "dockreg"

const (
	// answerTimeout bounds how long the service takes to answer.
	answerTimeout = 8 * time.Second
	// elsewherePause is after nobody was there who does what was asked for.
	elsewherePause = 5 * time.Minute
)

// errOther says that what is at the socket is no host's service: Docker itself, perhaps.
var errOther = errors.New("no dockreg host is there")

// errGone says that the service ended, or was never there.
var errGone = errors.New("dockreg host is not there")

// refusedError is the service's own word.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string { return "dockreg host refuses: " + e.text }

func clientOf(socket string) *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		ResponseHeaderTimeout:  answerTimeout,
		MaxResponseHeaderBytes: 16 << 10,
	}}
}

// ask asks the service. An answer, which is for the caller to close, is a yes.
func ask(ctx context.Context, client *http.Client, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://dockreg"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, errors.Unwrap(err))
	}
	if answer.StatusCode/100 == 2 && answer.Header.Get("Server") == Server {
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.Header.Get("Server") != Server {
		return nil, errOther
	}
	var said struct {
		Message string `json:"message"`
	}
	_ = json.NewDecoder(io.LimitReader(answer.Body, 4<<10)).Decode(&said)
	return nil, &refusedError{answer.StatusCode, said.Message}
}
