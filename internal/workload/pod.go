// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"path"
	"strings"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

// mergedPod is what the user adds to the pods of a tier: the application's, under the tier's. Maps
// are joined by key, volumes by name and mounts by path; everything else is the tier's where it has
// any, else the application's.
func mergedPod(application, tier *v1alpha1.Pod) v1alpha1.Pod {
	base, top := podOrEmpty(application), podOrEmpty(tier)
	return v1alpha1.Pod{
		Labels:                        over(base.Labels, top.Labels),
		Annotations:                   over(base.Annotations, top.Annotations),
		NodeSelector:                  over(base.NodeSelector, top.NodeSelector),
		ServiceAccountName:            first(top.ServiceAccountName, base.ServiceAccountName),
		PriorityClassName:             first(top.PriorityClassName, base.PriorityClassName),
		Volumes:                       joined(base.Volumes, top.Volumes, func(v v1alpha1.Volume) string { return v.Name }),
		VolumeMounts:                  joined(base.VolumeMounts, top.VolumeMounts, mountKey),
		TerminationGracePeriodSeconds: first(top.TerminationGracePeriodSeconds, base.TerminationGracePeriodSeconds),
		RunAsUser:                     first(top.RunAsUser, base.RunAsUser),
		FSGroup:                       first(top.FSGroup, base.FSGroup),
		Affinity:                      first(top.Affinity, base.Affinity),
		Tolerations:                   firstList(top.Tolerations, base.Tolerations),
		TopologySpreadConstraints:     firstList(top.TopologySpreadConstraints, base.TopologySpreadConstraints),
	}
}

func podOrEmpty(pod *v1alpha1.Pod) v1alpha1.Pod {
	if pod == nil {
		return v1alpha1.Pod{}
	}
	return *pod
}

// mountKey is the path of a mount without what does not change it: /data/ and /data are one.
func mountKey(m v1alpha1.VolumeMount) string { return path.Clean(m.MountPath) }

// first is the first value that is set.
func first[T comparable](values ...T) T {
	var zero T
	for _, value := range values {
		if value != zero {
			return value
		}
	}
	return zero
}

func firstList[T any](lists ...[]T) []T {
	for _, list := range lists {
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

// joined is the first list, each entry replaced by the one of the same key in the second, followed by
// the others of the second.
func joined[T any](base, top []T, key func(T) string) []T {
	byKey := map[string]T{}
	for _, entry := range top {
		byKey[key(entry)] = entry
	}
	var all []T
	for _, entry := range base {
		if own, ok := byKey[key(entry)]; ok {
			entry = own
			delete(byKey, key(entry))
		}
		all = append(all, entry)
	}
	for _, entry := range top {
		if _, ok := byKey[key(entry)]; ok {
			all = append(all, entry)
		}
	}
	return all
}

// checkPod refuses what the API server cannot see: a mount that reaches the operator's directory by a
// detour, one without a volume, and one of a volume of the operator's.
func checkPod(tier *v1alpha1.Tier, pod *v1alpha1.Pod) error {
	volumes := map[string]bool{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = true
	}
	for _, mount := range pod.VolumeMounts {
		clean := mountKey(mount)
		switch {
		case clean == "/" || clean == settings.HomeDirectory || strings.HasPrefix(clean, settings.HomeDirectory+"/"):
			return podError(tier, "volumeMounts["+mount.MountPath+"].mountPath", "must not be / nor in "+settings.HomeDirectory)
		case !volumes[mount.Name]:
			return podError(tier, "volumeMounts["+mount.MountPath+"].name", "names no volume: add one named "+mount.Name+" to pod.volumes")
		}
	}
	return nil
}

func podError(tier *v1alpha1.Tier, field, message string) error {
	return &settings.SettingError{Field: "spec.tiers[" + tier.Name + "].pod." + field, Message: message}
}
