// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// hear adds what heartbeats tell of a tier's pods. Pods that terminate take no more tasks, and need no replica.
func (b *builder) hear(d *Demand, t *Tier, pods []budget.Pod) {
	if b.s.Broker.Heartbeats == observe.BrokerNone {
		return
	}
	early, running := t.Spec.Celery.Acks == v1alpha1.AcksEarly, int64(0)
	for i := range pods {
		if pods[i].Terminating || pods[i].Finished {
			continue
		}
		active, known := b.s.Broker.Active(pods[i].Name)
		running = plus(running, active)
		if early && !known && pods[i].Ready {
			d.Silent++
		}
	}
	if b.s.Broker.Heartbeats == observe.BrokerRead {
		d.Heard = &running
	}
	if d.Running = running; !early {
		d.Running = max(0, running-d.Tasks.Reserved)
	}
}

// keep asks for a replica for each pod of which nobody knows whether it runs tasks: there may be some that are in no count.
func (d *Demand) keep(known bool) {
	if d.Silent > 0 {
		d.Measures = append(d.Measures, MeasureSilent)
		d.Input.Metrics = append(d.Input.Metrics, demand.Metric{Kind: demand.PerReplica, Known: known, Value: int64(d.Silent), Target: 1})
	}
}

// goesFirst is the deletion cost of a pod that is to go before others: those without one cost 0.
const goesFirst = "-1"

// choose says which pods of a celery tier go first when its Deployment is lowered to so many replicas. It comes before that is written, so
// that the ReplicaSet controller, whose watch of pods is one of its own, will mostly have it when it acts. Pods that are not ready go
// before all others anyway.
func (b *builder) choose(tier string, live *appsv1.Deployment, replicas int32) {
	isCelery := slices.ContainsFunc(b.Tiers, func(t Tier) bool { return t.Spec.Name == tier && t.Spec.Celery != nil })
	if !isCelery || b.s.Broker.Heartbeats == observe.BrokerNone || replicas == 0 || replicas >= replicasIn(live) {
		return
	}
	var ready []*corev1.Pod
	for i := range b.s.Pods {
		pod := &b.s.Pods[i]
		if pod.Labels[v1alpha1.TierLabel] == tier && pod.DeletionTimestamp == nil && isReady(pod) {
			ready = append(ready, pod)
		}
	}
	first := b.idleFirst(ready, len(ready)-int(replicas))
	for _, pod := range ready {
		if is, wanted := pod.Annotations[corev1.PodDeletionCost] == goesFirst, slices.Contains(first, pod); is != wanted {
			b.add(Write{Verb: VerbDeletionCost, Kind: kindPod, Name: pod.Name, UID: pod.UID, Patch: costPatch(pod, wanted), Tier: tier})
		}
	}
}

// idleFirst are so many pods, those with the fewest tasks before others; of equals, those that share a node with more. It is none where
// there is no difference, and Kubernetes may choose.
func (b *builder) idleFirst(pods []*corev1.Pod, n int) []*corev1.Pod {
	tasks, together := map[*corev1.Pod]int64{}, map[string]int{}
	for _, pod := range pods {
		active, known := b.s.Broker.Active(pod.Name)
		if !known {
			active = math.MaxInt64 // It may run any number.
		}
		tasks[pod] = active
		together[pod.Spec.NodeName]++
	}
	order := slices.SortedFunc(slices.Values(pods), func(x, y *corev1.Pod) int {
		return cmp.Or(cmp.Compare(tasks[x], tasks[y]), cmp.Compare(together[y.Spec.NodeName], together[x.Spec.NodeName]),
			y.CreationTimestamp.Compare(x.CreationTimestamp.Time), strings.Compare(x.Name, y.Name))
	})
	if n <= 0 || n >= len(order) || tasks[order[0]] == tasks[order[len(order)-1]] {
		return nil
	}
	return order[:n]
}

// costPatch sets the deletion cost of a pod, or takes it away, if it still is that pod.
func costPatch(pod *corev1.Pod, first bool) []byte {
	cost := any(nil)
	if first {
		cost = goesFirst
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pod.UID, "annotations": map[string]any{corev1.PodDeletionCost: cost},
	}})
	if err != nil {
		panic(err) // Strings always encode.
	}
	return patch
}
