package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
)

// apiVersion is that of Docker's API whose words these are. A client of an older engine's
// says the same in the same words.
const apiVersion = "1.44"

// askTimeout bounds how long Docker is asked for one request.
const askTimeout = time.Second

// What may be asked, as it stands in the request's line: nothing is decoded and nothing
// is cleaned, so that there is one way to say each thing.
var (
	pingPath    = regexp.MustCompile(`^(?:/v1\.[0-9]{1,2})?/_ping$`)
	versionPath = regexp.MustCompile(`^(?:/v1\.[0-9]{1,2})?/version$`)
	inspectPath = regexp.MustCompile(`^(?:/v1\.[0-9]{1,2})?/containers/([a-zA-Z0-9][a-zA-Z0-9_.-]{0,127})/json$`)
	headerName  = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // a token, in RFC 9110
	willPath    = regexp.MustCompile(`^/dockreg/will(?:/([0-9a-f]{1,16}))?$`)
)

// refusal is an error with a status of its own.
type refusal struct {
	status int
	error
}

func (r *refusal) Unwrap() error { return r.error }

func refuse(status int, err error) error { return &refusal{status, err} }

var (
	errForbidden = errors.New("not to be asked here; what may be asked is /_ping, /version and /containers/self/json")
	errBody      = errors.New("a request with a body; none has one here")
	errWritable  = errors.New("the container may write to the folder of this service's socket, and so put another one in its place; mount it read-only: docker run -v FOLDER:FOLDER:ro …")
	errHeader    = errors.New("a header that is not well-formed")
)

// answer answers one request. An error is answered by its text.
func (s *Service) answer(ctx context.Context, c *conn, r *http.Request) (reply, error) {
	get := r.Method == http.MethodGet
	path := r.RequestURI
	inspect, will := inspectPath.FindStringSubmatch(path), willPath.FindStringSubmatch(path)
	switch {
	case !wellFormed(r.Header):
		return reply{}, refuse(http.StatusForbidden, errHeader)
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return reply{}, refuse(http.StatusForbidden, errBody)
	case get && inspect != nil:
		return s.inspect(ctx, c.caller, inspect[1])
	case will != nil:
		return s.answerWill(ctx, c, r.Method, will[1])
	case (get || r.Method == http.MethodHead) && pingPath.MatchString(path):
		return reply{header: "Api-Version: " + apiVersion + "\r\nOstype: " + runtime.GOOS + "\r\n", body: []byte("OK")}, nil
	case get && versionPath.MatchString(path):
		return asJSON(map[string]string{
			"Version": s.Version, "ApiVersion": apiVersion, "MinAPIVersion": "1.24", "Os": runtime.GOOS, "Arch": runtime.GOARCH,
		})
	}
	return reply{}, refuse(http.StatusForbidden, errForbidden)
}

// wellFormed says whether headers are what they seem to be, as http.ReadRequest does not:
// a "Content-Length " is none.
func wellFormed(headers http.Header) bool {
	for name, values := range headers {
		if !headerName.MatchString(name) || strings.ContainsFunc(strings.Join(values, ""), func(c rune) bool {
			return c < ' ' && c != '\t' || c == 0x7f
		}) {
			return false
		}
	}
	return true
}

// inspect answers what a container asks about itself.
func (s *Service) inspect(ctx context.Context, who *caller, asked string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	own, network, err := s.askDocker(ctx, who)
	if err != nil {
		return reply{}, err
	}
	switch {
	case asked == "self" || named(own, asked):
		return asJSON(reduce(own))
	case named(network, asked):
		return asJSON(reduce(network))
	}
	// Docker's words, whether there is such a container or not.
	return reply{}, refuse(http.StatusNotFound, errors.New("No such container: "+asked))
}

// named says whether Docker would take a text for this container's.
func named(c container.InspectResponse, text string) bool {
	return strings.HasPrefix(c.ID, text) || strings.TrimPrefix(c.Name, "/") == text
}

// askDocker returns what Docker says about the container that the caller runs in, and
// about the one whose network that one uses, which is the same except with
// --network container:X.
func (s *Service) askDocker(ctx context.Context, who *caller) (own, network container.InspectResponse, err error) {
	now, err := who.look(s.containers.cgroupsOf)
	if err != nil {
		return own, network, refuse(http.StatusForbidden, err)
	}
	id, err := s.containers.find(ctx, now)
	if errors.Is(err, errNoContainer) || errors.Is(err, errSeveral) || errors.Is(err, errHidden) {
		err = refuse(http.StatusForbidden, err)
	}
	if err != nil {
		return own, network, err
	}
	if own, err = s.Engine.Inspect(ctx, id); err != nil {
		return own, network, err
	}
	if own.State == nil || !own.State.Running { // whoever asks, it is not what ran there
		return own, network, refuse(http.StatusForbidden, errNoContainer)
	}
	if s.mayReplace(own) {
		s.refusals.warn(id, time.Now(), errWritable)
	}
	if network = own; own.HostConfig.NetworkMode.IsContainer() {
		network, err = s.Engine.Inspect(ctx, own.HostConfig.NetworkMode.ConnectedContainer())
		if cerrdefs.IsNotFound(err) {
			network, err = own, nil // there is no such network any more
		}
	}
	// What was asked for the caller is for the caller alone.
	if err == nil && who.process.Ended() {
		err = refuse(http.StatusForbidden, errEnded)
	}
	return own, network, err
}

// mayReplace says whether what runs in a container could put a socket of its own in the
// place of this service's.
func (s *Service) mayReplace(c container.InspectResponse) bool {
	for _, m := range c.Mounts {
		if m.RW && s.Folder != "" && strings.HasPrefix(s.Folder+"/", strings.TrimSuffix(m.Source, "/")+"/") {
			return true
		}
	}
	return false
}

func asJSON(value any) (reply, error) {
	body, err := json.Marshal(value)
	return reply{header: "Content-Type: application/json\r\n", body: body}, err
}

// explain is the reply to what was not answered, and the log's word of it.
func (s *Service) explain(c *conn, r *http.Request, now time.Time, err error) reply {
	status := http.StatusServiceUnavailable
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		status = refused.status
	}
	request := fmt.Sprintf("%.20s %.200s", r.Method, r.RequestURI)
	if status == http.StatusForbidden || status == http.StatusNotFound || status == http.StatusTooManyRequests {
		s.refusals.tell(c.share, now, err, "pid", c.caller.pid, "request", request)
	} else {
		s.Log.Debug("no answer", "err", err, "caller", c.share, "pid", c.caller.pid, "request", request)
	}
	said, _ := asJSON(map[string]string{"message": err.Error()})
	said.status = status
	return said
}
