// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// makePod has an init container, as all pods of the operator do.
func makePod(name string, annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "init", Image: "example.test/none"}},
			Containers:     []corev1.Container{{Name: "main", Image: "example.test/none"}},
		},
	}
}

func (f *fixture) create(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if _, err := f.client.CoreV1().Pods(corev1.NamespaceDefault).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// annotate sets an annotation, or removes it where the value is empty.
func (f *fixture) annotate(t *testing.T, name, key, value string) {
	t.Helper()
	quoted := "null"
	if value != "" {
		quoted = fmt.Sprintf("%q", value)
	}
	f.patch(t, name, types.MergePatchType, fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, key, quoted))
}

func (f *fixture) patch(t *testing.T, name string, kind types.PatchType, patch string) {
	t.Helper()
	if _, err := f.client.CoreV1().Pods(corev1.NamespaceDefault).Patch(t.Context(), name, kind, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) delete(t *testing.T, name string) {
	t.Helper()
	if err := f.client.CoreV1().Pods(corev1.NamespaceDefault).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func gone(pod *corev1.Pod) bool { return pod == nil }

func terminating(pod *corev1.Pod) bool { return pod != nil && pod.DeletionTimestamp != nil }

func isReady(pod *corev1.Pod) bool {
	return conditionOf(pod, corev1.PodReady).Status == corev1.ConditionTrue
}

// conditionOf returns the pod's condition, or an empty one.
func conditionOf(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	if pod != nil {
		for _, condition := range pod.Status.Conditions {
			if condition.Type == kind {
				return condition
			}
		}
	}
	return corev1.PodCondition{}
}

func (f *fixture) testDeployment(t *testing.T) {
	deployments := f.client.AppsV1().Deployments(corev1.NamespaceDefault)
	template := makePod("", map[string]string{InitMessageAnnotation: `{"v":1}`})
	labels := map[string]string{"app": "web"}
	_, err := deployments.Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(2)),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: template.Annotations},
				Spec:       template.Spec,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "two available replicas", func() bool {
		got, err := deployments.Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && got.Status.AvailableReplicas == 2
	})
	for _, pod := range f.listPods(t) {
		state := pod.Status.InitContainerStatuses[0].State.Terminated
		if state == nil || state.Message != `{"v":1}` || pod.Status.PodIP == "" {
			t.Errorf("pod %s has the status %+v", pod.Name, pod.Status)
		}
	}
	if err := deployments.Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end of the pods", func() bool { return len(f.listPods(t)) == 0 })
}

func (f *fixture) listPods(t *testing.T) []corev1.Pod {
	t.Helper()
	pods, err := f.client.CoreV1().Pods(corev1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pods.Items
}

func (f *fixture) testSchedulingGate(t *testing.T) {
	pod := makePod("gated", nil)
	pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "memorybudget.dev/memory"}}
	f.create(t, pod)
	got := f.eventually(t, "gated", "held back by its gate", func(pod *corev1.Pod) bool {
		return conditionOf(pod, corev1.PodScheduled).Reason == corev1.PodReasonSchedulingGated
	})
	if got.Status.Phase != corev1.PodPending || got.Spec.NodeName != "" {
		t.Errorf("the gated pod is %s on node %q", got.Status.Phase, got.Spec.NodeName)
	}
	f.patch(t, "gated", types.JSONPatchType, `[{"op":"remove","path":"/spec/schedulingGates/0"}]`)
	f.eventually(t, "gated", "ready without the gate", isReady)
	f.delete(t, "gated")
	f.eventually(t, "gated", "gone", gone)
}

func (f *fixture) testDeletion(t *testing.T) {
	f.create(t, makePod("held", map[string]string{DeleteDelayAnnotation: "1h"}))
	graceful := makePod("graceful", map[string]string{DeleteDelayAnnotation: DeleteGrace})
	graceful.Spec.TerminationGracePeriodSeconds = new(int64(3))
	f.create(t, graceful)
	f.create(t, makePod("quick", nil))
	for _, name := range []string{"held", "graceful", "quick"} {
		f.eventually(t, name, "ready", isReady)
		f.delete(t, name)
	}
	f.eventually(t, "quick", "gone at once", gone)
	dying := f.eventually(t, "graceful", "terminating", terminating)
	f.eventually(t, "graceful", "gone", gone)
	if early := time.Until(dying.DeletionTimestamp.Time); early > time.Second {
		t.Errorf("the pod that uses its grace period was gone %s before the end of it", early)
	}
	f.eventually(t, "held", "terminating and running", func(pod *corev1.Pod) bool {
		return terminating(pod) && pod.Status.Phase == corev1.PodRunning
	})
	f.annotate(t, "held", DeleteDelayAnnotation, "")
	f.eventually(t, "held", "gone once let go", gone)
}

func (f *fixture) testLife(t *testing.T) {
	tests := map[string]struct {
		annotation, value string
		want              func(*corev1.Pod) bool
		// wantAfter holds once the annotation is removed; nil: the pod is Ready.
		wantAfter func(*corev1.Pod) bool
	}{
		"never-ready": {ReadyAnnotation, ReadyNever, runningUnready, nil},
		"slow-to-start": {StartDelayAnnotation, "1h", func(pod *corev1.Pod) bool {
			return pod.Status.Phase == corev1.PodPending && pod.Spec.NodeName != ""
		}, nil},
		"slow-to-be-ready": {ReadyDelayAnnotation, "1h", runningUnready, nil},
		"init-fails": {InitFailAnnotation, "OOMKilled", func(pod *corev1.Pod) bool {
			statuses := pod.Status.InitContainerStatuses
			return pod.Status.Phase == corev1.PodPending && len(statuses) == 1 && oomKilled(statuses[0])
		}, nil},
		"crashes": {FailAnnotation, "OOMKilled", func(pod *corev1.Pod) bool {
			statuses := pod.Status.ContainerStatuses
			return runningUnready(pod) && len(statuses) == 1 && oomKilled(statuses[0])
		}, func(pod *corev1.Pod) bool { return isReady(pod) && pod.Status.ContainerStatuses[0].RestartCount == 1 }},
		"evicted": {PhaseAnnotation, "Failed", failed, failed},
		"done": {
			PhaseAnnotation, "Succeeded",
			func(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodSucceeded },
			func(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodSucceeded },
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f.create(t, makePod(name, map[string]string{tc.annotation: tc.value}))
			f.eventually(t, name, tc.annotation+"="+tc.value, tc.want)
			f.annotate(t, name, tc.annotation, "")
			if tc.wantAfter == nil {
				tc.wantAfter = isReady
			}
			f.eventually(t, name, "as it should be without "+tc.annotation, tc.wantAfter)
			f.delete(t, name)
			f.eventually(t, name, "gone", gone)
		})
	}
}

func runningUnready(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodRunning && !isReady(pod)
}

func failed(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed && pod.Status.Reason == "Evicted" && !isReady(pod)
}

// oomKilled reports whether the container was killed for its memory and waits for its next start.
func oomKilled(status corev1.ContainerStatus) bool {
	last := status.LastTerminationState.Terminated
	return last != nil && last.Reason == "OOMKilled" && last.ExitCode == 137 &&
		status.State.Waiting != nil && status.State.Waiting.Reason == "CrashLoopBackOff"
}

func (f *fixture) testPodSecurity(t *testing.T) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "restricted", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if _, err := f.client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the namespace's service account", func() bool {
		_, err := f.client.CoreV1().ServiceAccounts("restricted").Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	_, err := f.client.CoreV1().Pods("restricted").Create(t.Context(), makePod("lax", nil), metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("Pod Security let a pod in that is not restricted: %v", err)
	}
}
