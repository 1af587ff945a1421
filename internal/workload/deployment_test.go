// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

func TestDeploymentPacing(t *testing.T) {
	tests := map[string]struct {
		rendered     Rendered
		minReady     int32
		wantDeadline int32
	}{
		"paced": {Rendered{GracePeriodSeconds: 30, StartupSeconds: 420}, 45, 45 + 30 + 420 + 600},
		"pods with a longer grace period are replaced": {
			Rendered{GracePeriodSeconds: 30, StartupSeconds: 420}, 86415, 86415 + 30 + 420 + 600},
		"paced with a day of grace": {
			Rendered{GracePeriodSeconds: 86400, StartupSeconds: 420}, 86415, 86415 + 86400 + 420 + 600},
		"gated pods wait for as long as it takes": {
			Rendered{Gated: true, GracePeriodSeconds: 300, StartupSeconds: 420}, 0, math.MaxInt32},
		"what nobody can mean is bounded": {
			Rendered{GracePeriodSeconds: math.MaxInt64, StartupSeconds: math.MaxInt64}, math.MaxInt32 - 2, math.MaxInt32 - 1},
	}
	mb := testutil.MakeExample("bunoraa", "shop").Obj()
	template := rendered(t, mb, &mb.Spec.Tiers[0]).Template
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.rendered.Template = template
			spec := Deployment(mb, "web", DeploymentInput{
				Rendered: tc.rendered, Strategy: Strategy{Recreate: true}, MinReadySeconds: tc.minReady,
			}).Spec
			if *spec.MinReadySeconds != tc.minReady || *spec.ProgressDeadlineSeconds != tc.wantDeadline {
				t.Errorf("minReadySeconds %d, progressDeadlineSeconds %d, want %d, %d",
					*spec.MinReadySeconds, *spec.ProgressDeadlineSeconds, tc.minReady, tc.wantDeadline)
			}
			if *spec.ProgressDeadlineSeconds <= *spec.MinReadySeconds {
				t.Error("the API server wants a progress deadline above minReadySeconds")
			}
		})
	}
}

func TestDeploymentStrategy(t *testing.T) {
	rolling := func(surge, unavailable int32) *appsv1ac.DeploymentStrategyApplyConfiguration {
		return appsv1ac.DeploymentStrategy().WithType(appsv1.RollingUpdateDeploymentStrategyType).WithRollingUpdate(
			appsv1ac.RollingUpdateDeployment().WithMaxSurge(intstr.FromInt32(surge)).WithMaxUnavailable(intstr.FromInt32(unavailable)))
	}
	tests := map[string]struct {
		strategy Strategy
		want     *appsv1ac.DeploymentStrategyApplyConfiguration
	}{
		"recreate": {Strategy{Recreate: true}, appsv1ac.DeploymentStrategy().WithType(appsv1.RecreateDeploymentStrategyType)},
		"surge":    {Strategy{MaxSurge: 1}, rolling(1, 0)},
		"in place": {Strategy{MaxUnavailable: 1}, rolling(0, 1)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, strategy(tc.strategy)); diff != "" {
				t.Errorf("strategy (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDeploymentOfARemovedTier: a tier that is no longer in the resource is scaled down with the
// template that it has.
func TestDeploymentOfARemovedTier(t *testing.T) {
	mb := testutil.MakeExample("bunoraa", "shop").UID("1").Obj()
	r := rendered(t, mb, &mb.Spec.Tiers[1])
	want := Deployment(mb, "worker", DeploymentInput{Replicas: 0, Strategy: Strategy{MaxUnavailable: 1}, Rendered: r, InputHash: "x"})
	mb.Spec.Tiers = mb.Spec.Tiers[:1]
	restored, err := Restore(mb, "worker", r.Record)
	if err != nil {
		t.Fatal(err)
	}
	got := Deployment(mb, "worker", DeploymentInput{Replicas: 0, Strategy: Strategy{MaxUnavailable: 1}, Rendered: restored, InputHash: "x"})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Deployment (-want +got):\n%s", diff)
	}
	if InputHash(mb, "worker") != "" {
		t.Error("a tier that is not in the resource has an input hash")
	}
}

// TestCopyTemplate: what an apply answers is read into the object that was sent, and nowhere else.
func TestCopyTemplate(t *testing.T) {
	mb := testutil.MakeExample("bunoraa", "shop").Obj()
	r := rendered(t, mb, &mb.Spec.Tiers[0])
	sent := CopyTemplate(r.Template)
	if diff := cmp.Diff(r.Template, sent); diff != "" {
		t.Errorf("copy (-want +got):\n%s", diff)
	}
	sent.Labels["added"] = "by the API server"
	*sent.Spec.TerminationGracePeriodSeconds = 1
	if diff := cmp.Diff(rendered(t, mb, &mb.Spec.Tiers[0]).Template, r.Template); diff != "" {
		t.Errorf("template after a change of its copy (-want +got):\n%s", diff)
	}
}

func TestOwner(t *testing.T) {
	mb := testutil.MakeExample("bunoraa", "shop").Obj()
	if refs := owner(mb); refs != nil {
		t.Errorf("a resource without UID is an owner: %v", refs)
	}
	mb.UID = "7"
	ref := ConfigMap(mb).OwnerReferences[0]
	if *ref.UID != "7" || *ref.Kind != "MemoryBudget" || *ref.APIVersion != "memorybudget.dev/v1alpha1" ||
		!*ref.Controller || !*ref.BlockOwnerDeletion {
		t.Errorf("owner reference %+v", ref)
	}
}

func TestIsGated(t *testing.T) {
	tests := map[string]struct {
		role        v1alpha1.Role
		enforcement v1alpha1.Enforcement
		want        bool
	}{
		"web":          {v1alpha1.RoleWeb, "", false},
		"beat":         {v1alpha1.RoleBeat, "", false},
		"worker":       {v1alpha1.RoleWorker, "", true},
		"ml":           {v1alpha1.RoleML, "", true},
		"gated web":    {v1alpha1.RoleWeb, v1alpha1.EnforcementGated, true},
		"paced worker": {v1alpha1.RoleWorker, v1alpha1.EnforcementPaced, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb := testutil.MakeExample("bunoraa", "shop").Obj()
			tier := &mb.Spec.Tiers[0]
			tier.Role, tier.Enforcement = tc.role, tc.enforcement
			if got := IsGated(tier); got != tc.want {
				t.Errorf("IsGated() = %v, want %v", got, tc.want)
			}
			if got := rendered(t, mb, tier); got.Gated != tc.want || (len(got.Template.Spec.SchedulingGates) == 1) != tc.want {
				t.Errorf("rendered with gates %v", got.Template.Spec.SchedulingGates)
			}
		})
	}
}

func TestChildren(t *testing.T) {
	web := testutil.MakeTier("web", v1alpha1.RoleWeb).Gunicorn("a:b")
	tests := map[string]struct {
		tier v1alpha1.Tier
		want []string
	}{
		"web": {web.Clone().Obj(), []string{KindService, KindDeployment}},
		"web of several pods": {
			web.Clone().Replicas(0, 0, 2).Obj(), []string{KindService, KindPodDisruptionBudget, KindDeployment}},
		"web of at most one pod": {web.Clone().Replicas(0, 1, 1).Obj(), []string{KindService, KindDeployment}},
		"worker whose max follows desired": {
			func() v1alpha1.Tier {
				tier := testutil.MakeTier("w", v1alpha1.RoleWorker).Celery("q").Obj()
				tier.Replicas = &v1alpha1.Replicas{Desired: new(int32(2))}
				return tier
			}(), []string{KindPodDisruptionBudget, KindDeployment}},
		"beat":   {testutil.MakeTier("b", v1alpha1.RoleBeat).Beat().Obj(), []string{KindDeployment}},
		"server": {testutil.MakeTier("m", v1alpha1.RoleML).Server(v1alpha1.PresetTriton).Obj(), []string{KindService, KindDeployment}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb := testutil.MakeMemoryBudget("shop", "default").Tier(tc.tier).Obj()
			if diff := cmp.Diff(tc.want, Children(mb, &tc.tier)); diff != "" {
				t.Errorf("Children (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigMapIsSharedAndImmutable(t *testing.T) {
	mb := testutil.MakeExample("bunoraa", "shop").Obj()
	c := ConfigMap(mb)
	if *c.Name != ConfigMapName(mb) || !*c.Immutable {
		t.Errorf("ConfigMap %s, immutable %v", *c.Name, *c.Immutable)
	}
	for i := range mb.Spec.Tiers {
		if got := rendered(t, mb, &mb.Spec.Tiers[i]).ConfigMapName; got != *c.Name {
			t.Errorf("tier %s mounts %s, not %s", mb.Spec.Tiers[i].Name, got, *c.Name)
		}
	}
	mb.Spec.Cache.MaxConnections = new(int32(51))
	if ConfigMapName(mb) == *c.Name {
		t.Error("other settings have the same name")
	}
	mb.Spec.Tiers = []v1alpha1.Tier{testutil.MakeTier("m", v1alpha1.RoleML).Server(v1alpha1.PresetTriton).Obj()}
	if ConfigMap(mb) != nil || ConfigMapName(mb) != "" {
		t.Error("a ConfigMap that no tier needs")
	}
}
