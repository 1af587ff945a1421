// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// podWatches answers the watches of pods one after the other, and others with one that says nothing more.
type podWatches struct {
	asked   chan *metav1.ListOptions
	answers []*watch.FakeWatcher
}

func (p *podWatches) watch(ctx context.Context, _ client.WithWatch, list client.ObjectList, options ...client.ListOption) (watch.Interface, error) {
	if _, ok := list.(*corev1.PodList); !ok {
		silent := watch.NewFakeWithChanSize(1, false)
		silent.Action(watch.Bookmark, podAt("", "1"))
		context.AfterFunc(ctx, silent.Stop)
		return silent, nil
	}
	asked := (&client.ListOptions{}).ApplyOptions(options)
	next := p.answers[0]
	p.answers = p.answers[1:]
	p.asked <- asked.Raw
	return next, nil
}

func podAt(name, version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version}}
}

// TestRecorderGoesOn: a watch that the API server ends goes on from its last version, and changes that are not kept any more are told.
func TestRecorderGoesOn(t *testing.T) {
	first, second := watch.NewFakeWithChanSize(2, false), watch.NewFakeWithChanSize(2, false)
	first.Add(podAt("a", "5"))
	first.Modify(podAt("a", "7"))
	p := &podWatches{asked: make(chan *metav1.ListOptions, 2), answers: []*watch.FakeWatcher{first, second}}
	r, err := Record(t.Context(), fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{Watch: p.watch}).Build(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	<-p.asked
	first.Stop()
	if again := <-p.asked; again.ResourceVersion != "7" || again.SendInitialEvents != nil {
		t.Errorf("went on from %+v", again)
	}
	second.Delete(podAt("a", "8"))
	history := func(n int) (all []Change, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ended := retry(ctx, func() error {
			if all, err = r.History(); len(all) < n && err == nil {
				return context.DeadlineExceeded
			}
			return nil
		})
		if ended != nil {
			t.Fatalf("recorded %d changes, want %d", len(all), n)
		}
		return all, err
	}
	if all, err := history(3); err != nil || all[2].Version != 8 || all[2].Kind != watch.Deleted {
		t.Errorf("recorded %v, error %v", all, err)
	}
	expired := apierrors.NewResourceExpired("too old").Status()
	second.Error(&expired)
	if _, err := history(4); !apierrors.IsResourceExpired(err) {
		t.Errorf("error %v, want that changes are missing", err)
	}
}
