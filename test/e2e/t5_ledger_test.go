// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/test/ledger"
)

// act is something that happens to a MemoryBudget.
type act struct {
	name string
	do   func(s *scene)
	// budget is the ceiling while it lasts: the former one where it is lowered, since pods take their time to go.
	budget string
}

// Test5Ledger goes through everything that makes and takes pods. A recorder watches from before the first write, and the
// cgroups are sampled meanwhile. At every resource version no write of the operator raises the exposure above the budget,
// and nothing raises what the gated tiers hold.
func Test5Ledger(t *testing.T) {
	s := newScene(t)
	lines := []string{"| act | most memory of all pods | budget |", "|---|---|---|"}
	for _, a := range []act{
		{"created", (*scene).createLedger, "2560Mi"},
		{"rolled out while tasks run", (*scene).rollOutSlowly, "2560Mi"},
		{"scaled by hand", (*scene).scaleByHand, "2560Mi"},
		{"budget lowered", func(s *scene) { s.resize("1536Mi") }, "2560Mi"},
		{"budget raised", func(s *scene) { s.resize("2560Mi") }, "2560Mi"},
		{"tier added", (*scene).addTier, "2560Mi"},
		{"tier removed", (*scene).removeTier, "2560Mi"},
		{"pods deleted by hand", (*scene).deletePods, "2560Mi"},
		{"operator killed while it rolls out", (*scene).killOperator, "2560Mi"},
		{"HPA set on a tier", (*scene).setHPA, "2560Mi"},
		{"node drained", (*scene).drainNode, "2560Mi"},
	} {
		ok := t.Run(strings.ReplaceAll(a.name, " ", "-"), func(t *testing.T) {
			part, from := s.of(t), time.Now()
			a.do(part)
			part.awaitReady()
			s.foreign = part.foreign
			budget := resource.MustParse(a.budget)
			h := part.heldByTiers(from)
			if h.together > budget.Value() {
				t.Errorf("all pods held %d MiB together, the budget is %s", h.together>>20, a.budget)
			}
			if h.samples == 0 || h.oomKills > 0 {
				t.Errorf("%d samples were taken, and %d processes killed for want of memory", h.samples, h.oomKills)
			}
			lines = append(lines, fmt.Sprintf("| %s | %d MiB | %s |", a.name, h.together>>20, a.budget))
		})
		if !ok {
			break
		}
	}
	v := s.verdict()
	text := fmt.Sprintf("%s\n\n%d resource versions. The highest exposure was %d MiB, the most that gated tiers held %d MiB, and the most by which "+
		"a lowered budget or acts of others left the exposure above the budget %d MiB; %d writes of the operator crossed such an act.\n",
		strings.Join(lines, "\n"), v.Changes, v.Highest>>20, v.HighestGated>>20, v.Beyond>>20, v.Crossed)
	must(t, write(filepath.Join(settings.results, "ledger.md"), []byte(text)))
	t.Log("\n" + text)
}

func (s *scene) createLedger() {
	s.create(s.budget(func(mb *v1alpha1.MemoryBudget) {
		mb.Spec.Memory = resource.MustParse("2560Mi")
		for _, name := range []string{"web", "worker"} {
			tier(mb, name).Memory.PerPod = resource.MustParse("384Mi")
			tier(mb, name).Replicas.Desired = new(int32(2))
		}
		tier(mb, "worker").Pod = &v1alpha1.Pod{TerminationGracePeriodSeconds: new(int64(45))}
		tier(mb, "ml").Pod.TerminationGracePeriodSeconds = new(int64(45))
	}))
}

// round changes the pod template of all tiers.
func (s *scene) round(value string) {
	s.t.Helper()
	s.change(func(mb *v1alpha1.MemoryBudget) {
		mb.Spec.Application.Env = []corev1.EnvVar{{Name: "SHOP_ROUND", Value: value}}
	})
}

// rollOutSlowly changes the template while every worker process has a task to finish.
func (s *scene) rollOutSlowly() {
	w := s.site()
	running := len(s.pods("worker")) * planned(s.awaitReady(), "worker")
	w.publish(publication{Task: slowTask, Count: running, Args: []any{longTask}, Batch: "slow"})
	w.awaitStarted("slow", slowTask, running)
	s.round("1")
	once(s.t, w.awaitDone(long, "slow"))
}

// scaleByHand makes a gated tier larger, which takes no memory, and a paced one by more than the reserve has room for, which
// is told.
func (s *scene) scaleByHand() {
	from := s.now()
	for name, replicas := range map[string]int32{"bunoraa-worker": 6, "bunoraa-web": 6} {
		s.behindItsBack(func() {
			edit(s, name, &appsv1.Deployment{}, func(d *appsv1.Deployment) { d.Spec.Replicas = &replicas })
		})
		eventually(s.t, patience, name+" to be scaled back", func(ctx context.Context) error {
			d := &appsv1.Deployment{}
			if err := s.get(ctx, name, d); err != nil {
				return err
			}
			if *d.Spec.Replicas == replicas {
				return fmt.Errorf("it has %d replicas", replicas)
			}
			return nil
		})
	}
	eventually(s.t, patience, "a status since that says that the budget is exceeded through others", func(context.Context) error {
		if !s.toldOfExcess(from) {
			return errors.New("there is none")
		}
		return nil
	})
}

// toldOfExcess: a status since a version said that the exposure is above the budget.
func (s *scene) toldOfExcess(from uint64) bool {
	s.t.Helper()
	history, err := s.recorder.History()
	must(s.t, err)
	return slices.ContainsFunc(history, func(c ledger.Change) bool {
		mb, ok := c.Object.(*v1alpha1.MemoryBudget)
		return ok && c.Version > from && is(mb, v1alpha1.ConditionWithinBudget, metav1.ConditionFalse, "") == nil
	})
}

// resize changes the budget and waits until the exposure fits.
func (s *scene) resize(memory string) {
	s.change(func(mb *v1alpha1.MemoryBudget) { mb.Spec.Memory = resource.MustParse(memory) })
	s.awaitCondition(v1alpha1.ConditionWithinBudget, metav1.ConditionTrue, "")
}

func (s *scene) addTier() {
	s.change(func(mb *v1alpha1.MemoryBudget) {
		added := tier(mb, "worker").DeepCopy()
		added.Name, added.Celery.Queues, added.Replicas.Desired = "imports", []string{"imports"}, new(int32(1))
		mb.Spec.Tiers = append(mb.Spec.Tiers, *added)
		tier(mb, "worker").Replicas.Desired = new(int32(1))
	})
	s.awaitPods("imports", 1)
}

func (s *scene) removeTier() {
	s.change(func(mb *v1alpha1.MemoryBudget) {
		mb.Spec.Tiers = mb.Spec.Tiers[:len(mb.Spec.Tiers)-1]
		tier(mb, "worker").Replicas.Desired = new(int32(2))
	})
	s.awaitPods("imports", 0)
	s.awaitPods("worker", 2)
}

func (s *scene) deletePods() {
	s.behindItsBack(func() {
		pods := slices.Concat(s.pods("worker"), s.pods("ml"), s.pods("web")[:1])
		for _, pod := range pods {
			must(s.t, admin.Delete(s.t.Context(), pod))
		}
		s.awaitGone(pods)
	})
}

// awaitGone waits until none of these pods is there any more.
func (s *scene) awaitGone(pods []*corev1.Pod) {
	s.t.Helper()
	eventually(s.t, patience, "the pods that were taken to be gone", func(context.Context) error {
		for _, pod := range s.pods("") {
			if slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return p.UID == pod.UID }) {
				return errors.New(pod.Name + " is still there")
			}
		}
		return nil
	})
}

// killOperator ends every operator without a chance to finish anything, in the middle of a rollout.
func (s *scene) killOperator() {
	s.round("2")
	s.awaitStatus(patience, "the rollout to begin", func(mb *v1alpha1.MemoryBudget) error {
		return is(mb, v1alpha1.ConditionReady, metav1.ConditionFalse, "")
	})
	pods, err := operatorPods(s.t.Context())
	must(s.t, err)
	killed := map[types.UID]bool{}
	for i := range pods {
		killed[pods[i].UID] = true
		must(s.t, admin.Delete(s.t.Context(), &pods[i], client.GracePeriodSeconds(0)))
	}
	eventually(s.t, patience, "other operators to be ready", func(ctx context.Context) error {
		pods, err := operatorPods(ctx)
		if err != nil {
			return err
		}
		for i := range pods {
			if !killed[pods[i].UID] && isReady(&pods[i]) {
				return nil
			}
		}
		return errors.New("none is")
	})
}

// setHPA lets somebody else's autoscaler want more of a tier, for as long as it takes to be seen to fight.
func (s *scene) setHPA() {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "foreign"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "bunoraa-worker"},
			MinReplicas:    new(int32(5)), MaxReplicas: 6,
		},
	}
	s.behindItsBack(func() {
		from := s.now()
		s.create(hpa)
		eventually(s.t, patience, "the operator to put back what the autoscaler wants, twice", func(context.Context) error {
			if n := s.putBacks("bunoraa-worker", from); n < 2 {
				return fmt.Errorf("it did %d times", n)
			}
			return nil
		})
		must(s.t, admin.Delete(s.t.Context(), hpa))
		s.awaitPods("worker", 2)
	})
	events := &corev1.EventList{}
	must(s.t, admin.List(s.t.Context(), events, client.InNamespace(s.namespace)))
	if !slices.ContainsFunc(events.Items, func(e corev1.Event) bool { return e.Reason == v1alpha1.EventScalerConflict }) {
		s.t.Error("there is no event ScalerConflict")
	}
}

// putBacks counts how often the operator has lowered the replicas of a Deployment since a version.
func (s *scene) putBacks(name string, from uint64) (n int) {
	s.t.Helper()
	history, err := s.recorder.History()
	must(s.t, err)
	writes, before := writesOf(history), int32(0)
	for _, c := range history {
		d, ok := c.Object.(*appsv1.Deployment)
		if !ok || d.Name != name {
			continue
		}
		if writes[c.Version] != "" && c.Version > from && *d.Spec.Replicas < before {
			n++
		}
		before = *d.Spec.Replicas
	}
	return n
}

// drainNode does what `kubectl drain` does with the node that has most of the pods, and lets it serve again.
func (s *scene) drainNode() {
	count := map[string]int{}
	node := ""
	for _, pod := range s.pods("") {
		if count[pod.Spec.NodeName]++; count[pod.Spec.NodeName] > count[node] {
			node = pod.Spec.NodeName
		}
	}
	cordon := func(unschedulable bool) {
		edit(s, node, &corev1.Node{}, func(n *corev1.Node) { n.Spec.Unschedulable = unschedulable })
	}
	cordon(true)
	defer cordon(false)
	s.behindItsBack(func() {
		// As long as the scheduler has not seen the cordon, replacements may come to the node.
		for on := s.podsOn(node); len(on) > 0; on = s.podsOn(node) {
			for _, pod := range on {
				s.evictPod(pod)
			}
			s.awaitGone(on)
		}
	})
	s.awaitReady()
	for _, pod := range s.podsOn(node) {
		s.t.Errorf("pod %s is still on node %s", pod.Name, node)
	}
}

// podsOn are the pods of all tiers on a node.
func (s *scene) podsOn(node string) []*corev1.Pod {
	return slices.DeleteFunc(s.pods(""), func(pod *corev1.Pod) bool { return pod.Spec.NodeName != node })
}
