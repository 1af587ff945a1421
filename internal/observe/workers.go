// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Worker is what the heartbeats of a Celery worker tell.
type Worker struct {
	// Pod that it runs in. A reader of brokers knows no more of that than the name of the host.
	Pod string
	// Active is how many tasks it runs.
	Active int64
}

// Active is how many tasks the worker in a pod runs, known only where it was heard of lately.
func (b *Broker) Active(pod string) (tasks int64, known bool) {
	i, known := slices.BinarySearchFunc(b.Workers, pod, func(w Worker, name string) int { return strings.Compare(w.Pod, name) })
	if !known {
		return 0, false
	}
	return b.Workers[i].Active, true
}

// workersIn are the workers that run in pods, by the pods' names and sorted by them. A host that could be several pods is none.
func workersIn(pods []corev1.Pod, hosts []Worker) []Worker {
	byHost := map[string][]string{}
	for i := range pods {
		host := hostOf(&pods[i])
		byHost[host] = append(byHost[host], pods[i].Name)
	}
	var workers []Worker
	for _, w := range hosts {
		if names := byHost[w.Pod]; len(names) == 1 {
			workers = append(workers, Worker{Pod: names[0], Active: w.Active})
		}
	}
	slices.SortFunc(workers, func(a, b Worker) int { return strings.Compare(a.Pod, b.Pod) })
	return workers
}

// longestHost is how much of the name of a pod a kubelet makes its host name.
const longestHost = 63

// hostOf is the host name that a kubelet gives a pod.
func hostOf(pod *corev1.Pod) string {
	name := pod.Name
	if len(name) > longestHost {
		name = strings.TrimRight(name[:longestHost], "-.")
	}
	return name
}
