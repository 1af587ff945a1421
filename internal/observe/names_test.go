// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// asked counts requests to an API server that has the objects.
type asked struct {
	lists, gets atomic.Int32
	client.WithWatch
}

func asking(objects ...client.Object) *asked {
	a := &asked{}
	a.WithWatch = fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			a.lists.Add(1)
			return c.List(ctx, list, options...)
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			a.gets.Add(1)
			return c.Get(ctx, key, object, options...)
		},
	}).Build()
	return a
}

func shop(i int) *v1alpha1.MemoryBudget {
	return testutil.MakeMemoryBudget(fmt.Sprintf("shop-%d", i), "default").UID(fmt.Sprint(i)).Obj()
}

// gather reads what there is of a resource that needs a Deployment of its name.
func gather(t *testing.T, reader *observe.Reader, mb *v1alpha1.MemoryBudget) []observe.Foreign {
	t.Helper()
	s, err := reader.Gather(t.Context(), mb, []observe.Child{{Kind: "Deployment", Name: mb.Name}, {Kind: "ConfigMap", Name: mb.Name}})
	if err != nil {
		t.Error(err)
	}
	return s.Foreign
}

// TestManyNewResources: objects of others are seen, without a request for each child of each resource.
func TestManyNewResources(t *testing.T) {
	const many = 50
	var all []client.Object
	for i := range many {
		all = append(all, shop(i))
	}
	foreign := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-7"}}
	cached, live := cache().WithObjects(all...).Build(), asking(foreign)
	clock := testingclock.NewFakeClock(time.Unix(1e9, 0))
	reader := &observe.Reader{Cache: cached, Live: live, Clock: clock}
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() {
			if found := gather(t, reader, shop(i)); (len(found) > 0) != (i == 7) {
				t.Errorf("shop-%d: %v", i, found)
			}
		})
	}
	group.Wait()
	if lists, gets := live.lists.Load(), live.gets.Load(); lists != 4 || gets != 1 {
		t.Errorf("%d lists, %d single requests: want one list of each kind, and one request for the object of somebody else", lists, gets)
	}
	if err := live.Create(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-50"}}); err != nil {
		t.Fatal(err)
	}
	if found := gather(t, reader, shop(50)); len(found) != 1 {
		t.Error("an object that was there before the resource is not seen")
	}
	changed := shop(8)
	changed.Generation++
	if err := live.Create(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-8"}}); err != nil {
		t.Fatal(err)
	}
	if found := gather(t, reader, changed); len(found) != 1 {
		t.Error("an object that was there before the resource was changed is not seen")
	}
	if err := live.Create(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-9"}}); err != nil {
		t.Fatal(err)
	}
	clock.Step(time.Minute)
	if found := gather(t, reader, shop(9)); len(found) != 1 {
		t.Error("an object that was made a minute ago is not seen")
	}
}

// TestNewResourceAmongManyObjects: where there are more names than are asked for, each child is looked up.
func TestNewResourceAmongManyObjects(t *testing.T) {
	foreign := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-1"}}
	more := fake.NewClientBuilder().WithObjects(foreign).WithInterceptorFuncs(interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
			list.SetContinue("there are more")
			return nil
		},
	}).Build()
	reader := &observe.Reader{Cache: cache().Build(), Live: more, Clock: testingclock.NewFakeClock(time.Unix(1e9, 0))}
	if found := gather(t, reader, shop(1)); len(found) != 1 {
		t.Error("an object is not seen that is in no list")
	}
	if found := gather(t, reader, shop(2)); len(found) != 0 {
		t.Errorf("seen: %v", found)
	}
}
