// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	testingclock "k8s.io/utils/clock/testing"
)

// reviews are answered as if "good" were the token of somebody who may read, "other" of somebody who may not, while any other is
// nobody's. The tests against the real API server are in test/integration/controller.
type reviews struct {
	asked int
	fail  error
}

func (r *reviews) token(action clienttesting.Action) (bool, runtime.Object, error) {
	r.asked++
	review := action.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview)
	token := review.Spec.Token
	review.Status = authenticationv1.TokenReviewStatus{
		Authenticated: token == "good" || token == "other", User: authenticationv1.UserInfo{Username: token},
	}
	return true, review, r.fail
}

func (r *reviews) subject(action clienttesting.Action) (bool, runtime.Object, error) {
	r.asked++
	review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
	read := review.Spec.NonResourceAttributes
	review.Status.Allowed = review.Spec.User == "good" && read.Path == "/metrics" && read.Verb == "get"
	return true, review, nil
}

func TestAccess(t *testing.T) {
	r := &reviews{}
	api := fake.NewClientset()
	api.PrependReactor("create", "tokenreviews", r.token)
	api.PrependReactor("create", "subjectaccessreviews", r.subject)
	clock := testingclock.NewFakePassiveClock(time.Unix(1e9, 0))
	a := &access{
		tokens: api.AuthenticationV1().TokenReviews(), reviews: api.AuthorizationV1().SubjectAccessReviews(),
		answers: cache.NewLRUExpireCacheWithClock(remembered, clock),
	}
	handler, err := a.filter(logr.Discard(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) }))
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name, header, method, path string
		fail                       error
		later                      bool
		code, asked                int
	}{
		{name: "no token", code: 401},
		{name: "another scheme", header: "Basic good", code: 401},
		{name: "an empty token", header: "Bearer ", code: 401},
		{name: "two tokens", header: "Bearer good other", code: 401},
		{name: "a token that is longer than any", header: "Bearer " + strings.Repeat("x", longestToken+1), code: 401},
		{name: "nobody's token", header: "Bearer stolen", code: 401, asked: 1},
		{name: "nobody's token again", header: "Bearer stolen", code: 401},
		{name: "somebody who may not", header: "Bearer other", code: 403, asked: 2},
		{name: "somebody who may not, again", header: "Bearer other", code: 403},
		{name: "while the API server is away", header: "Bearer good", fail: errors.New("away"), code: 500, asked: 1},
		{name: "somebody who may", header: "Bearer good", code: 200, asked: 2},
		{name: "somebody who may, again, while the API server is away", header: "bearer good", fail: errors.New("away"), code: 200},
		{name: "another page", header: "Bearer good", path: "/debug", code: 403, asked: 2},
		{name: "another verb", header: "Bearer good", method: http.MethodPost, code: 403, asked: 2},
		{name: "somebody who may, later", header: "Bearer good", later: true, code: 200, asked: 2},
	}
	for _, s := range steps {
		r.asked, r.fail = 0, s.fail
		if s.later {
			clock.SetTime(clock.Now().Add(allowedFor + 1))
		}
		if s.path == "" {
			s.path = "/metrics"
		}
		request := httptest.NewRequestWithContext(t.Context(), s.method, s.path, http.NoBody)
		request.Header.Set("Authorization", s.header)
		got := httptest.NewRecorder()
		handler.ServeHTTP(got, request)
		if got.Code != s.code || r.asked != s.asked || (got.Body.String() == "metrics") != (s.code == http.StatusOK) {
			t.Errorf("%s: %d %q after %d questions, want %d after %d", s.name, got.Code, got.Body, r.asked, s.code, s.asked)
		}
	}
}
