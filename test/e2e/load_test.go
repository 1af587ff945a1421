// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
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

// served is what ApacheBench found.
type served struct {
	complete, failed int
	seconds          float64
	output           string
}

// lost are the requests that got no good answer, or were never made because ApacheBench gave up.
func (o *served) lost(l load) int { return l.requests - o.complete + o.failed }

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
			if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
				return fmt.Errorf("it is %s", pod.Status.Phase)
			}
			return nil
		})
		return readLoad(s.t, pod)
	}
}

// loadPod runs ab the way the guide does: it gives up at the first connection that is refused or reset. -l is since pages
// differ in length, -s to give up on an answer.
func loadPod(name string, l load) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(10001)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "ab", Image: settings.servicesImage, ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{"ab", "-l", "-s", "60", "-n", strconv.Itoa(l.requests), "-c", strconv.Itoa(l.concurrency), l.url},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")}},
			}},
		},
	}
}

var figure = regexp.MustCompile(`(?m)^(Complete requests|Failed requests|Non-2xx responses|Time taken for tests|Total of)[: ] *([0-9.]+)`)

func readLoad(t *testing.T, pod *corev1.Pod) served {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	log, err := clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
	must(t, err)
	o := served{output: string(bytes.TrimSpace(log))}
	for _, match := range figure.FindAllStringSubmatch(o.output, -1) {
		value, err := strconv.ParseFloat(match[2], 64)
		must(t, err)
		switch match[1] {
		case "Complete requests", "Total of":
			o.complete = int(value)
		case "Failed requests", "Non-2xx responses":
			o.failed += int(value)
		default:
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
