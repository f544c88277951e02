package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"dockreg/sidekick/docker/engine"
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
	willPath    = regexp.MustCompile(`^/dockreg/will/([0-9a-f]{1,16})$`)
	metricsPath = regexp.MustCompile(`^/dockreg/metrics/(0|[1-9][0-9]{0,4})$`)
	wouldPath   = regexp.MustCompile(`^/dockreg/will/for/([][0-9a-f.:]{1,64})$`)
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
	errWritable  = errors.New("it may write to the folder of this service's socket; mount that read-only: docker run -v FOLDER:FOLDER:ro …")
	errHeader    = errors.New("a header that is not well-formed")
)

// answer answers one request. An error is answered by its text.
func (s *Service) answer(ctx context.Context, c *conn, r *http.Request) (reply, error) {
	get := r.Method == http.MethodGet
	path := r.RequestURI
	inspect, will, would := inspectPath.FindStringSubmatch(path), willPath.FindStringSubmatch(path), wouldPath.FindStringSubmatch(path)
	metrics := metricsPath.FindStringSubmatch(path)
	tells := metrics != nil && r.Method == http.MethodPut && len(r.TransferEncoding) == 0
	switch {
	case !wellFormed(r.Header):
		return reply{}, refuse(http.StatusForbidden, errHeader)
	case (r.ContentLength != 0 || len(r.TransferEncoding) > 0) && !tells:
		return reply{}, refuse(http.StatusForbidden, errBody)
	case tells, metrics != nil && r.Method == http.MethodDelete:
		return s.answerMetrics(ctx, c, r, metrics[1])
	case get && inspect != nil:
		return s.inspect(ctx, c.caller, inspect[1])
	case will != nil && !get:
		return s.answerWill(ctx, c, r.Method, will[1])
	case would != nil && get:
		return s.answerWill(ctx, c, r.Method, would[1])
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
	networks, err := s.askDocker(ctx, who)
	if err != nil {
		return reply{}, err
	}
	for _, c := range networks { // the own one first
		if asked == "self" || named(c, asked) {
			return asJSON(reduce(c))
		}
	}
	// Docker's words, whether there is such a container or not.
	return reply{}, refuse(http.StatusNotFound, errors.New("No such container: "+asked))
}

// named says whether Docker would take a text for this container's.
func named(c container.InspectResponse, text string) bool {
	return strings.HasPrefix(c.ID, text) || nameOf(c) == text
}

// askDocker returns what Docker says about the container that the caller runs in, and with
// --network container:X behind it what it says about X, up to the one whose network it is.
func (s *Service) askDocker(ctx context.Context, who *caller) (networks []container.InspectResponse, err error) {
	first, err := s.own(ctx, who)
	if err != nil {
		return nil, err
	}
	own, err := s.Engine.Inspect(ctx, first.container)
	if err != nil {
		return nil, &unansweredError{"Docker", err}
	}
	if own.State == nil || !own.State.Running { // whoever asks, it is not what ran there
		return nil, refuse(http.StatusForbidden, errNoContainer)
	}
	s.containers.goesBy(ctx, own.ID, nameOf(own))
	networks, err = engine.Networks(ctx, own, s.Engine.Inspect)
	if err != nil && !cerrdefs.IsNotFound(err) { // or there is no such network any more
		return nil, &unansweredError{"Docker", err}
	}
	// What was asked for the caller is for the caller alone.
	if who.process.Ended() {
		return nil, refuse(http.StatusForbidden, errEnded)
	}
	s.checkMounts(own.ID, who.pid)
	return networks, nil
}

// own returns the first process of the container that the caller runs in.
func (s *Service) own(ctx context.Context, who *caller) (*firstProcess, error) {
	now, err := who.look(s.containers.cgroupsOf)
	if err != nil {
		return nil, refuse(http.StatusForbidden, err)
	}
	first, err := s.containers.find(ctx, now)
	switch {
	case errors.Is(err, errNoContainer), errors.Is(err, errSeveral), errors.Is(err, errHidden):
		return nil, refuse(http.StatusForbidden, err)
	case err != nil:
		return nil, &unansweredError{"Docker", err}
	}
	return first, nil
}

// checkMounts warns of a container in which a process could put a socket of its own in the
// place of this service's.
func (s *Service) checkMounts(id string, pid int) {
	if s.folder == (folder{}) {
		return
	}
	if mounts, err := mountsOf(strconv.Itoa(pid)); err == nil && s.folder.writable(mounts) {
		s.refusals.warn(id, time.Now(), errWritable)
	}
}

func asJSON(value any) (reply, error) {
	body, err := json.Marshal(value)
	return reply{header: "Content-Type: application/json\r\n", body: body}, err
}

// unansweredError says that Docker or etcd could not be asked.
type unansweredError struct {
	who string
	error
}

func (e *unansweredError) Unwrap() error { return e.error }

// explain is the reply to what was not answered, and the log's word of it.
func (s *Service) explain(c *conn, r *http.Request, now time.Time, err error) reply {
	status, text := http.StatusServiceUnavailable, err.Error()
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		status = refused.status
	}
	request := fmt.Sprintf("%.20s %.200s", r.Method, r.RequestURI)
	unanswered := (*unansweredError)(nil)
	switch {
	case errors.As(err, &unanswered): // what the host has to mend is not the container's
		text = "dockreg host can't ask " + unanswered.who + "; its log says why"
		s.refusals.fault(unanswered.who, now, unanswered.error)
	case errors.Is(err, errNoWills), errors.Is(err, errNoMetrics): // it was said at the start
	case status == http.StatusForbidden, status == http.StatusNotFound, status == http.StatusTooManyRequests:
		s.refusals.refused(c.share, now, err, "pid", c.caller.pid, "request", request)
	default:
		s.Log.Debug("no answer", "err", err, "caller", c.share, "pid", c.caller.pid, "request", request)
	}
	said, _ := asJSON(map[string]string{"message": text})
	said.status = status
	return said
}
