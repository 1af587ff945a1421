// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// kind of a request that is no read.
type kind string

const (
	// kindWrite is what the tests count.
	kindWrite kind = "write"
	// kindLease, kindEvent and kindReview are the leader election's, those that people read, and checks of who asks.
	kindLease  kind = "lease"
	kindEvent  kind = "event"
	kindReview kind = "review"
)

// request is one request that is no read, and what became of it.
type request struct {
	kind kind
	// number among the requests of kindWrite, from 1; 0 for others.
	number int
	// verb is create, apply, patch, update or delete.
	verb                         string
	group, resource, subresource string
	namespace, name              string
	body                         []byte
	// code of the answer, 0 where the request was not sent; message where it was refused.
	code    int
	message string
	// resourceVersion of the object in the answer.
	resourceVersion string
	sent            time.Time
}

func (r *request) String() string {
	resource := r.resource
	if r.subresource != "" {
		resource += "/" + r.subresource
	}
	return fmt.Sprintf("%s %s %s", r.verb, resource, r.name)
}

// mode is what happens at a chosen write.
type mode string

const (
	// crashBefore ends the operator before the write is sent, crashAfter once it was applied.
	crashBefore, crashAfter mode = "CrashBefore", "CrashAfter"
	// replyLost applies the write and breaks the connection; the operator lives on.
	replyLost mode = "ReplyLost"
	// conflict, serverError, forbidden and throttled answer without applying.
	conflict    mode = "Conflict"
	serverError mode = "ServerError"
	forbidden   mode = "Forbidden"
	throttled   mode = "Throttled"
)

// fault is a mode at the write with that number, or, for 0, at the first write of each object and verb.
type fault struct {
	mode mode
	at   int
}

var (
	errDead = errors.New("the operator has been ended")
	errLost = errors.New("connection reset by peer")
)

// tap stands between an operator and the API server.
type tap struct {
	fault fault
	// hit is closed when a fault that cannot be seen in an answer has happened.
	hit chan struct{}

	mu       sync.Mutex
	requests []request
	writes   int
	refused  map[string]bool
	dead     bool
}

func newTap(f fault) *tap {
	return &tap{fault: f, hit: make(chan struct{}), refused: map[string]bool{}}
}

// wrap is a transport.WrapperFunc.
func (t *tap) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) { return t.roundTrip(next, r) })
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (t *tap) roundTrip(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		if t.isDead() {
			return nil, errDead
		}
		return next.RoundTrip(r)
	}
	index, mode, err := t.record(r)
	if err != nil {
		return nil, err
	}
	switch mode {
	case "", crashAfter, replyLost:
	case crashBefore:
		return nil, t.die()
	default:
		return refuse(r, mode), nil
	}
	response, err := next.RoundTrip(r)
	if err == nil {
		err = t.answered(index, response)
	}
	switch mode {
	case crashAfter:
		return nil, t.die()
	case replyLost:
		close(t.hit)
		return nil, errLost
	default:
		return response, err
	}
}

func (t *tap) isDead() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dead
}

// kill lets no further request through.
func (t *tap) kill() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dead = true
}

func (t *tap) die() error {
	t.kill()
	close(t.hit)
	return errDead
}

// record numbers a request and says what is to happen at it.
func (t *tap) record(r *http.Request) (index int, m mode, err error) {
	q, err := parse(r)
	if err != nil {
		return 0, "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead {
		return 0, "", errDead
	}
	q.sent = time.Now()
	if q.kind == kindWrite {
		t.writes++
		q.number = t.writes
		m = t.due(&q)
	}
	t.requests = append(t.requests, q)
	return len(t.requests) - 1, m, nil
}

// due is what is to happen at a write.
func (t *tap) due(q *request) mode {
	if t.fault.at == 0 && t.fault.mode != "" && !t.refused[q.String()] {
		t.refused[q.String()] = true
		return t.fault.mode
	}
	if t.fault.at == q.number {
		return t.fault.mode
	}
	return ""
}

// answered notes what the API server said, and gives the answer back as it was.
func (t *tap) answered(index int, response *http.Response) error {
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	var object struct {
		Message  string
		Metadata struct{ ResourceVersion string }
	}
	if err := json.Unmarshal(body, &object); err != nil {
		return fmt.Errorf("reading an answer: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	q := &t.requests[index]
	q.code, q.resourceVersion = response.StatusCode, object.Metadata.ResourceVersion
	if q.code >= http.StatusBadRequest {
		q.message = object.Message
	}
	return nil
}

// all returns the requests so far of one kind.
func (t *tap) all(of kind) []request {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []request
	for _, q := range t.requests {
		if q.kind == of {
			found = append(found, q)
		}
	}
	return found
}

// count is how many writes there were.
func (t *tap) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.writes
}

// parse reads verb and object from a request, and its body without consuming it.
func parse(r *http.Request) (request, error) {
	q := request{kind: kindWrite, verb: verbOf(r)}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return q, err
		}
		q.body = body
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	q.locate(strings.Split(strings.Trim(r.URL.Path, "/"), "/"))
	switch {
	case q.group == "coordination.k8s.io":
		q.kind = kindLease
	case q.resource == "events":
		q.kind = kindEvent
	case strings.HasSuffix(q.resource, "reviews"):
		q.kind = kindReview
	}
	return q, nil
}

// locate reads the path /api/v1/... or /apis/GROUP/VERSION/...
func (r *request) locate(path []string) {
	if path[0] == "apis" {
		r.group, path = path[1], path[1:]
	}
	path = path[2:]
	if path[0] == "namespaces" && len(path) > 2 {
		r.namespace, path = path[1], path[2:]
	}
	path = slices.Concat(path, []string{"", ""})
	r.resource, r.name, r.subresource = path[0], path[1], path[2]
}

func verbOf(r *http.Request) string {
	switch r.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodDelete:
		return "delete"
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/apply-patch") {
		return "apply"
	}
	return "patch"
}

// refuse is the answer of an API server that does not do what is asked.
func refuse(r *http.Request, m mode) *http.Response {
	status := map[mode]metav1.Status{
		conflict:    {Code: http.StatusConflict, Reason: metav1.StatusReasonConflict},
		serverError: {Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError},
		forbidden:   {Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden},
		throttled:   {Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests},
	}[m]
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	status.Status, status.Message = metav1.StatusFailure, "injected: "+string(m)
	body, err := json.Marshal(status)
	if err != nil {
		panic(err) // A struct of strings always encodes.
	}
	return &http.Response{
		Status: http.StatusText(int(status.Code)), StatusCode: int(status.Code), Request: r,
		Header: http.Header{"Content-Type": {runtime.ContentTypeJSON}}, Body: io.NopCloser(bytes.NewReader(body)),
		ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)),
	}
}
