// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// load is a run of ApacheBench inside the cluster.
type load struct {
	// url is what is asked for.
	url string
	// requests is how many there are, at most concurrency at a time.
	requests, concurrency int
}

// served is what became of a load.
type served struct {
	// good is how many answers said 2xx.
	good int
	// announced is the length of all bodies by their headers, received what came of them, in bytes.
	announced, received int
	seconds             float64
	output              string
}

// lost are the requests that got no good answer, or were never made because ApacheBench gave up. Bodies that were cut off
// count as one: which they belong to is not known.
func (o *served) lost(l load) int {
	lost := l.requests - o.good
	if o.received < o.announced {
		return max(1, lost)
	}
	return lost
}

// startLoad begins a load and returns a function that waits for its end.
func (s *scene) startLoad(name string, l load) func() served {
	s.t.Helper()
	pod := loadPod(name, l)
	s.create(pod)
	return func() served {
		s.t.Helper()
		eventually(s.t, long, "the load "+name+" to end", func(ctx context.Context) error {
			if err := s.get(ctx, name, pod); err != nil {
				return err
			}
			if pod.Status.Phase != corev1.PodSucceeded {
				return fmt.Errorf("it is %s, its containers: %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
			}
			return nil
		})
		return readLoad(s.t, pod)
	}
}

// ab runs ApacheBench the way the guide does: it gives up at the first connection that is refused or reset. -l is since pages
// differ in length, -s to give up on an answer. A connection that is closed without an answer is no failure to ab -l, so
// the answers are counted by their headers, which -v 2 prints.
const ab = `ab -v 2 -l -s 60 -n "$1" -c "$2" "$3" | awk '
	/^Server Software:/ { report = 1 }
	report
	!report && /^HTTP\/1[.][01] 2/ { good++ }
	!report && tolower($1) == "content-length:" { announced += $2 }
	END { printf "Good answers: %d\nAnnounced: %d\n", good, announced }'`

// notStarted is the kubelet's reason for a container that never ran.
const notStarted = "StartError"

// loadPod runs ab. Its container succeeds however many requests fail, and is started again if it could not be, as on a busy
// node with cgroup v1, where runc does not always get to freeze it.
func loadPod(name string, l load) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyOnFailure,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(10001)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "ab", Image: settings.servicesImage, ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{"sh", "-c", ab, "ab", strconv.Itoa(l.requests), strconv.Itoa(l.concurrency), l.url},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
				// As much of a busy node as the tiers have: starved by what it asks, it would be cut off where it is late to send.
				Resources: corev1.ResourceRequirements{
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
				},
			}},
		},
	}
}

var figure = regexp.MustCompile(`(?m)^(Good answers|Announced|HTML transferred|Time taken for tests): *([0-9.]+)`)

func readLoad(t *testing.T, pod *corev1.Pod) served {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	log, err := clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
	must(t, err)
	for i := range pod.Status.ContainerStatuses {
		if last := pod.Status.ContainerStatuses[i].LastTerminationState.Terminated; last != nil && last.Reason != notStarted {
			t.Fatalf("the load %s was begun again after %+v: what it had asked for is in no count", pod.Name, last)
		}
	}
	o := served{output: string(bytes.TrimSpace(log))}
	figures := figure.FindAllStringSubmatch(o.output, -1)
	if !slices.ContainsFunc(figures, func(f []string) bool { return f[1] == "Good answers" }) {
		t.Fatalf("the load %s ended without counting answers: %q, its containers: %+v", pod.Name, o.output, pod.Status.ContainerStatuses)
	}
	for _, match := range figures {
		value, err := strconv.ParseFloat(match[2], 64)
		must(t, err)
		switch match[1] {
		case "Good answers":
			o.good = int(value)
		case "Announced":
			o.announced = int(value)
		case "HTML transferred":
			o.received = int(value)
		case "Time taken for tests":
			o.seconds = value
		}
	}
	return o
}

// lastLines are the end of an output, for a message.
func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
