// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

func TestMergedPod(t *testing.T) {
	volume := func(name, secret string) v1alpha1.Volume {
		return v1alpha1.Volume{Name: name, Secret: &v1alpha1.LocalReference{Name: secret}}
	}
	mount := func(path, name string) v1alpha1.VolumeMount { return v1alpha1.VolumeMount{MountPath: path, Name: name} }
	application := &v1alpha1.Pod{
		Labels:             map[string]string{"team": "shop", "kind": "app"},
		ServiceAccountName: "app",
		RunAsUser:          new(int64(1)),
		FSGroup:            new(int64(2)),
		Volumes:            []v1alpha1.Volume{volume("a", "1"), volume("b", "2")},
		VolumeMounts:       []v1alpha1.VolumeMount{mount("/data/", "a"), mount("/b", "b")},
		Tolerations:        []corev1.Toleration{{Key: "app"}},
	}
	tier := &v1alpha1.Pod{
		Labels:       map[string]string{"kind": "tier"},
		RunAsUser:    new(int64(3)),
		Volumes:      []v1alpha1.Volume{volume("c", "3"), volume("a", "4")},
		VolumeMounts: []v1alpha1.VolumeMount{mount("/data", "c")},
		Tolerations:  []corev1.Toleration{{Key: "tier"}},
	}
	want := v1alpha1.Pod{
		Labels:             map[string]string{"team": "shop", "kind": "tier"},
		Annotations:        map[string]string{},
		NodeSelector:       map[string]string{},
		ServiceAccountName: "app",
		RunAsUser:          new(int64(3)),
		FSGroup:            new(int64(2)),
		Volumes:            []v1alpha1.Volume{volume("a", "4"), volume("b", "2"), volume("c", "3")},
		VolumeMounts:       []v1alpha1.VolumeMount{mount("/data", "c"), mount("/b", "b")},
		Tolerations:        []corev1.Toleration{{Key: "tier"}},
	}
	if diff := cmp.Diff(want, mergedPod(application, tier)); diff != "" {
		t.Errorf("mergedPod (-want +got):\n%s", diff)
	}
}

// TestOperatorWinsOverThePod: labels and annotations by which pods are found and kept are ours.
func TestOperatorWinsOverThePod(t *testing.T) {
	mb := testutil.MakeExample("bunoraa", "shop").Pod(&v1alpha1.Pod{
		Labels:      map[string]string{v1alpha1.TierLabel: "x", v1alpha1.NameLabel: "x", "app.kubernetes.io/managed-by": "x", "own": "kept"},
		Annotations: map[string]string{v1alpha1.TemplateHashAnnotation: "x", v1alpha1.ContainerAnnotation: "x", "own": "kept"},
	}).Obj()
	r := rendered(t, mb, &mb.Spec.Tiers[0])
	for key, value := range r.Template.Labels {
		if value == "x" {
			t.Errorf("label %s is the user's", key)
		}
	}
	for key, value := range r.Template.Annotations {
		if value == "x" {
			t.Errorf("annotation %s is the user's", key)
		}
	}
	if r.Template.Labels["own"] != "kept" || r.Template.Annotations["own"] != "kept" {
		t.Error("the user's own are gone")
	}
}

func TestRenderRefusesMounts(t *testing.T) {
	tests := map[string]struct{ path, volume, want string }{
		"by a detour":   {"/data/../memorybudget/lib", "data", "pod.volumeMounts[/data/../memorybudget/lib].mountPath: must not be / nor in /memorybudget"},
		"doubled slash": {"//memorybudget", "data", "must not be / nor in /memorybudget"},
		"root":          {"//", "data", "must not be / nor in /memorybudget"},
		"no volume":     {"/data", "date", "pod.volumeMounts[/data].name: names no volume: add one named date to pod.volumes"},
		"our volume":    {"/data", "memorybudget-lib", "names no volume"},
		"fine":          {"/memorybudgets", "data", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb := testutil.MakeExample("bunoraa", "shop").Obj()
			mb.Spec.Tiers[0].Pod = &v1alpha1.Pod{
				Volumes:      []v1alpha1.Volume{{Name: "data", EmptyDir: &v1alpha1.EmptyDirVolume{}}},
				VolumeMounts: []v1alpha1.VolumeMount{{Name: tc.volume, MountPath: tc.path}},
			}
			_, err := Render(mb, &mb.Spec.Tiers[0], settings.Facts{})
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var setting *settings.SettingError
			if !errors.As(err, &setting) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Render() error = %v, want one with %q", err, tc.want)
			}
		})
	}
}

// TestUserMountsReplaceOurs: a path is mounted once.
func TestUserMountsReplaceOurs(t *testing.T) {
	mb := testutil.MakeExample("bunoraa", "shop").Obj()
	ml := &mb.Spec.Tiers[2]
	ml.Pod = &v1alpha1.Pod{
		Volumes:      []v1alpha1.Volume{{Name: "data", EmptyDir: &v1alpha1.EmptyDirVolume{}}},
		VolumeMounts: []v1alpha1.VolumeMount{{Name: "data", MountPath: "/tmp/", SubPath: "t"}},
	}
	spec := rendered(t, mb, ml).Template.Spec
	for _, c := range append(spec.Containers, spec.InitContainers...) {
		for _, m := range c.VolumeMounts {
			if *m.Name == tmpVolume {
				t.Errorf("container %s still mounts %s", *c.Name, *m.Name)
			}
		}
	}
	for _, v := range spec.Volumes {
		if *v.Name == tmpVolume {
			t.Errorf("volume %s is of no use", *v.Name)
		}
	}
}

func TestEffectiveMemory(t *testing.T) {
	for name, mb := range inputs(t) {
		for i := range mb.Spec.Tiers {
			tier := &mb.Spec.Tiers[i]
			if got, want := rendered(t, mb, tier).PodBytes, tier.Memory.PerPod.Value(); got != want {
				t.Errorf("%s/%s: a pod takes %d, not %d", name, tier.Name, got, want)
			}
		}
	}
}

// TestStartupSeconds: a rollout waits for as long as the verify container may take, and then for the startup probe.
func TestStartupSeconds(t *testing.T) {
	const probe = 5 * 60
	tests := map[string]struct {
		timeout corev1.EnvVar
		want    int64
	}{
		"by default":           {corev1.EnvVar{Name: "OTHER", Value: "300"}, 120 + probe},
		"as stated":            {corev1.EnvVar{Name: settings.VerifyTimeout, Value: "600"}, 600 + probe},
		"a fraction":           {corev1.EnvVar{Name: settings.VerifyTimeout, Value: "0.5"}, 1 + probe},
		"not a number":         {corev1.EnvVar{Name: settings.VerifyTimeout, Value: "long"}, 120 + probe},
		"empty is the default": {corev1.EnvVar{Name: settings.VerifyTimeout}, 120 + probe},
		"for ever":             {corev1.EnvVar{Name: settings.VerifyTimeout, Value: "inf"}, math.MaxInt32 + probe},
		"a reference": {corev1.EnvVar{Name: settings.VerifyTimeout, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"},
		}}, 120 + probe},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb := testutil.MakeExample("bunoraa", "shop").Obj()
			mb.Spec.Tiers[0].Env = []corev1.EnvVar{tc.timeout}
			if got := rendered(t, mb, &mb.Spec.Tiers[0]).StartupSeconds; got != tc.want {
				t.Errorf("StartupSeconds = %d, want %d", got, tc.want)
			}
		})
	}
}

func TestVerifyContainer(t *testing.T) {
	tests := map[string]struct {
		verification v1alpha1.Verification
		want         string
	}{
		"enabled":                       {v1alpha1.VerificationEnabled, "1"},
		"as the API server defaults it": {"", "1"},
		"disabled":                      {v1alpha1.VerificationDisabled, "0"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb := testutil.MakeExample("bunoraa", "shop").Verification(tc.verification).Obj()
			spec := rendered(t, mb, &mb.Spec.Tiers[0]).Template.Spec
			app, verify := spec.Containers[0], spec.InitContainers[0]
			files, _ := settings.Overlay(mb)
			want := append([]string{settings.SourceDirectory, settings.PackageDirectory, tc.want}, files.Hashes()...)
			if diff := cmp.Diff(want, verify.Args); diff != "" {
				t.Errorf("args (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(app.Env, verify.Env); diff != "" {
				t.Errorf("the verify container has another environment (-app +verify):\n%s", diff)
			}
			if diff := cmp.Diff(app.Resources, verify.Resources); diff != "" || *app.Image != *verify.Image {
				t.Errorf("the verify container has another image or resources:\n%s", diff)
			}
			for _, m := range app.VolumeMounts {
				if *m.Name == settingsVolume || *m.Name == libraryVolume && !deref(m.ReadOnly) {
					t.Errorf("the tier's container mounts %+v", m)
				}
			}
		})
	}
}
