// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
	"github.com/memorybudget/memorybudget/test/ledger"
)

// story is something that the operator does with several writes.
type story struct {
	// prepare brings a scene, without disturbance, to where the story begins; nil where that is nothing.
	prepare func(*scene)
	// act is what the user does.
	act func(*scene)
	// done waits for the end.
	done func(*scene)
}

var stories = map[string]story{
	"Create": {
		act: func(s *scene) { s.create(small().Obj()) },
		done: func(s *scene) {
			s.awaitReady()
			s.awaitReplicas(map[string]int{"web": 1, "worker": 2, "ml": 1})
			s.awaitBrokerTried()
		},
	},
	// An update of everything at once: another image, less memory, a tier less and a tier more.
	"Update": {
		prepare: func(s *scene) { s.create(small().Obj()); s.awaitReady() },
		act: func(s *scene) {
			s.update("shop", func(mb *v1alpha1.MemoryBudget) {
				changed := application("1Gi").Reserve("0").Image("registry.example/shop:2").
					Tier(web(1, 1, 2), worker(0, 2, 8), mailer()).Obj()
				mb.Spec = changed.Spec
			})
		},
		done: func(s *scene) {
			s.awaitReady()
			s.awaitReplicas(map[string]int{"web": 1, "worker": 2, "mailer": 1, "ml": 0})
			s.awaitGone("shop-ml", &appsv1.Deployment{})
			eventually(s.t, "the end of the ReplicaSets of ml", func(context.Context) error {
				if left := list(s, &appsv1.ReplicaSetList{}, "ml").Items; len(left) > 0 {
					return fmt.Errorf("there is %s", left[0].Name)
				}
				return nil
			})
			s.awaitBrokerTried()
		},
	},
	"Delete": {
		prepare: func(s *scene) { s.create(small().Obj()); s.awaitReady() },
		act: func(s *scene) {
			if err := admin.Delete(s.t.Context(), s.budget()); err != nil {
				s.t.Fatal(err)
			}
		},
		done: func(s *scene) { s.awaitEmpty() },
	},
}

// small has no reserve, so that its paced tier rolls out by Recreate and nothing waits for pacing.
func small() *testutil.MemoryBudgetWrapper {
	return application("2Gi").Reserve("0").Tier(web(1, 1, 2), worker(0, 2, 8), ml(0, 1, 2))
}

func mailer() v1alpha1.Tier {
	return testutil.MakeTier("mailer", v1alpha1.RoleWorker).Replicas(0, 1, 1).Celery("mail").Obj()
}

// outcome is how a story ends: what there is, and how often each object was made and deleted.
type outcome struct {
	Objects map[string]any
	Births  map[string][2]int
}

// TestCrashAtEachWrite: ended before or after any write, or left without its answer, or refused each at first, the operator
// gets to the same state as if nothing had happened, with the same objects made and deleted.
func TestCrashAtEachWrite(t *testing.T) {
	t.Parallel()
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden, writes := story.tell(t, fault{})
			for _, f := range faults(writes) {
				t.Run(fmt.Sprintf("%s%d", f.mode, f.at), func(t *testing.T) {
					t.Parallel()
					got, _ := story.tell(t, f)
					if diff := cmp.Diff(golden, got); diff != "" {
						t.Errorf("end (-undisturbed +disturbed):\n%s", diff)
					}
				})
			}
		})
	}
}

// faults are a crash before and after each of so many writes and the loss of each answer; a refusal, which the operator
// sees, is tried at all writes of one run.
func faults(writes int) []fault {
	all := []fault{{mode: conflict}, {mode: serverError}, {mode: throttled}, {mode: forbidden}}
	for k := 1; k <= writes; k++ {
		all = append(all, fault{crashBefore, k}, fault{crashAfter, k}, fault{replyLost, k})
	}
	return all
}

// tell plays a story with a fault in it. A fault that ends the operator is followed by a new one.
func (st story) tell(t *testing.T, f fault) (outcome, int) {
	t.Helper()
	s := newScene(t)
	if st.prepare != nil {
		s.start(fault{})
		st.prepare(s)
		s.operator.stop()
	}
	o := s.start(f)
	st.act(s)
	if f.mode == crashBefore || f.mode == crashAfter {
		select {
		case <-o.tap.hit:
			o.crash()
			s.start(fault{})
		case <-time.After(patience):
			t.Fatalf("there was no write %d", f.at)
		}
	}
	st.done(s)
	s.verdict()
	return s.outcome(), o.tap.least()
}

// least is how many writes every run of a story has: on a slow machine the status is written in between, too.
func (t *tap) least() int {
	statuses := 0
	for _, q := range t.all(kindWrite) {
		if q.subresource == "status" {
			statuses++
		}
	}
	return t.count() - max(0, statuses-2)
}

// outcome describes the end in terms that do not differ between two undisturbed runs.
func (s *scene) outcome() outcome {
	s.t.Helper()
	objects := map[string]any{}
	for _, d := range list(s, &appsv1.DeploymentList{}, "").Items {
		annotations := maps.Clone(d.Annotations)
		delete(annotations, "deployment.kubernetes.io/revision")
		delete(annotations, v1alpha1.InputHashAnnotation) // The namespace is part of it.
		objects["Deployment/"+d.Name] = []any{annotations, d.Labels, d.Spec}
	}
	for _, rs := range list(s, &appsv1.ReplicaSetList{}, "").Items {
		objects["ReplicaSet/"+rs.Name] = *rs.Spec.Replicas
	}
	for _, o := range list(s, &corev1.ServiceList{}, "").Items {
		objects["Service/"+o.Name] = []any{o.Labels, o.Spec.Ports, o.Spec.Selector}
	}
	for _, o := range list(s, &policyv1.PodDisruptionBudgetList{}, "").Items {
		objects["PodDisruptionBudget/"+o.Name] = []any{o.Labels, o.Spec}
	}
	for _, o := range list(s, &corev1.ConfigMapList{}, "").Items {
		if strings.HasPrefix(o.Name, "shop") {
			objects["ConfigMap/"+o.Name] = o.Data
		}
	}
	for _, mb := range list(s, &v1alpha1.MemoryBudgetList{}, "").Items {
		objects["Conditions"] = conditionsOf(&mb)
	}
	return outcome{objects, ledger.Births(s.history())}
}

// awaitEmpty waits until nothing of a resource is left.
func (s *scene) awaitEmpty() {
	s.t.Helper()
	var left []string
	eventually(s.t, "an empty namespace", func(context.Context) error {
		if left = s.recorder.Left(); len(left) > 0 {
			return fmt.Errorf("there is %v", left)
		}
		return nil
	})
}
