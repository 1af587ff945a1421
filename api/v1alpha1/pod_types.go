// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Pod is what a user may add to the pods: a narrow part of a pod template. What it names (service
// account, ConfigMaps, Secrets, claims) stays in the namespace of the MemoryBudget.
type Pod struct {
	// labels are added to the pods. Labels of the operator win.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="keys must be names of at most 63 characters (letters, digits, -, _ and .), optionally after a DNS name of at most 253 characters and /",messageExpression="'the key %s is not valid: a key is a name of at most 63 characters (letters, digits, -, _ and .), optionally after a DNS name of at most 253 characters and /'.format([self.map(k, !(k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')), k)[0]])"
	// +kubebuilder:validation:XValidation:rule="self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))",message="values have at most 63 characters (letters, digits, -, _ and .)",messageExpression="'the value of %s is not valid: a value has at most 63 characters (letters, digits, -, _ and .)'.format([self.map(k, !(self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')), k)[0]])"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('memorybudget.dev/') && !k.startsWith('app.kubernetes.io/') && k != 'pod-template-hash')",message="labels under memorybudget.dev/ and app.kubernetes.io/ are the operator's, and pod-template-hash is Kubernetes' own"
	Labels map[string]string `json:"labels,omitempty"`

	// annotations are added to the pods. Annotations of the operator win.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="keys must be names of at most 63 characters (letters, digits, -, _ and .), optionally after a DNS name of at most 253 characters and /",messageExpression="'the key %s is not valid: a key is a name of at most 63 characters (letters, digits, -, _ and .), optionally after a DNS name of at most 253 characters and /'.format([self.map(k, !(k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')), k)[0]])"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('memorybudget.dev/'))",message="annotations under memorybudget.dev/ are the operator's"
	Annotations map[string]string `json:"annotations,omitempty"`

	// serviceAccountName is the service account of the pods. Its token is not mounted.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must consist of lower-case letters, digits, - and ., and each part between dots must start and end with a letter or digit"
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// volumes are added to the pods.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Volumes []Volume `json:"volumes,omitempty"`

	// volumeMounts are added to the tier's container.
	// +optional
	// +listType=map
	// +listMapKey=mountPath
	// +kubebuilder:validation:MaxItems=16
	VolumeMounts []VolumeMount `json:"volumeMounts,omitempty"`

	// terminationGracePeriodSeconds is how long a pod may take to stop, in seconds. It should cover
	// the longest task of a celery tier. Defaults to 30 for gunicorn, server, process and beat, and
	// to 300 for celery.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`

	// runAsUser is the user that the containers run as. Never root. The image's own user where left out.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	RunAsUser *int64 `json:"runAsUser,omitempty"`

	// fsGroup is the group that owns the pod's volumes.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	FSGroup *int64 `json:"fsGroup,omitempty"`

	// nodeSelector restricts the pods to nodes with these labels.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="keys must be names of at most 63 characters (letters, digits, -, _ and .), optionally after a DNS name of at most 253 characters and /",messageExpression="'the key %s is not valid: a key is a name of at most 63 characters (letters, digits, -, _ and .), optionally after a DNS name of at most 253 characters and /'.format([self.map(k, !(k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')), k)[0]])"
	// +kubebuilder:validation:XValidation:rule="self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))",message="values have at most 63 characters (letters, digits, -, _ and .)",messageExpression="'the value of %s is not valid: a value has at most 63 characters (letters, digits, -, _ and .)'.format([self.map(k, !(self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')), k)[0]])"
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations of the pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// affinity of the pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// topologySpreadConstraints of the pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// priorityClassName of the pods.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must consist of lower-case letters, digits, - and ., and each part between dots must start and end with a letter or digit"
	PriorityClassName string `json:"priorityClassName,omitempty"`
}

// Volume is a volume of a pod: exactly one of its sources.
// +kubebuilder:validation:ExactlyOneOf=emptyDir;configMap;secret;persistentVolumeClaim
type Volume struct {
	// name of the volume. Names that start with memorybudget are the operator's.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must consist of lower-case letters, digits and -, and start and end with a letter or digit"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('memorybudget')",message="names that start with memorybudget are the operator's"
	Name string `json:"name,omitempty"`
	// emptyDir is an empty directory that lives as long as the pod. Never in memory: that would be
	// charged to the container's limit.
	// +optional
	EmptyDir *EmptyDirVolume `json:"emptyDir,omitempty"`
	// configMap is a ConfigMap of this namespace.
	// +optional
	ConfigMap *LocalReference `json:"configMap,omitempty"`
	// secret is a Secret of this namespace.
	// +optional
	Secret *LocalReference `json:"secret,omitempty"`
	// persistentVolumeClaim is a claim of this namespace.
	// +optional
	PersistentVolumeClaim *ClaimVolume `json:"persistentVolumeClaim,omitempty"`
}

// EmptyDirVolume is an empty directory on the node's disk.
type EmptyDirVolume struct {
	// sizeLimit is how much it may hold.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity of bytes, such as 512Mi or 2Gi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('1Mi')) && !quantity(string(self)).isGreaterThan(quantity('1Pi')))",message="must be at least 1Mi and at most 1Pi"
	SizeLimit *resource.Quantity `json:"sizeLimit,omitempty"`
}

// ClaimVolume is a PersistentVolumeClaim of this namespace.
type ClaimVolume struct {
	// claimName is the name of the claim.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must consist of lower-case letters, digits, - and ., and each part between dots must start and end with a letter or digit"
	ClaimName string `json:"claimName,omitempty"`
}

// AccessMode is how a volume is mounted.
// +kubebuilder:validation:Enum=ReadWrite;ReadOnly
type AccessMode string

const (
	// AccessReadWrite mounts a volume for reading and writing.
	AccessReadWrite AccessMode = "ReadWrite"
	// AccessReadOnly mounts a volume for reading.
	AccessReadOnly AccessMode = "ReadOnly"
)

// VolumeMount is where a volume is mounted in the tier's container.
type VolumeMount struct {
	// name of the volume.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// mountPath is an absolute path. /memorybudget is the operator's; a mount at /tmp takes the place of the empty
	// directory that each pod has there.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(/[^/:]+)+$') && !self.matches('/[.][.]?(/|$)')",message="must be an absolute path without a trailing /, //, . or .. in it and without :, such as /data"
	// +kubebuilder:validation:XValidation:rule="!(self in ['/memorybudget', '/dev', '/proc', '/sys']) && !self.startsWith('/memorybudget/') && !self.startsWith('/proc/') && !self.startsWith('/sys/')",message="must be outside /memorybudget, which is the operator's, /proc and /sys, and not /dev itself"
	MountPath string `json:"mountPath,omitempty"`
	// subPath is a path inside the volume, without "..".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.matches('(^|/)[.][.](/|$)')",message="must be a relative path without .."
	SubPath string `json:"subPath,omitempty"`
	// access is ReadWrite or ReadOnly.
	// +optional
	// +kubebuilder:default=ReadWrite
	Access AccessMode `json:"access,omitempty"`
}
