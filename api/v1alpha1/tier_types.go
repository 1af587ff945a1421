// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Role says what a tier is for. It chooses defaults.
// +kubebuilder:validation:Enum=Web;Worker;ML;Beat
type Role string

const (
	// RoleWeb serves requests: it has a Service and is paced.
	RoleWeb Role = "Web"
	// RoleWorker runs tasks: it is gated.
	RoleWorker Role = "Worker"
	// RoleML runs tasks or serves models that need much memory: it is gated.
	RoleML Role = "ML"
	// RoleBeat is Celery's scheduler: exactly one replica.
	RoleBeat Role = "Beat"
)

// Enforcement is how the budget is kept while pods of a tier come and go.
// +kubebuilder:validation:Enum=Gated;Paced
type Enforcement string

const (
	// EnforcementGated holds each new pod at a scheduling gate until its memory is free.
	EnforcementGated Enforcement = "Gated"
	// EnforcementPaced lets pods start at once and keeps rollouts within the reserve.
	EnforcementPaced Enforcement = "Paced"
)

// Tier is one part of the application: one Deployment, named <name of the MemoryBudget>-<name of the tier>.
//
// +kubebuilder:validation:ExactlyOneOf=gunicorn;celery;beat;server;process
// +kubebuilder:validation:XValidation:rule="self.role != 'Beat' || has(self.beat)",fieldPath=".beat",reason="FieldValueRequired",message="a tier of the role Beat runs beat: set it to {}"
// +kubebuilder:validation:XValidation:rule="!has(self.beat) || self.role == 'Beat'",fieldPath=".role",message="must be Beat, since the tier runs beat"
// +kubebuilder:validation:XValidation:rule="self.role != 'Web' || has(self.gunicorn) || has(self.server) || (has(self.process) && has(self.process.port)) || has(self.celery) || has(self.beat)",fieldPath=".role",message="a tier of the role Web serves requests: set process.port"
// +kubebuilder:validation:XValidation:rule="!has(self.gunicorn) || self.role == 'Web'",fieldPath=".role",message="must be Web, since the tier runs gunicorn"
// +kubebuilder:validation:XValidation:rule="!has(self.celery) || self.role == 'Worker' || self.role == 'ML'",fieldPath=".role",message="must be Worker or ML, since the tier runs celery"
// +kubebuilder:validation:XValidation:rule="self.role != 'Beat' || !has(self.replicas)",fieldPath=".replicas",reason="FieldValueForbidden",message="a tier of the role Beat has exactly one replica: leave replicas out"
// +kubebuilder:validation:XValidation:rule="self.role != 'Beat' || !has(self.enforcement) || self.enforcement == 'Paced'",fieldPath=".enforcement",message="must be Paced, since the tier's role is Beat"
// +kubebuilder:validation:XValidation:rule="!has(self.scaling) || self.role != 'Beat'",fieldPath=".scaling",reason="FieldValueForbidden",message="a tier of the role Beat has exactly one replica: leave scaling out"
// +kubebuilder:validation:XValidation:rule="!has(self.scaling) || self.role == 'Beat' || (has(self.replicas) && has(self.replicas.max))",fieldPath=".replicas.max",reason="FieldValueRequired",message="set the most pods that scaling may ask for"
// +kubebuilder:validation:XValidation:rule="!has(self.scaling) || has(self.celery) || !has(self.scaling.metrics) || self.scaling.metrics.all(m, !has(m.queue))",fieldPath=".scaling.metrics",reason="FieldValueForbidden",message="only celery tiers have queues: use redisStream or redisList for a process, or one of resource, external and prometheus"
// +kubebuilder:validation:XValidation:rule="!has(self.scaling) || has(self.process) || !has(self.scaling.metrics) || self.scaling.metrics.all(m, !has(m.redisStream) && !has(m.redisList))",fieldPath=".scaling.metrics",reason="FieldValueForbidden",message="only process tiers scale by redisStream and redisList: use queue for a celery tier, or one of resource, external and prometheus"
// +kubebuilder:validation:XValidation:rule="!has(self.scaling) || self.role == 'Beat' || !has(self.replicas) || !has(self.replicas.min) || self.replicas.min > 0 || (has(self.scaling.metrics) ? self.scaling.metrics.exists(m, !has(m.resource)) : has(self.celery))",fieldPath=".replicas.min",message="must be at least 1: a tier without pods uses nothing, so resource alone would never bring it back"
// +kubebuilder:validation:XValidation:rule="!has(self.scaling) || self.role == 'Beat' || (has(self.cpu) && (has(self.cpu.request) ? isQuantity(string(self.cpu.request)) && quantity(string(self.cpu.request)).isGreaterThan(quantity('0')) : has(self.cpu.limit))) || (has(self.scaling.metrics) ? self.scaling.metrics.all(m, !has(m.resource) || m.resource.name != 'cpu' || !has(m.resource.targetAverageUtilization)) : has(self.celery))",fieldPath=".cpu.request",reason="FieldValueRequired",message="CPU utilization is measured in percent of what a pod requests: set cpu.request, or scale by targetAverageValue"
// +kubebuilder:validation:XValidation:rule="!has(self.server) || self.server.preset == 'Custom' || has(self.image)",fieldPath=".image",reason="FieldValueRequired",message="set the image of the model server"
// +kubebuilder:validation:XValidation:rule="!has(self.modelCache) || !has(self.pod) || !has(self.pod.volumeMounts) || self.pod.volumeMounts.all(m, m.mountPath != '/models')",fieldPath=".pod.volumeMounts",message="modelCache is mounted at /models: choose another mountPath"
// +kubebuilder:validation:XValidation:rule="!(has(self.cpu) && has(self.cpu.request) && has(self.cpu.limit) && isQuantity(string(self.cpu.request)) && isQuantity(string(self.cpu.limit))) || !quantity(string(self.cpu.request)).isGreaterThan(quantity(string(self.cpu.limit)))",fieldPath=".cpu.request",message="must not exceed cpu.limit",messageExpression="'must not exceed cpu.limit, which is ' + string(self.cpu.limit)"
// +kubebuilder:validation:XValidation:rule="!(has(self.celery) && has(self.celery.maxMemoryPerChild) && isQuantity(string(self.celery.maxMemoryPerChild)) && isQuantity(string(self.memory.perPod))) || quantity(string(self.celery.maxMemoryPerChild)).isLessThan(quantity(string(self.memory.perPod)))",fieldPath=".celery.maxMemoryPerChild",message="must be less than memory.perPod",messageExpression="'must be less than memory.perPod, which is ' + string(self.memory.perPod)"
type Tier struct {
	// name of the tier, unique in the resource.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must consist of lower-case letters, digits and -, and start and end with a letter or digit"
	Name string `json:"name,omitempty"`

	// role is what the tier is for: Web, Worker, ML or Beat.
	// +required
	Role Role `json:"role,omitempty"`

	// weight is the tier's share of the memory above the floors, relative to the other tiers.
	// Defaults to 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Weight *int32 `json:"weight,omitempty"`

	// enforcement is Gated or Paced. Defaults to Paced for Web and Beat, and to Gated for Worker and ML.
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`

	// memory is the size of a pod.
	// +required
	Memory TierMemory `json:"memory,omitzero"`

	// cpu is the CPU request and limit of a pod. Thread counts follow the limit.
	// +optional
	CPU *CPU `json:"cpu,omitempty"`

	// replicas is how many pods the tier has, wants and may have. Not for Beat tiers.
	// +optional
	Replicas *Replicas `json:"replicas,omitempty"`

	// scaling lets the tier ask for as many replicas as it has work for, between replicas.min and replicas.max, in place of
	// replicas.desired. Not for Beat tiers.
	// +optional
	Scaling *Scaling `json:"scaling,omitempty"`

	// image overrides spec.application.image.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="must be an image reference without spaces, such as registry.example/shop:1.4"
	Image string `json:"image,omitempty"`

	// env is added to spec.application.env. An entry of the same name replaces that one.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:XValidation:rule="self.name.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",fieldPath=".name",message="must consist of letters, digits, _, - and ., and not start with a digit"
	// +kubebuilder:validation:items:XValidation:rule="!self.name.startsWith('MEMORYBUDGET_') || self.name == 'MEMORYBUDGET_VERIFY_TIMEOUT'",fieldPath=".name",message="names that start with MEMORYBUDGET_ are the operator's; only MEMORYBUDGET_VERIFY_TIMEOUT can be set"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.valueFrom) || !has(self.value) || self.value.size() == 0",fieldPath=".valueFrom",reason="FieldValueForbidden",message="give value or valueFrom, not both"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.valueFrom) || [has(self.valueFrom.fieldRef), has(self.valueFrom.resourceFieldRef), has(self.valueFrom.configMapKeyRef), has(self.valueFrom.secretKeyRef)].filter(s, s).size() == 1",fieldPath=".valueFrom",message="exactly one of fieldRef, resourceFieldRef, configMapKeyRef and secretKeyRef must be set"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.valueFrom) || !has(self.valueFrom.configMapKeyRef) || (has(self.valueFrom.configMapKeyRef.name) && self.valueFrom.configMapKeyRef.name.size() > 0)",fieldPath=".valueFrom.configMapKeyRef.name",reason="FieldValueRequired",message="name the object that the value is taken from"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.valueFrom) || !has(self.valueFrom.secretKeyRef) || (has(self.valueFrom.secretKeyRef.name) && self.valueFrom.secretKeyRef.name.size() > 0)",fieldPath=".valueFrom.secretKeyRef.name",reason="FieldValueRequired",message="name the object that the value is taken from"
	Env []corev1.EnvVar `json:"env,omitempty"`

	// envFrom is added after spec.application.envFrom: of two sources with the same variable the later wins.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:XValidation:rule="has(self.configMapRef) != has(self.secretRef)",message="exactly one of configMapRef and secretRef must be set"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.configMapRef) || (has(self.configMapRef.name) && self.configMapRef.name.size() > 0)",fieldPath=".configMapRef.name",reason="FieldValueRequired",message="name the object that the variables are taken from"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.secretRef) || (has(self.secretRef.name) && self.secretRef.name.size() > 0)",fieldPath=".secretRef.name",reason="FieldValueRequired",message="name the object that the variables are taken from"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.configMapRef) || !has(self.configMapRef.name) || self.configMapRef.name.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",fieldPath=".configMapRef.name",message="must consist of lower-case letters, digits, - and ., and each part between dots must start and end with a letter or digit"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.secretRef) || !has(self.secretRef.name) || self.secretRef.name.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",fieldPath=".secretRef.name",message="must consist of lower-case letters, digits, - and ., and each part between dots must start and end with a letter or digit"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.prefix) || self.prefix.matches('^[ -<>-~]*$')",fieldPath=".prefix",message="must consist of printable ASCII characters other than ="
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// gunicorn runs a WSGI or ASGI application.
	// +optional
	Gunicorn *Gunicorn `json:"gunicorn,omitempty"`

	// celery runs a Celery worker.
	// +optional
	Celery *Celery `json:"celery,omitempty"`

	// beat runs Celery's scheduler.
	// +optional
	Beat *Beat `json:"beat,omitempty"`

	// server runs a model server.
	// +optional
	Server *Server `json:"server,omitempty"`

	// process runs any command.
	// +optional
	Process *Process `json:"process,omitempty"`

	// modelCache is a directory for downloaded models, mounted at /models; HF_HOME and TORCH_HOME point into it.
	// +optional
	ModelCache *ModelCache `json:"modelCache,omitempty"`

	// pod is what the pods of this tier get besides what the operator makes. It is merged over spec.application.pod.
	// +optional
	Pod *Pod `json:"pod,omitempty"`
}

// TierMemory is the size of a tier's pods.
type TierMemory struct {
	// perPod is the memory limit and request of each pod, in bytes: a quantity such as 512Mi.
	// At least 16Mi, at most 16Ti, a whole number of bytes.
	// +required
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity of bytes, such as 512Mi or 2Gi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')) && quantity('0').add(int(quantity(string(self)).asApproximateFloat() + 0.5)).compareTo(quantity(string(self))) != 0) || (!quantity(string(self)).isLessThan(quantity('16Mi')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')))",message="must be at least 16Mi and at most 16Ti"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || !(!quantity(string(self)).isLessThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')) && quantity('0').add(int(quantity(string(self)).asApproximateFloat() + 0.5)).compareTo(quantity(string(self))) != 0)",message="must be a whole number of bytes, such as 512Mi",messageExpression="quantity(string(self)).isLessThan(quantity('1Mi')) ? 'must be a whole number of bytes, such as 512Mi; the suffix m means thousandths of a byte' : 'must be a whole number of bytes, such as %dMi'.format([int(quantity(string(self)).asApproximateFloat()) / 1048576])"
	PerPod resource.Quantity `json:"perPod,omitzero"`
}

// CPU is the CPU request and limit of a pod.
type CPU struct {
	// request is what the scheduler reserves.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity of CPUs, such as 250m or 2"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('1024')))",message="must be at least 0 and at most 1024"
	Request *resource.Quantity `json:"request,omitempty"`
	// limit is what a pod may use. Where it is left out, thread counts are 1.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity of CPUs, such as 250m or 2"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('1m')) && !quantity(string(self)).isGreaterThan(quantity('1024')))",message="must be at least 1m and at most 1024"
	Limit *resource.Quantity `json:"limit,omitempty"`
}

// Replicas is how many pods a tier has, wants and may have.
//
// +kubebuilder:validation:XValidation:rule="!has(self.max) || (has(self.min) ? self.min : 1) <= self.max",fieldPath=".max",message="must not be less than min (1 where left out)",messageExpression="'must not be less than min, which is %s'.format([has(self.min) ? string(self.min) : '1 where left out'])"
// +kubebuilder:validation:XValidation:rule="!has(self.desired) || (has(self.min) ? self.min : 1) <= self.desired",fieldPath=".desired",message="must not be less than min (1 where left out)",messageExpression="'must not be less than min, which is %s'.format([has(self.min) ? string(self.min) : '1 where left out'])"
// +kubebuilder:validation:XValidation:rule="!has(self.desired) || !has(self.max) || self.desired <= self.max",fieldPath=".desired",message="must not exceed max",messageExpression="'must not exceed max, which is %d'.format([self.max])"
type Replicas struct {
	// min is the floor: what the tier always gets. Defaults to 1.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Min *int32 `json:"min,omitempty"`
	// desired is what the tier asks for while it has no scaling. Defaults to min.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Desired *int32 `json:"desired,omitempty"`
	// max is the most the tier may have. Defaults to the larger of min and desired.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Max *int32 `json:"max,omitempty"`
}

// ModelCache is a directory for downloaded models: exactly one of sizeLimit and persistentVolumeClaim.
// +kubebuilder:validation:ExactlyOneOf=sizeLimit;persistentVolumeClaim
type ModelCache struct {
	// sizeLimit makes it an empty directory on the node's disk that may hold this much.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity of bytes, such as 512Mi or 2Gi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('1Mi')) && !quantity(string(self)).isGreaterThan(quantity('1Pi')))",message="must be at least 1Mi and at most 1Pi"
	SizeLimit *resource.Quantity `json:"sizeLimit,omitempty"`
	// persistentVolumeClaim makes it a claim of this namespace.
	// +optional
	PersistentVolumeClaim *ClaimVolume `json:"persistentVolumeClaim,omitempty"`
}
