// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/test/localcluster"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

const otherGate = "example.com/quota"

// gatedPod is a pod of ours that waits at our gate and at one of somebody else.
func gatedPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: namespace,
			Labels:      map[string]string{v1alpha1.NameLabel: "bunoraa", "app": "bunoraa"},
			Annotations: map[string]string{"note": "kept"},
			Finalizers:  []string{"example.com/kept"},
		},
		Spec: corev1.PodSpec{
			SchedulingGates: []corev1.PodSchedulingGate{{Name: otherGate}, {Name: v1alpha1.MemoryGate}},
			NodeSelector:    map[string]string{"disk": "ssd"},
			Tolerations:     []corev1.Toleration{{Key: "kept", Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{
				Name: "app", Image: "app:1",
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}},
			}},
		},
	}
}

// release takes our gate off a pod.
func release(pod *corev1.Pod) {
	pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: otherGate}}
}

// TestPolicies checks, on one API server, whom the shipped policies and roles let do what.
func TestPolicies(t *testing.T) {
	cluster := startShipped(t)
	t.Run("OperatorPods", func(t *testing.T) { testOperatorPods(t, cluster) })
	t.Run("Authors", func(t *testing.T) { testAuthors(t, cluster) })
}

// testOperatorPods checks what the policy leaves of an operator that RBAC allows everything.
func testOperatorPods(t *testing.T, cluster *localcluster.Cluster) {
	admin := kubernetes.NewForConfigOrDie(cluster.RESTConfig())
	operator := kubernetes.NewForConfigOrDie(as(cluster.RESTConfig(), testrbac.Username, "system:masters"))
	t.Run("Update", func(t *testing.T) { testOperatorUpdates(t, admin, operator) })
	t.Run("Other", func(t *testing.T) { testOperatorOtherwise(t, admin, operator) })
	t.Run("Permissions", func(t *testing.T) { testOperatorPermissions(t, cluster) })
}

func testOperatorUpdates(t *testing.T, admin, operator kubernetes.Interface) {
	const (
		only       = "the operator of MemoryBudget may only remove the scheduling gate memorybudget.dev/memory from a pod"
		annotation = "the operator of MemoryBudget may only change the annotation controller.kubernetes.io/pod-deletion-cost of a pod; changed: "
	)
	tests := map[string]struct {
		pod    func(*corev1.Pod)
		update func(*corev1.Pod)
		want   string
	}{
		"OurGate":         {update: release},
		"Nothing":         {update: func(*corev1.Pod) {}},
		"OurGateOfOthers": {pod: func(p *corev1.Pod) { delete(p.Labels, v1alpha1.NameLabel) }, update: release, want: "the operator of MemoryBudget may only update pods that carry the label memorybudget.dev/name"},
		"WithoutLabels":   {pod: func(p *corev1.Pod) { p.Labels = nil }, update: release, want: "the operator of MemoryBudget may only update pods that carry the label memorybudget.dev/name"},
		"MakingItOurs":    {pod: func(p *corev1.Pod) { p.Labels = nil }, update: func(p *corev1.Pod) { p.Labels = map[string]string{v1alpha1.NameLabel: "x"}; release(p) }, want: "the operator of MemoryBudget may only update pods that carry the label memorybudget.dev/name"},
		"OthersGate":      {update: func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: v1alpha1.MemoryGate}} }, want: only + " and leaves other gates alone"},
		"BothGates":       {update: func(p *corev1.Pod) { p.Spec.SchedulingGates = nil }, want: only + " and leaves other gates alone"},
		"Image":           {update: func(p *corev1.Pod) { p.Spec.Containers[0].Image = "evil:1" }, want: only + "; changed in spec: containers"},
		"GateAndImage":    {update: func(p *corev1.Pod) { release(p); p.Spec.Containers[0].Image = "evil:1" }, want: only + "; changed in spec: containers"},
		"GateAndToleration": {update: func(p *corev1.Pod) {
			release(p)
			p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: "more", Operator: corev1.TolerationOpExists})
		}, want: only + "; changed in spec: tolerations"},
		"GateAndSelector": {update: func(p *corev1.Pod) { release(p); p.Spec.NodeSelector["zone"] = "a" }, want: only + "; changed in spec: nodeSelector"},
		"GateAndAffinity": {update: func(p *corev1.Pod) {
			release(p)
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}
		}, want: only + "; changed in spec: affinity"},
		"GateAndDeadline":   {update: func(p *corev1.Pod) { release(p); p.Spec.ActiveDeadlineSeconds = new(int64(1)) }, want: only + "; changed in spec: activeDeadlineSeconds"},
		"GateAndLabel":      {update: func(p *corev1.Pod) { release(p); p.Labels["app"] = "victim" }, want: only + "; changed in metadata: labels"},
		"GateAndAnnotation": {update: func(p *corev1.Pod) { release(p); p.Annotations = nil }, want: annotation + "note"},
		"DeletionCost":      {update: func(p *corev1.Pod) { p.Annotations[corev1.PodDeletionCost] = "-1" }},
		"DeletionCostAlone": {pod: func(p *corev1.Pod) { p.Annotations = nil }, update: func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: "-1"} }},
		"DeletionCostAnew":  {pod: func(p *corev1.Pod) { p.Annotations[corev1.PodDeletionCost] = "-1" }, update: func(p *corev1.Pod) { delete(p.Annotations, corev1.PodDeletionCost) }},
		"DeletionCostAndAnnotation": {update: func(p *corev1.Pod) {
			p.Annotations[corev1.PodDeletionCost], p.Annotations["note"] = "-1", "changed"
		}, want: annotation + "note"},
		"DeletionCostOfOthers": {
			pod: func(p *corev1.Pod) { p.Labels = nil }, update: func(p *corev1.Pod) { p.Annotations[corev1.PodDeletionCost] = "-1" },
			want: "the operator of MemoryBudget may only update pods that carry the label memorybudget.dev/name",
		},
		"GateAndFinalizer": {update: func(p *corev1.Pod) { release(p); p.Finalizers = nil }, want: only + "; changed in metadata: finalizers"},
		"GateAndOwner": {update: func(p *corev1.Pod) {
			release(p)
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n", UID: "u"}}
		}, want: only + "; changed in metadata: ownerReferences"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := gatedPod("")
			pod.GenerateName = "pod-"
			if tc.pod != nil {
				tc.pod(pod)
			}
			pod, err := admin.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			tc.update(pod)
			_, err = operator.CoreV1().Pods(namespace).Update(t.Context(), pod, metav1.UpdateOptions{})
			want := tc.want
			if want != "" {
				want = deniedBy("operator-pods", want)
			}
			check(t, err, want)
		})
	}
}

// testOperatorOtherwise checks that no other operation and no subresource is a way around the policy.
func testOperatorOtherwise(t *testing.T, admin, operator kubernetes.Interface) {
	pod, err := admin.CoreV1().Pods(namespace).Create(t.Context(), gatedPod("otherwise"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pods := operator.CoreV1().Pods(namespace)
	dryRun := []string{metav1.DryRunAll}
	tests := map[string]func(t *testing.T) error{
		"CREATE of pods": func(t *testing.T) error {
			_, err := pods.Create(t.Context(), gatedPod("created"), metav1.CreateOptions{DryRun: dryRun})
			return err
		},
		"DELETE of pods": func(t *testing.T) error {
			return pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{DryRun: dryRun})
		},
		"UPDATE of pods/status": func(t *testing.T) error {
			changed := pod.DeepCopy()
			changed.Status.Message = "changed"
			_, err := pods.UpdateStatus(t.Context(), changed, metav1.UpdateOptions{DryRun: dryRun})
			return err
		},
		"UPDATE of pods/resize": func(t *testing.T) error {
			_, err := pods.UpdateResize(t.Context(), pod.Name, pod, metav1.UpdateOptions{DryRun: dryRun})
			return err
		},
		"UPDATE of pods/ephemeralcontainers": func(t *testing.T) error {
			changed := pod.DeepCopy()
			changed.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "debug"}}}
			_, err := pods.UpdateEphemeralContainers(t.Context(), pod.Name, changed, metav1.UpdateOptions{DryRun: dryRun})
			return err
		},
		"CREATE of pods/binding": func(t *testing.T) error {
			binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}
			return pods.Bind(t.Context(), binding, metav1.CreateOptions{DryRun: dryRun})
		},
		"CREATE of pods/eviction": func(t *testing.T) error {
			return pods.EvictV1(t.Context(), &policyv1.Eviction{
				ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, DeleteOptions: &metav1.DeleteOptions{DryRun: dryRun},
			})
		},
		"CONNECT of pods/exec": func(t *testing.T) error {
			request := operator.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod.Name).SubResource("exec").Param("command", "id")
			return request.Do(t.Context()).Error()
		},
	}
	for name, request := range tests {
		t.Run(name, func(t *testing.T) {
			check(t, request(t), deniedBy("operator-pods", "the operator of MemoryBudget may only update pods, to remove the scheduling gate memorybudget.dev/memory or to set a deletion cost; "+name+" is not allowed"))
		})
	}
	t.Run("NotTheOperator", func(t *testing.T) {
		changed := pod.DeepCopy()
		changed.Labels["app"] = "changed"
		_, err := admin.CoreV1().Pods(namespace).Update(t.Context(), changed, metav1.UpdateOptions{})
		check(t, err, "")
	})
}

// ourGate takes our gate, the second, off by a JSON patch that fails if it is another.
const ourGate = `[{"op":"test","path":"/spec/schedulingGates/1/name","value":"memorybudget.dev/memory"},{"op":"remove","path":"/spec/schedulingGates/1"}]`

func patchPod(t *testing.T, client kubernetes.Interface, name, patch string) error {
	t.Helper()
	_, err := client.CoreV1().Pods(namespace).Patch(t.Context(), name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	return err
}
