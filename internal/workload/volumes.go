// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

// Volumes of the operator. None is in memory: that would be charged to the container's limit.
const (
	settingsVolume = "memorybudget-settings"
	libraryVolume  = "memorybudget-lib"
	runVolume      = "memorybudget-run"
	tmpVolume      = "memorybudget-tmp"
	modelsVolume   = "memorybudget-models"
	filesVolume    = "memorybudget-server"
)

// fileAnnotation is the prefix of annotations that hold the files of a model server.
const fileAnnotation = "memorybudget.dev/server-"

// fileAnnotations hold the files of a model server, so that they stand in the pod template; the
// container sees them through a downward API volume.
func (d *drawing) fileAnnotations() map[string]string {
	annotations := map[string]string{}
	for name, content := range d.told.Files {
		annotations[fileAnnotation+name] = content
	}
	return annotations
}

// volumes are the operator's, then the user's.
func (d *drawing) volumes() []*corev1ac.VolumeApplyConfiguration {
	volumes := []*corev1ac.VolumeApplyConfiguration{}
	if d.told.Overlay {
		volumes = append(volumes,
			corev1ac.Volume().WithName(settingsVolume).WithConfigMap(
				corev1ac.ConfigMapVolumeSource().WithName(configMapName(d.mb, d.hash))),
			scratch(libraryVolume, "16Mi"), scratch(runVolume, "64Mi"))
	}
	if len(d.told.Files) > 0 {
		volumes = append(volumes, d.filesVolume())
	}
	if !d.mounted("/tmp") {
		volumes = append(volumes, corev1ac.Volume().WithName(tmpVolume).WithEmptyDir(corev1ac.EmptyDirVolumeSource()))
	}
	if d.tier.ModelCache != nil {
		volumes = append(volumes, modelCache(d.tier.ModelCache))
	}
	for i := range d.pod.Volumes {
		volumes = append(volumes, userVolume(&d.pod.Volumes[i]))
	}
	return volumes
}

func scratch(name, limit string) *corev1ac.VolumeApplyConfiguration {
	return corev1ac.Volume().WithName(name).WithEmptyDir(
		corev1ac.EmptyDirVolumeSource().WithSizeLimit(resource.MustParse(limit)))
}

func (d *drawing) filesVolume() *corev1ac.VolumeApplyConfiguration {
	source := corev1ac.DownwardAPIVolumeSource()
	for _, name := range slices.Sorted(maps.Keys(d.told.Files)) {
		source.WithItems(corev1ac.DownwardAPIVolumeFile().WithPath(name).WithFieldRef(
			corev1ac.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath("metadata.annotations['" + fileAnnotation + name + "']")))
	}
	return corev1ac.Volume().WithName(filesVolume).WithDownwardAPI(source)
}

func modelCache(cache *v1alpha1.ModelCache) *corev1ac.VolumeApplyConfiguration {
	volume := corev1ac.Volume().WithName(modelsVolume)
	if cache.PersistentVolumeClaim != nil {
		return volume.WithPersistentVolumeClaim(
			corev1ac.PersistentVolumeClaimVolumeSource().WithClaimName(cache.PersistentVolumeClaim.ClaimName))
	}
	return volume.WithEmptyDir(emptyDir(cache.SizeLimit))
}

func emptyDir(limit *resource.Quantity) *corev1ac.EmptyDirVolumeSourceApplyConfiguration {
	source := corev1ac.EmptyDirVolumeSource()
	if limit != nil {
		source.WithSizeLimit(*resource.NewQuantity(limit.Value(), resource.BinarySI))
	}
	return source
}

func userVolume(v *v1alpha1.Volume) *corev1ac.VolumeApplyConfiguration {
	volume := corev1ac.Volume().WithName(v.Name)
	switch {
	case v.ConfigMap != nil:
		return volume.WithConfigMap(corev1ac.ConfigMapVolumeSource().WithName(v.ConfigMap.Name))
	case v.Secret != nil:
		return volume.WithSecret(corev1ac.SecretVolumeSource().WithSecretName(v.Secret.Name))
	case v.PersistentVolumeClaim != nil:
		return volume.WithPersistentVolumeClaim(
			corev1ac.PersistentVolumeClaimVolumeSource().WithClaimName(v.PersistentVolumeClaim.ClaimName))
	case v.EmptyDir != nil:
		return volume.WithEmptyDir(emptyDir(v.EmptyDir.SizeLimit))
	}
	return volume.WithEmptyDir(emptyDir(nil))
}

// mounts are what both containers see besides the library: writable directories for a read-only root
// file system, then what the user mounts. Where the user mounts /tmp, that is used.
// /dev/shm needs no volume: every container has one, and what is in it counts as the container's memory.
func (d *drawing) mounts() []*corev1ac.VolumeMountApplyConfiguration {
	mounts := []*corev1ac.VolumeMountApplyConfiguration{}
	if d.told.Overlay {
		mounts = append(mounts, mount(runVolume, settings.RunDirectory))
	}
	if len(d.told.Files) > 0 {
		mounts = append(mounts, mount(filesVolume, settings.FilesDirectory).WithReadOnly(true))
	}
	if !d.mounted("/tmp") {
		mounts = append(mounts, mount(tmpVolume, "/tmp"))
	}
	if d.tier.ModelCache != nil {
		mounts = append(mounts, mount(modelsVolume, settings.ModelsDirectory))
	}
	for _, m := range d.pod.VolumeMounts {
		mounts = append(mounts, userMount(m))
	}
	return mounts
}

func mount(volume, path string) *corev1ac.VolumeMountApplyConfiguration {
	return corev1ac.VolumeMount().WithName(volume).WithMountPath(path)
}

func userMount(m v1alpha1.VolumeMount) *corev1ac.VolumeMountApplyConfiguration {
	out := mount(m.Name, m.MountPath)
	if m.SubPath != "" {
		out.WithSubPath(m.SubPath)
	}
	if m.Access == v1alpha1.AccessReadOnly {
		out.WithReadOnly(true)
	}
	return out
}

// mounted tells whether the user mounts something at a path.
func (d *drawing) mounted(path string) bool {
	return slices.ContainsFunc(d.pod.VolumeMounts, func(m v1alpha1.VolumeMount) bool { return mountKey(m) == path })
}
