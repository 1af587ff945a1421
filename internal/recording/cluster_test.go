// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/status"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

var morning = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

// shop has a web tier and two tiers that scale by their queues, in a budget that is too small for all that they may ask for.
func shop() *v1alpha1.MemoryBudget {
	worker := testutil.MakeTier("worker", v1alpha1.RoleWorker).Replicas(0, 1, 8).Celery("celery", "emails").
		CeleryOptions(func(c *v1alpha1.Celery) { c.Concurrency = new(int32(2)) }).Obj()
	ml := testutil.MakeTier("ml", v1alpha1.RoleML).Memory("512Mi").Replicas(0, 1, 3).Celery("ml").
		CeleryOptions(func(c *v1alpha1.Celery) { c.Pool = v1alpha1.PoolSolo }).Obj()
	for _, tier := range []*v1alpha1.Tier{&worker, &ml} {
		tier.Replicas.Desired, tier.Scaling = nil, &v1alpha1.Scaling{}
	}
	web := testutil.MakeTier("web", v1alpha1.RoleWeb).Replicas(1, 2, 4).Gunicorn("core.wsgi:application").Obj()
	return testutil.MakeMemoryBudget("shop", "default").UID("u").Memory("2560Mi").Django("core.settings").CeleryApp("core").
		Redis("broker", "url").Tier(web, worker, ml).Obj()
}

// apply makes the writes of a decision in a snapshot, as a cluster without delays would: pods come and go at once.
func apply(s *observe.Snapshot, d *decision.Decision) {
	for _, w := range d.Writes {
		switch w.Kind {
		case "Deployment":
			put(&s.Deployments, w, func(o *appsv1.Deployment) *metav1.ObjectMeta { return &o.ObjectMeta })
			scale(s, s.Deployment(w.Name))
		case "Service":
			put(&s.Services, w, func(o *corev1.Service) *metav1.ObjectMeta { return &o.ObjectMeta })
		case "PodDisruptionBudget":
			put(&s.PodDisruptionBudgets, w, func(o *policyv1.PodDisruptionBudget) *metav1.ObjectMeta { return &o.ObjectMeta })
		case "ConfigMap":
			put(&s.ConfigMaps, w, func(o *corev1.ConfigMap) *metav1.ObjectMeta { return &o.ObjectMeta })
		case "Pod":
			for i := range s.Pods {
				if s.Pods[i].Name == w.Name {
					start(&s.Pods[i])
				}
			}
		}
	}
}

// put replaces or adds what a write applies.
func put[T any](list *[]T, w decision.Write, meta func(*T) *metav1.ObjectMeta) {
	var object T
	data, err := json.Marshal(w.Object)
	if err == nil {
		err = json.Unmarshal(data, &object)
	}
	if err != nil {
		panic(err) // What is applied has the JSON of its type.
	}
	meta(&object).UID = types.UID("uid-" + w.Name)
	for i := range *list {
		if meta(&(*list)[i]).Name == w.Name {
			(*list)[i] = object
			return
		}
	}
	*list = append(*list, object)
}

// scale gives a Deployment one ReplicaSet and the pods that it asks for.
func scale(s *observe.Snapshot, d *appsv1.Deployment) {
	controller := func(kind, name string, uid types.UID) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: uid, Controller: new(true)}}
	}
	tier := d.Spec.Template.Labels[v1alpha1.TierLabel]
	set := appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
		Name: d.Name + "-1", UID: types.UID(d.Name + "-1"), OwnerReferences: controller("Deployment", d.Name, d.UID),
		Annotations: map[string]string{"deployment.kubernetes.io/desired-replicas": fmt.Sprint(*d.Spec.Replicas)},
	}}
	set.Spec.Template, set.Spec.Replicas = *d.Spec.Template.DeepCopy(), d.Spec.Replicas
	var sets []appsv1.ReplicaSet
	for i := range s.ReplicaSets {
		if s.ReplicaSets[i].Name != set.Name {
			sets = append(sets, s.ReplicaSets[i])
		}
	}
	sets = append(sets, set)
	s.ReplicaSets = sets
	var pods []corev1.Pod
	have := int32(0)
	for i := range s.Pods {
		if s.Pods[i].Labels[v1alpha1.TierLabel] != tier {
			pods = append(pods, s.Pods[i])
		} else if have < *d.Spec.Replicas {
			pods, have = append(pods, s.Pods[i]), have+1
		}
	}
	for ; have < *d.Spec.Replicas; have++ {
		name := fmt.Sprintf("%s-1-%d-%d", d.Name, s.Now.Unix(), have)
		pod := corev1.Pod{ObjectMeta: *d.Spec.Template.ObjectMeta.DeepCopy(), Spec: *d.Spec.Template.Spec.DeepCopy()}
		pod.Name, pod.UID, pod.CreationTimestamp = name, types.UID(name), metav1.NewTime(s.Now)
		pod.OwnerReferences = controller("ReplicaSet", set.Name, set.UID)
		if len(pod.Spec.SchedulingGates) == 0 {
			start(&pod)
		}
		pods = append(pods, pod)
	}
	s.Pods = pods
}

// start lets a pod through its gate and makes it ready.
func start(pod *corev1.Pod) {
	pod.Spec.SchedulingGates = nil
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
}

// step records one decision and carries it out.
func step(r *Recorder, s *observe.Snapshot) decision.Decision {
	entry := r.Begin(s)
	d := decision.Decide(s)
	entry.Decided(&d)
	now := metav1.NewTime(s.Now.Add(20 * time.Millisecond))
	next := status.Compute(s.MemoryBudget.Status, status.Input{Snapshot: s, Decision: &d, Now: now})
	entry.Reported("", now, next)
	s.MemoryBudget.Status = *next.DeepCopy()
	apply(s, &d)
	s.Histories = d.Histories()
	return d
}

func tasks(queues map[string]int64) observe.Broker {
	broker := observe.Broker{State: observe.BrokerRead, Address: "redis:6379"}
	for _, name := range []string{"celery", "emails", "ml"} {
		broker.Queues = append(broker.Queues, observe.Queue{Name: name, Ready: queues[name]})
	}
	return broker
}

func quantity(text string) resource.Quantity { return resource.MustParse(text) }
