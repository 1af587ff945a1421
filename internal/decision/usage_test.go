// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// served is a shop with a web tier that scales between 1 and 8, with pods that request 200m.
func served(scaling v1alpha1.Scaling) *v1alpha1.MemoryBudget {
	web := testutil.MakeTier("web", v1alpha1.RoleWeb).Replicas(1, 1, 8).Obj()
	web.Gunicorn = &v1alpha1.Gunicorn{Application: "core.wsgi:application"}
	web.CPU = &v1alpha1.CPU{Request: new(resource.MustParse("200m"))}
	web.Replicas.Desired, web.Scaling = nil, &scaling
	return testutil.MakeMemoryBudget("shop", "default").UID("u").Memory("8Gi").Reserve("0").Django("core.settings").Tier(web).Obj()
}

func resourceMetric(m v1alpha1.ResourceMetric) v1alpha1.Scaling {
	return v1alpha1.Scaling{Metrics: []v1alpha1.Metric{{Resource: &m}}}
}

// webPod is a pod of the web tier that has been ready for so long.
func webPod(name string, ready time.Duration) corev1.Pod {
	since := metav1.NewTime(noon.Add(-ready))
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.TierLabel: "web", v1alpha1.NameLabel: "shop"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "mesh"},
			{Name: "app", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("200m"), corev1.ResourceMemory: resource.MustParse("512Mi"),
			}}},
		}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, StartTime: new(metav1.NewTime(since.Add(-10 * time.Second))),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: since}},
		},
	}
}

func used(pod string, milliCPU, memory int64) observe.PodUsage {
	return observe.PodUsage{Name: pod, MilliCPU: milliCPU, MemoryBytes: memory, At: noon, Window: 15 * time.Second}
}

// TestUsageOfPods is what is made of pods and of what the metrics API says of them.
func TestUsageOfPods(t *testing.T) {
	utilization := resourceMetric(v1alpha1.ResourceMetric{Name: "cpu", TargetAverageUtilization: new(int32(50))})
	value := func(name v1alpha1.ResourceMetricName, target string) v1alpha1.Scaling {
		return resourceMetric(v1alpha1.ResourceMetric{Name: name, TargetAverageValue: new(resource.MustParse(target))})
	}
	old, gone, done := webPod("a", time.Hour), webPod("a", time.Hour), webPod("a", time.Hour)
	gone.DeletionTimestamp, done.Status.Phase = new(metav1.NewTime(noon)), corev1.PodSucceeded
	gated := corev1.Pod{ObjectMeta: old.ObjectMeta, Status: corev1.PodStatus{Phase: corev1.PodPending}}
	unready := webPod("a", time.Hour)
	unready.Status.Conditions[0].Status = corev1.ConditionFalse
	never := unready
	never.Status.StartTime = &metav1.Time{Time: unready.Status.Conditions[0].LastTransitionTime.Add(-time.Second)}
	bare := webPod("a", time.Hour)
	bare.Spec.Containers[1].Resources.Requests = nil
	cases := map[string]struct {
		scaling v1alpha1.Scaling
		pod     corev1.Pod
		want    []demand.Pod
	}{
		"80 percent of the CPU by default":    {v1alpha1.Scaling{}, old, []demand.Pod{{Value: 150, Target: 160, Assumed: 200}}},
		"percent of the CPU that it requests": {utilization, old, []demand.Pod{{Value: 150, Target: 100, Assumed: 200}}},
		"or would, if it were made now":       {utilization, bare, []demand.Pod{{Value: 150, Target: 100, Assumed: 200}}},
		"a quantity of CPU":                   {value("cpu", "250m"), old, []demand.Pod{{Value: 150, Target: 250, Assumed: 250}}},
		"a quantity of memory":                {value("memory", "300Mi"), old, []demand.Pod{{Value: 200 << 20, Target: 300 << 20, Assumed: 300 << 20}}},
		"a pod that goes":                     {utilization, gone, nil},
		"a pod that has ended":                {utilization, done, nil},
		"a pod that waits for memory":         {utilization, gated, []demand.Pod{{Value: 150, Target: 100, Assumed: 200, Starting: true}}},
		"ready for less than a window":        {utilization, webPod("a", 10*time.Second), []demand.Pod{{Value: 150, Target: 100, Assumed: 200, Starting: true}}},
		"ready for a window":                  {utilization, webPod("a", 15*time.Second), []demand.Pod{{Value: 150, Target: 100, Assumed: 200}}},
		"its memory counts from the start":    {value("memory", "300Mi"), webPod("a", time.Second), []demand.Pod{{Value: 200 << 20, Target: 300 << 20, Assumed: 300 << 20}}},
		"a pod that is not ready any more":    {utilization, unready, []demand.Pod{{Value: 150, Target: 100, Assumed: 200, Starting: true}}},
		"a pod that never was":                {utilization, never, []demand.Pod{{Value: 150, Target: 100, Assumed: 200, Starting: true}}},
		"a pod that nothing is told of":       {utilization, webPod("b", time.Hour), []demand.Pod{{Target: 100, Assumed: 200, Missing: true}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := decision.Decide(&observe.Snapshot{
				Now: noon, MemoryBudget: served(tc.scaling), Pods: []corev1.Pod{tc.pod},
				Usage: observe.Usage{State: observe.UsageRead, Pods: []observe.PodUsage{used("a", 150, 200<<20)}},
			})
			m := d.Tiers[0].Demand.Input.Metrics[0]
			if diff := cmp.Diff(tc.want, m.Pods); diff != "" || !m.Known || m.Kind != demand.Usage {
				t.Errorf("known %t, kind %s (-want +got):\n%s", m.Known, m.Kind, diff)
			}
		})
	}
}

// TestUsageStale: what was read last is not what the pods use now.
func TestUsageStale(t *testing.T) {
	for name, usage := range map[string]observe.Usage{
		"failing":      {State: observe.UsageUnavailable, FailingSince: noon, Pods: []observe.PodUsage{used("a", 1, 1)}},
		"not read yet": {State: observe.UsageNotReadYet},
	} {
		t.Run(name, func(t *testing.T) {
			d := decision.Decide(&observe.Snapshot{
				Now: noon, MemoryBudget: served(v1alpha1.Scaling{}), Pods: []corev1.Pod{webPod("a", time.Hour)}, Usage: usage,
			})
			if demand := d.Tiers[0].Demand; demand.Input.Known() || demand.By >= 0 {
				t.Errorf("known %t, by %d", demand.Input.Known(), demand.By)
			}
		})
	}
}
