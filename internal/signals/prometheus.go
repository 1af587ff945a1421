// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	promapi "github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
)

const (
	// mostAnswer bounds the answer to a query, in bytes, and mostToken a token.
	mostAnswer, mostToken = 1 << 20, 16 << 10
	// mostConnections is how many queries a Prometheus works on at a time, so that a slow one does not keep others waiting.
	mostConnections = 4
	// mostSeries is how many series are asked for: one more than an answer may have.
	mostSeries = 2
)

// serverKey is where a Prometheus is and who asks it. Namespaces share no connection, so that none keeps others waiting.
type serverKey struct {
	namespace, address string
	token, ca          v1alpha1.SecretKeyReference
}

func serverKeyOf(namespace string, m *v1alpha1.PrometheusMetric) serverKey {
	key := serverKey{namespace: namespace, address: m.Address}
	if m.BearerTokenFrom != nil {
		key.token = m.BearerTokenFrom.SecretKeyRef
	}
	if m.CAFrom != nil {
		key.ca = m.CAFrom.SecretKeyRef
	}
	return key
}

func (k serverKey) hasSecrets() bool { return k.token.Name != "" || k.ca.Name != "" }

// prometheusTarget reads http://host:port/path.
func prometheusTarget(text string) (t target, fault string) {
	t, p, fault := managementTarget(text)
	if p.hasUser {
		return target{}, "has a user"
	}
	return t, fault
}

// server is a Prometheus.
type server struct {
	key     serverKey
	secrets client.Reader
	guard   Guard
	clock   clock.PassiveClock
	// inquiries is how many are made of it.
	inquiries int
	// slots has room for the queries that are made at a time.
	slots chan struct{}

	mu sync.Mutex
	// readAt is when the Secrets were last read, zero when that is to be done now.
	readAt    time.Time
	token, ca string
	api       promv1.API
	transport *http.Transport
}

func newServer(key serverKey, secrets client.Reader, guard Guard, c clock.PassiveClock) *server {
	return &server{key: key, secrets: secrets, guard: guard, clock: c, slots: make(chan struct{}, mostConnections)}
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
}

// ask returns the value of a query in thousandths. A fault says why there is none. The time limit begins when it is the query's turn. It
// survives whatever an answer does to the client that reads it.
func (s *server) ask(ctx context.Context, query string) (milli int64, fault observe.Reading) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return 0, observe.Reading{State: observe.ReadingUnreachable}
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	defer func() {
		if recovered := recover(); recovered != nil {
			milli, fault = 0, observe.Reading{State: observe.ReadingAnswerInvalid}
		}
	}()
	api, fault := s.client(ctx)
	if fault.State != "" {
		return 0, fault
	}
	value, warnings, err := api.Query(ctx, query, time.Time{}, promv1.WithTimeout(callLimit), promv1.WithLimit(mostSeries))
	if err != nil {
		fault.State = readingStateOf(err)
		if fault.State == observe.ReadingRefuses {
			s.readAgain()
		}
		return 0, fault
	}
	milli, is := single(value)
	switch {
	case slices.ContainsFunc(warnings, isPartial):
		return 0, observe.Reading{State: observe.ReadingAnswerInvalid}
	case !is:
		fault.State = observe.ReadingNotANumber
	}
	return milli, fault
}

// isPartial says whether a warning may mean that a part of the data is missing, as when one of several stores does not answer. Those
// of PromQL are about the query.
func isPartial(warning string) bool { return !strings.HasPrefix(warning, "PromQL ") }

// readAgain has the Secrets read with the next query: there may be another token by now.
func (s *server) readAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readAt = time.Time{}
}

// client is one with the token and the certificates that the Secrets hold, which are read once a minute.
func (s *server) client(ctx context.Context) (promv1.API, observe.Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.api != nil && (!s.key.hasSecrets() || s.clock.Since(s.readAt) < secretInterval) {
		return s.api, observe.Reading{}
	}
	token, ca, fault, err := s.credentials(ctx)
	switch {
	case err != nil && s.api != nil:
		return s.api, observe.Reading{} // As before, while the API server does not give the Secret.
	case err != nil:
		return nil, observe.Reading{State: observe.ReadingNotReadYet}
	case fault.State != "":
		return nil, fault
	}
	if s.api == nil || token != s.token || ca != s.ca {
		if fault := s.connect(token, ca); fault.State != "" {
			return nil, fault
		}
	}
	s.readAt = s.clock.Now()
	return s.api, observe.Reading{}
}

// credentials reads what the Secrets hold.
func (s *server) credentials(ctx context.Context) (token, ca string, fault observe.Reading, err error) {
	token, fault, err = s.secret(ctx, s.key.token)
	if err != nil || fault.State != "" {
		return "", "", fault, err
	}
	if !isToken(token, s.key.token) {
		return "", "", observe.Reading{State: observe.ReadingSecretInvalid, Secret: s.key.token}, nil
	}
	ca, fault, err = s.secret(ctx, s.key.ca)
	return token, ca, fault, err
}

// secret reads a key of a Secret; of no Secret it is empty.
func (s *server) secret(ctx context.Context, ref v1alpha1.SecretKeyReference) (string, observe.Reading, error) {
	if ref.Name == "" {
		return "", observe.Reading{}, nil
	}
	text, fault, err := value(ctx, s.secrets, s.key.namespace, ref)
	return strings.TrimSpace(text), observe.Reading{State: observe.ReadingState(fault.State), Secret: fault.Secret}, err
}

// isToken says whether a text can stand in a header, where one is asked for.
func isToken(text string, ref v1alpha1.SecretKeyReference) bool {
	other := func(r rune) bool { return r <= ' ' || r > '~' }
	return ref.Name == "" || text != "" && len(text) <= mostToken && !strings.ContainsFunc(text, other)
}

// connect makes a client. It connects with the first query.
func (s *server) connect(token, ca string) observe.Reading {
	t, fault := prometheusTarget(s.key.address)
	if fault != "" {
		return observe.Reading{State: observe.ReadingAnswerInvalid}
	}
	t = t.in(s.key.namespace)
	trusted := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.key.ca.Name != "" {
		trusted.RootCAs = x509.NewCertPool()
		if !trusted.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return observe.Reading{State: observe.ReadingSecretInvalid, Secret: s.key.ca}
		}
	}
	transport := &http.Transport{
		// No proxy of the operator's environment: the guard would see the proxy's address.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer(s.guard, callLimit).DialContext(ctx, network, t.dialled())
		},
		TLSClientConfig:        trusted,
		TLSHandshakeTimeout:    callLimit,
		MaxConnsPerHost:        mostConnections,
		IdleConnTimeout:        secretInterval,
		MaxResponseHeaderBytes: mostHeaders,
		DisableCompression:     true,
	}
	api, err := promapi.NewClient(promapi.Config{Address: s.key.address, Client: &http.Client{
		Transport: &tokenTransport{RoundTripper: boundedTransport{transport}, token: token}, CheckRedirect: stay,
	}})
	if err != nil {
		return observe.Reading{State: observe.ReadingAnswerInvalid}
	}
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
	s.token, s.ca, s.transport, s.api = token, ca, transport, promv1.NewAPI(api)
	return observe.Reading{}
}

// stay follows no redirect.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// tokenTransport sends a token, where there is one, and tells refusals from other answers.
type tokenTransport struct {
	http.RoundTripper

	token string
}

// RoundTrip implements http.RoundTripper.
func (t *tokenTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if t.token != "" {
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", "Bearer "+t.token)
	}
	response, err := t.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	// A POST that is forbidden is tried as a GET.
	if code := response.StatusCode; code == http.StatusUnauthorized || code == http.StatusForbidden && request.Method == http.MethodGet {
		_ = response.Body.Close()
		return nil, errRefused
	}
	return response, nil
}

// boundedTransport bounds answers.
type boundedTransport struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b boundedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(request)
	if err == nil {
		response.Body = &boundedBody{ReadCloser: response.Body, left: mostAnswer}
	}
	return response, err
}

// boundedBody fails where an answer is longer than it may be.
type boundedBody struct {
	io.ReadCloser

	left int
}

// Read implements io.Reader.
func (b *boundedBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if b.left -= n; b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

// readingStateOf is all that is passed on of an error of a query.
func readingStateOf(err error) observe.ReadingState {
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		err = outer.Err // It says of every error that it is one of the network.
	}
	if answer := (*promv1.Error)(nil); errors.As(err, &answer) {
		switch answer.Type {
		case promv1.ErrBadData, promv1.ErrExec:
			return observe.ReadingQueryInvalid
		case promv1.ErrTimeout, promv1.ErrCanceled:
			return observe.ReadingUnreachable
		case promv1.ErrBadResponse, promv1.ErrServer, promv1.ErrClient:
		}
		return observe.ReadingAnswerInvalid
	}
	return observe.ReadingState(stateOf(err))
}

// single is the value of an answer that is a single number of at least 0, in thousandths.
func single(answer model.Value) (milli int64, is bool) {
	switch v := answer.(type) {
	case *model.Scalar:
		return thousandths(float64(v.Value))
	case model.Vector:
		if len(v) == 1 && v[0] != nil && v[0].Histogram == nil {
			return thousandths(float64(v[0].Value))
		}
	}
	return 0, false
}

// mostMilli is where values end: it is left as a whole number by a conversion to floating point.
const mostMilli = 1 << 60

// thousandths of a number of at least 0. One above 0 is a thousandth at least: it is not nothing.
func thousandths(value float64) (milli int64, is bool) {
	switch {
	case math.IsNaN(value), math.IsInf(value, 0), value < 0:
		return 0, false
	case value == 0:
		return 0, true
	}
	return int64(min(max(math.Round(value*1000), 1), mostMilli)), true
}

// String is what may be told of a server.
func (k serverKey) String() string {
	t, fault := prometheusTarget(k.address)
	if fault != "" {
		return fmt.Sprintf("an address that %s", fault)
	}
	return t.String()
}
