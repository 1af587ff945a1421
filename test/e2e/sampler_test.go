// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

//go:embed testdata/sampler.py
var samplerScript string

const samplerNamespace = "memorybudget-e2e-sampler"

// usage is what a pod's cgroup held at a time, in bytes.
type usage struct {
	Usage     int64 `json:"usage"`
	RSS       int64 `json:"rss"`
	OOMKills  int64 `json:"oomKills"`
	Processes int   `json:"processes"`
}

// reading is one look at a node.
type reading struct {
	Time float64             `json:"time"`
	Pods map[types.UID]usage `json:"pods"`
	node string
}

// at is when the node was looked at.
func (r *reading) at() time.Time { return time.UnixMilli(int64(r.Time * 1000)) }

// sampler reads the cgroups of all pods through a pod on each node.
type sampler struct {
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	readings []reading
	broken   error
}

// startSampler puts the pods into a namespace of their own: they read the nodes' cgroups, which no other may.
func startSampler(ctx context.Context) (*sampler, error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: samplerNamespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged", ownLabel: ""},
	}}
	for _, object := range []client.Object{namespace, samplerDaemonSet()} {
		if err := admin.Create(ctx, object); err != nil {
			return nil, fmt.Errorf("starting the sampler: %w", err)
		}
	}
	waiting, done := context.WithTimeout(ctx, patience)
	defer done()
	pods := &corev1.PodList{}
	err := until(waiting, "the sampler to run on each node", func(ctx context.Context) error {
		set := samplerDaemonSet()
		if err := admin.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return err
		}
		if set.Status.DesiredNumberScheduled == 0 || set.Status.NumberReady != set.Status.DesiredNumberScheduled {
			return fmt.Errorf("%d of %d are ready", set.Status.NumberReady, set.Status.DesiredNumberScheduled)
		}
		return admin.List(ctx, pods, client.InNamespace(samplerNamespace))
	})
	if err != nil {
		return nil, err
	}
	following, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &sampler{cancel: cancel}
	for i := range pods.Items {
		s.running.Go(func() { s.follow(following, &pods.Items[i]) })
	}
	return s, nil
}

func samplerDaemonSet() *appsv1.DaemonSet {
	labels := map[string]string{"app": "sampler"}
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "sampler", Namespace: samplerNamespace},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: new(int64(1)),
					Containers: []corev1.Container{{
						Name: "sampler", Image: settings.shopImage, ImagePullPolicy: corev1.PullIfNotPresent,
						Command:         []string{"python3", "-u", "-c", samplerScript},
						SecurityContext: &corev1.SecurityContext{RunAsUser: new(int64(0))},
						Resources: corev1.ResourceRequirements{
							Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
							Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m")},
						},
						VolumeMounts: []corev1.VolumeMount{{Name: "cgroup", MountPath: "/host/cgroup", ReadOnly: true}},
					}},
					Volumes: []corev1.Volume{{Name: "cgroup", VolumeSource: corev1.VolumeSource{
						HostPath: &corev1.HostPathVolumeSource{Path: "/sys/fs/cgroup"},
					}}},
				},
			},
		},
	}
}

// follow takes what one node's sampler says until the run ends.
func (s *sampler) follow(ctx context.Context, pod *corev1.Pod) {
	stream, err := clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err == nil {
		defer stream.Close()
		lines := bufio.NewScanner(stream)
		lines.Buffer(nil, 1<<20)
		for err == nil && lines.Scan() {
			r := reading{node: pod.Spec.NodeName}
			if err = json.Unmarshal(lines.Bytes(), &r); err == nil {
				s.take(r)
			}
		}
		err = errors.Join(err, lines.Err())
	}
	if ctx.Err() == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken = fmt.Errorf("the sampler on %s ended: %w", pod.Spec.NodeName, errors.Join(err, errors.New("no more lines")))
	}
}

func (s *sampler) take(r reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readings = append(s.readings, r)
}

// stop ends the sampling.
func (s *sampler) stop() {
	s.cancel()
	s.running.Wait()
}

// failed says why the samples are not complete.
func (s *sampler) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// since are the readings from a time on.
func (s *sampler) since(from time.Time) []reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.readings {
		if !s.readings[i].at().Before(from) {
			return s.readings[i:len(s.readings):len(s.readings)]
		}
	}
	return nil
}

// held is what pods held over a time.
type held struct {
	// samples is how often they were looked at.
	samples int
	// together is the most that all held at once, and each the most that one held, in bytes.
	together int64
	each     map[types.UID]int64
	oomKills int64
	// processes are the fewest and the most of each pod.
	processes map[types.UID][2]int
}

// heldBy sums up what some pods held from a time on. Nodes are not looked at in the same instant: a pod counts with what
// was last read of it.
func (s *sampler) heldBy(from time.Time, wanted func(types.UID) bool) held {
	h := held{each: map[types.UID]int64{}, processes: map[types.UID][2]int{}}
	nodes, kills := map[string]map[types.UID]usage{}, map[types.UID]int64{}
	for _, r := range s.since(from) {
		nodes[r.node] = map[types.UID]usage{}
		for uid, u := range r.Pods {
			if wanted(uid) {
				nodes[r.node][uid] = u
				h.add(uid, u)
				kills[uid] = max(kills[uid], u.OOMKills)
			}
		}
		var together int64
		for node := range maps.Values(nodes) {
			for _, u := range node {
				together += u.Usage
			}
		}
		h.together = max(h.together, together)
	}
	for _, n := range kills {
		h.oomKills += n
	}
	return h
}

func (h *held) add(uid types.UID, u usage) {
	h.samples++
	h.each[uid] = max(h.each[uid], u.Usage)
	p, known := h.processes[uid]
	if !known {
		p = [2]int{u.Processes, u.Processes}
	}
	h.processes[uid] = [2]int{min(p[0], u.Processes), max(p[1], u.Processes)}
}
