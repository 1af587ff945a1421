// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/test/brokers"
)

// canary is what must never be told.
const canary = "c4n4ry"

// serverAt is a Prometheus that is asked with a token, where there is one.
func serverAt(address string, secrets client.Reader, token, ca string) *server {
	key := serverKey{namespace: "default", address: address}
	if token != "" {
		key.token = v1alpha1.SecretKeyReference{Name: "prometheus", Key: token}
	}
	if ca != "" {
		key.ca = v1alpha1.SecretKeyReference{Name: "prometheus", Key: ca}
	}
	return newServer(key, secrets, anywhere, clock.RealClock{})
}

func prometheusSecret(data map[string]string) client.Client {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "prometheus"}, Data: map[string][]byte{}}
	for key, value := range data {
		secret.Data[key] = []byte(value)
	}
	return fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(secret).Build()
}

// answered is what an answer of a Prometheus is taken for, and how much reading it allocated.
func answered(t *testing.T, s *server, within time.Duration) (milli int64, fault observe.Reading, allocated uint64) {
	t.Helper()
	t.Cleanup(s.close)
	ctx, cancel := contextFor(t, within)
	defer cancel()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	milli, fault = s.ask(ctx, "up")
	runtime.ReadMemStats(&after)
	return milli, fault, after.TotalAlloc - before.TotalAlloc
}

func result(kind, value string) string {
	return fmt.Sprintf(`{"status":"success","data":{"resultType":%q,"result":%s}}`, kind, value)
}

func vector(values ...string) string {
	var all []string
	for i, v := range values {
		all = append(all, fmt.Sprintf(`{"metric":{"n":"%d"},"value":[1700000000,%q]}`, i, v))
	}
	return result("vector", "["+strings.Join(all, ",")+"]")
}

func warned(warning string) string {
	return strings.TrimSuffix(vector("7"), "}") + fmt.Sprintf(`,"warnings":[%q]}`, warning)
}

// TestAnswersOfPrometheus: a single number is a value, and nothing else is, least of all zero.
func TestAnswersOfPrometheus(t *testing.T) {
	cases := map[string]struct {
		body  string
		milli int64
		state observe.ReadingState
	}{
		"one series":                {body: vector("7"), milli: 7000},
		"a scalar":                  {body: result("scalar", `[1700000000,"0.25"]`), milli: 250},
		"zero":                      {body: vector("0")},
		"less than a thousandth":    {body: vector("1e-9"), milli: 1},
		"more than can be counted":  {body: vector("1e300"), milli: 1 << 60},
		"no series":                 {body: vector(), state: observe.ReadingNotANumber},
		"two series":                {body: vector("1", "2"), state: observe.ReadingNotANumber},
		"not a number":              {body: vector("NaN"), state: observe.ReadingNotANumber},
		"infinite":                  {body: vector("+Inf"), state: observe.ReadingNotANumber},
		"below zero":                {body: vector("-1"), state: observe.ReadingNotANumber},
		"a range":                   {body: result("matrix", `[{"metric":{},"values":[[1700000000,"1"]]}]`), state: observe.ReadingNotANumber},
		"a string":                  {body: result("string", `[1700000000,"7"]`), state: observe.ReadingAnswerInvalid},
		"a series that is none":     {body: result("vector", `[null]`), state: observe.ReadingNotANumber},
		"a histogram":               {body: result("vector", `[{"metric":{},"histogram":[1700000000,{"count":"7","sum":"7","buckets":[]}]}]`), state: observe.ReadingNotANumber},
		"another kind":              {body: result("canary-"+canary, `[]`), state: observe.ReadingAnswerInvalid},
		"another type":              {body: result("vector", `"`+canary+`"`), state: observe.ReadingAnswerInvalid},
		"a value that is no number": {body: vector(canary), state: observe.ReadingAnswerInvalid},
		"a page":                    {body: "<html>" + canary, state: observe.ReadingAnswerInvalid},
		"nothing":                   {body: "", state: observe.ReadingAnswerInvalid},
		"another object":            {body: `{"` + canary + `":1}`, state: observe.ReadingAnswerInvalid},
		"a part":                    {body: warned("canary: " + canary + " does not answer"), state: observe.ReadingAnswerInvalid},
		"a remark on the query":     {body: warned("PromQL info: metric might not be a counter"), milli: 7000},
		"an error":                  {body: `{"status":"error","errorType":"bad_data","error":"` + canary + `"}`, state: observe.ReadingQueryInvalid},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tc.body) }))
			t.Cleanup(web.Close)
			milli, fault, _ := answered(t, serverAt(web.URL, nil, "", ""), 3*time.Second)
			if fault.State != tc.state || milli != tc.milli {
				t.Errorf("got %d, %+v, want %d, %q", milli, fault, tc.milli, tc.state)
			}
			if told := fmt.Sprintf("%+v", fault); strings.Contains(told, canary) {
				t.Errorf("tells %s", told)
			}
		})
	}
}

// TestHostilePrometheus: whatever a server does becomes one of a few states, in bounded time and memory.
func TestHostilePrometheus(t *testing.T) {
	code := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, canary, n) }
	}
	endless := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(w, text)
			}
		}
	}
	cases := map[string]struct {
		handle http.HandlerFunc
		want   observe.ReadingState
	}{
		"gigabytes": {endless(strings.Repeat(" ", 1<<16)), observe.ReadingAnswerInvalid},
		"series without end": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[`)
			endless(strings.Repeat("null,", 1<<10))(w, r)
		}, observe.ReadingAnswerInvalid},
		"as many as fit": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, result("vector", "["+strings.Repeat("{},", 300<<10)+"{}]"))
		}, observe.ReadingNotANumber},
		"huge headers": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, observe.ReadingAnswerInvalid},
		"silence": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // Before that, no end of the connection is seen.
			<-r.Context().Done()
		}, observe.ReadingUnreachable},
		"half an answer": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, `{"status":`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, observe.ReadingUnreachable},
		"unauthorised":  {code(http.StatusUnauthorized), observe.ReadingRefuses},
		"forbidden":     {code(http.StatusForbidden), observe.ReadingRefuses},
		"not found":     {code(http.StatusNotFound), observe.ReadingAnswerInvalid},
		"an error":      {code(http.StatusInternalServerError), observe.ReadingAnswerInvalid},
		"no content":    {code(http.StatusNoContent), observe.ReadingAnswerInvalid},
		"bad and words": {code(http.StatusBadRequest), observe.ReadingAnswerInvalid},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(tc.handle)
			t.Cleanup(web.Close)
			t.Cleanup(web.CloseClientConnections)
			_, fault, allocated := answered(t, serverAt(web.URL, nil, "", ""), time.Second)
			if fault != (observe.Reading{State: tc.want}) {
				t.Errorf("got %+v, want %q", fault, tc.want)
			}
			if allocated > 128<<20 {
				t.Errorf("allocated %d bytes", allocated)
			}
		})
	}
	for name, tc := range map[string]struct {
		address string
		want    observe.ReadingState
	}{
		"another protocol": {"http://" + impostor(t, once("-ERR unknown command\r\n")), observe.ReadingAnswerInvalid},
		"no TLS":           {"https://" + impostor(t, once("-ERR no TLS\r\n")), observe.ReadingUnreachable},
		"no such name":     {"http://prometheus.invalid:9090", observe.ReadingUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			if _, fault, _ := answered(t, serverAt(tc.address, nil, "", ""), time.Second); fault.State != tc.want {
				t.Errorf("got %+v, want %q", fault, tc.want)
			}
		})
	}
}

// TestPrometheusAddresses: the guard decides about the address that is connected to, also where a proxy is set.
func TestPrometheusAddresses(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("connected to") }))
	t.Cleanup(web.Close)
	s := serverAt(strings.Replace(web.URL, "127.0.0.1", "localhost", 1), nil, "", "")
	s.guard = NewGuard()
	if _, fault, _ := answered(t, s, 3*time.Second); fault.State != observe.ReadingForbidden {
		t.Errorf("got %+v", fault)
	}
}

// TestPrometheusService: a host without a dot is a Service of the resource's namespace, and asked for there by each namespace.
func TestPrometheusService(t *testing.T) {
	of := func(namespace, address string) serverKey {
		return serverKeyOf(namespace, &v1alpha1.PrometheusMetric{Address: address})
	}
	if of("a", "http://prometheus:9090") == of("b", "http://prometheus:9090") {
		t.Error("Services of two namespaces are taken for one")
	}
	if of("a", "http://prometheus.monitoring:9090") == of("b", "http://prometheus.monitoring:9090") {
		t.Error("two namespaces share connections")
	}
	if got := of("a", "http://prometheus:9090"); got.namespace != "a" {
		t.Errorf("looked up in %q", got.namespace)
	}
}

// TestPrometheusToken: a token is sent, is never told, goes nowhere else, and is read anew where it is refused.
func TestPrometheusToken(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("followed, with %q", r.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)
	accepted, redirected := canary+"-1", 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer " + accepted:
			_, _ = io.WriteString(w, vector("7"))
		case "Bearer " + canary + "-moved":
			redirected++
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		default:
			http.Error(w, r.Header.Get("Authorization"), http.StatusUnauthorized)
		}
	}))
	t.Cleanup(web.Close)
	secrets := prometheusSecret(map[string]string{
		"token": canary + "-1\n", "moved": canary + "-moved", "lines": canary + "\r\nHost: x", "empty": "",
	})
	s := serverAt(web.URL, secrets, "token", "")
	is := func(what string, s *server, milli int64, want observe.ReadingState) {
		t.Helper()
		got, fault, _ := answered(t, s, 3*time.Second)
		if got != milli || fault.State != want || strings.Contains(fmt.Sprintf("%+v %s", fault, s.key), canary) {
			t.Errorf("%s: got %d, %+v", what, got, fault)
		}
	}
	is("a token", s, 7000, "")
	accepted = canary + "-2"
	is("another one is accepted by now", s, 0, observe.ReadingRefuses)
	if err := secrets.Update(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "prometheus"}, Data: map[string][]byte{"token": []byte(accepted)},
	}); err != nil {
		t.Fatal(err)
	}
	is("and is in the Secret", s, 7000, "")
	secrets = prometheusSecret(map[string]string{"moved": canary + "-moved", "lines": canary + "\r\nHost: x", "empty": ""})
	is("a redirect", serverAt(web.URL, secrets, "moved", ""), 0, observe.ReadingAnswerInvalid)
	if redirected != 1 {
		t.Errorf("redirected %d times", redirected)
	}
	is("a token with lines", serverAt(web.URL, secrets, "lines", ""), 0, observe.ReadingSecretInvalid)
	is("an empty token", serverAt(web.URL, secrets, "empty", ""), 0, observe.ReadingSecretInvalid)
	is("no such key", serverAt(web.URL, secrets, "other", ""), 0, observe.ReadingSecretKeyMissing)
}

// TestPrometheusTLS: certificates are verified, by those of the resource where it names some.
func TestPrometheusTLS(t *testing.T) {
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, vector("7")) }))
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	t.Cleanup(web.Close)
	secrets := prometheusSecret(map[string]string{
		"ca": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})), "noise": canary,
	})
	for ca, want := range map[string]observe.ReadingState{"": observe.ReadingUntrusted, "ca": "", "noise": observe.ReadingSecretInvalid} {
		if _, fault, _ := answered(t, serverAt(web.URL, secrets, "", ca), 3*time.Second); fault.State != want {
			t.Errorf("with %q: got %+v, want %q", ca, fault, want)
		}
	}
}

// TestRealPrometheus asks the Prometheus of Debian.
func TestRealPrometheus(t *testing.T) {
	address := brokers.StartPrometheus(t).Address
	ask := func(query string) (int64, observe.Reading) {
		s := serverAt("http://"+address, nil, "", "")
		defer s.close()
		ctx, cancel := contextFor(t, callLimit)
		defer cancel()
		return s.ask(ctx, query)
	}
	for query, want := range map[string]struct {
		milli int64
		state observe.ReadingState
	}{
		`sum(up{job="self"})`: {milli: 1000}, "vector(7)": {milli: 7000}, "scalar(vector(0.25))": {milli: 250}, "7": {milli: 7000}, "vector(0)": {},
		`{job="self"}`:         {state: observe.ReadingNotANumber},
		"nothing_of_that_name": {state: observe.ReadingNotANumber},
		"vector(0)/0":          {state: observe.ReadingNotANumber},
		"vector(1)/0":          {state: observe.ReadingNotANumber},
		"-vector(1)":           {state: observe.ReadingNotANumber},
		"up[5m]":               {state: observe.ReadingNotANumber},
		`"7"`:                  {state: observe.ReadingAnswerInvalid},
		"sum(":                 {state: observe.ReadingQueryInvalid},
		`up * on(nothing) group_left() {job!=""}`: {state: observe.ReadingQueryInvalid},
	} {
		if milli, fault := ask(query); milli != want.milli || fault.State != want.state {
			t.Errorf("%s: got %d, %+v, want %d, %q", query, milli, fault, want.milli, want.state)
		}
	}
}

func contextFor(t *testing.T, within time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), within)
}
