// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
	"github.com/memorybudget/memorybudget/test/ledger"
	"github.com/memorybudget/memorybudget/test/localcluster"
)

// verified is what the verify container of a healthy pod reports.
const verified = `{"v":1,"hash":"0123456789","tier":"web","python":"3.13.5","django":"4.2.28","celery":"5.5.2",` +
	`"gunicorn":"23.0.0","baselineBytes":62914560,"problems":[]}`

// pods are annotations for simulated pods.
func pods(annotations ...string) *v1alpha1.Pod {
	pod := &v1alpha1.Pod{
		Annotations:                   map[string]string{localcluster.InitMessageAnnotation: verified},
		TerminationGracePeriodSeconds: new(int64(1)),
	}
	for i := 0; i < len(annotations); i += 2 {
		pod.Annotations[annotations[i]] = annotations[i+1]
	}
	return pod
}

// application is the shop without tiers.
func application(memory string) *testutil.MemoryBudgetWrapper {
	return testutil.MakeMemoryBudget("shop", "").Memory(memory).
		Django("core.settings.production").CeleryApp("core").Redis("shop-broker", "url").Pod(pods())
}

// shop is the application of the examples in small: a paced web tier and gated worker and ml tiers.
func shop() *testutil.MemoryBudgetWrapper {
	return application("2Gi").Tier(web(1, 2, 4), worker(0, 2, 8), ml(0, 1, 2))
}

// web tiers have pods of 256Mi, so do workers; ml tiers of 512Mi.
func web(least, desired, most int32) v1alpha1.Tier {
	return testutil.MakeTier("web", v1alpha1.RoleWeb).Replicas(least, desired, most).
		Gunicorn("core.wsgi:application").Obj()
}

func worker(least, desired, most int32) v1alpha1.Tier {
	return testutil.MakeTier("worker", v1alpha1.RoleWorker).Replicas(least, desired, most).Celery("celery", "emails").Obj()
}

func ml(least, desired, most int32) v1alpha1.Tier {
	return testutil.MakeTier("ml", v1alpha1.RoleML).Memory("512Mi").Replicas(least, desired, most).Celery("ml").
		CeleryOptions(func(c *v1alpha1.Celery) {
			c.Pool, c.Tasks = v1alpha1.PoolSolo, []string{"recommendations.tasks.train_*"}
		}).Obj()
}

// tier finds a tier of a spec.
func tier(mb *v1alpha1.MemoryBudget, name string) *v1alpha1.Tier {
	for i := range mb.Spec.Tiers {
		if mb.Spec.Tiers[i].Name == name {
			return &mb.Spec.Tiers[i]
		}
	}
	panic("no tier " + name)
}

// budget reads the shop.
func (s *scene) budget() *v1alpha1.MemoryBudget {
	s.t.Helper()
	return get(s, "shop", &v1alpha1.MemoryBudget{})
}

// awaitStatus waits until the shop's status is for its present spec and satisfies a condition.
func (s *scene) awaitStatus(what string, check func(*v1alpha1.MemoryBudget) error) *v1alpha1.MemoryBudget {
	s.t.Helper()
	var mb *v1alpha1.MemoryBudget
	eventually(s.t, what, func(context.Context) error {
		object := s.recorder.Seen("MemoryBudget/shop", s.edited)
		if object == nil {
			return errors.New("not seen yet")
		}
		mb = object.(*v1alpha1.MemoryBudget)
		if mb.Status.ObservedGeneration != mb.Generation {
			return fmt.Errorf("status is for generation %d of %d", mb.Status.ObservedGeneration, mb.Generation)
		}
		return check(mb)
	})
	return mb
}

// awaitSeen waits until the operator has seen the last edit of the resource.
func (s *scene) awaitSeen() {
	s.t.Helper()
	s.awaitStatus("the edit to be seen", func(*v1alpha1.MemoryBudget) error { return nil })
}

// awaitReady waits until the shop is Ready.
func (s *scene) awaitReady() *v1alpha1.MemoryBudget {
	s.t.Helper()
	return s.awaitStatus("Ready", ready)
}

func ready(mb *v1alpha1.MemoryBudget) error {
	if !meta.IsStatusConditionTrue(mb.Status.Conditions, v1alpha1.ConditionReady) {
		return fmt.Errorf("not Ready: %s", conditionsOf(mb))
	}
	return nil
}

// awaitCondition waits until a condition has a status and a reason.
func (s *scene) awaitCondition(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	s.t.Helper()
	var found metav1.Condition
	s.awaitStatus(fmt.Sprintf("%s=%s (%s)", kind, status, reason), func(mb *v1alpha1.MemoryBudget) error {
		c := meta.FindStatusCondition(mb.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("conditions: %s", conditionsOf(mb))
		}
		found = *c
		return nil
	})
	return found
}

// awaitBrokerTried waits until the status tells what became of reading the broker, whose Secret there is not.
func (s *scene) awaitBrokerTried() {
	s.t.Helper()
	s.awaitCondition(v1alpha1.ConditionQueuesOwned, metav1.ConditionUnknown, v1alpha1.ReasonBrokerSecretUnreadable)
}

// awaitFigures waits until the status tells what the pods hold, and that no more is to come. Pods may be gone after their tier
// is Ready without them, and figures alone are written every ten seconds.
func (s *scene) awaitFigures() {
	s.t.Helper()
	s.awaitStatus("figures of what the pods hold", func(mb *v1alpha1.MemoryBudget) error {
		held := int64(0)
		for _, pod := range s.recorder.PodsOf("") {
			held += ledger.Charge(pod)
		}
		allocated, exposure := mb.Status.Allocated.Value(), mb.Status.Exposure.Value()
		if allocated != held || exposure != held {
			return fmt.Errorf("allocated are %d, the exposure is %d, the pods hold %d", allocated, exposure, held)
		}
		return nil
	})
}

func conditionsOf(mb *v1alpha1.MemoryBudget) (text string) {
	for _, c := range mb.Status.Conditions {
		text += fmt.Sprintf("\n  %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	return text
}

// awaitReplicas waits until tiers have that many ready pods and no others.
func (s *scene) awaitReplicas(want map[string]int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("ready pods %v", want), func(context.Context) error {
		for name, n := range want {
			all := s.recorder.PodsOf(name)
			ready := 0
			for _, pod := range all {
				if isReady(pod) {
					ready++
				}
			}
			if ready != n || len(all) != n {
				return fmt.Errorf("tier %s has %d pods, %d of them ready", name, len(all), ready)
			}
		}
		return nil
	})
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// awaitGone waits until an object is gone.
func (s *scene) awaitGone(name string, object client.Object) {
	s.t.Helper()
	eventually(s.t, "the end of "+name, func(context.Context) error {
		object.SetName(name)
		if s.recorder.Seen(ledger.KeyOf(object), 0) != nil {
			return errors.New("it is there")
		}
		return nil
	})
}

// awaitAnother waits until an object of that name and kind has another UID.
func (s *scene) awaitAnother(name string, object client.Object, not types.UID) {
	s.t.Helper()
	eventually(s.t, "another "+name, func(context.Context) error {
		object.SetName(name)
		if found := s.recorder.Seen(ledger.KeyOf(object), 0); found == nil || found.GetUID() == not {
			return errors.New("there is none")
		}
		return nil
	})
}

// quiet checks that the operator writes nothing for a while, leases and events apart.
func (s *scene) quiet() {
	s.t.Helper()
	before := s.operator.tap.count()
	if !s.stays(before, quietPeriod) {
		s.t.Fatalf("writes where nothing was to do: %d\n%s", s.operator.tap.count()-before, s.report())
	}
}

// settle waits until the operator writes nothing any more.
func (s *scene) settle() {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if s.stays(s.operator.tap.count(), quietPeriod) {
			return
		}
	}
	s.t.Fatalf("the operator writes and writes\n%s", s.report())
}

// stays reports whether the number of writes stays the same for a while.
func (s *scene) stays(count int, period time.Duration) bool {
	end := time.NewTimer(period)
	defer end.Stop()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if s.operator.tap.count() != count {
			return false
		}
		select {
		case <-end.C:
			return true
		case <-ticker.C:
		}
	}
}

// awaitNoNamespace waits until the namespace is gone. Its recorder is blind by then.
func (s *scene) awaitNoNamespace() {
	s.t.Helper()
	eventually(s.t, "the end of the namespace", func(ctx context.Context) error {
		err := admin.Get(ctx, client.ObjectKey{Name: s.namespace}, &corev1.Namespace{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
}
