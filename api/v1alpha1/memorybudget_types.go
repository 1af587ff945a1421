// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MemoryBudget declares how much memory an application may use. The operator turns it into one
// Deployment per tier whose pods together never take more than spec.memory.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=mb,singular=memorybudget
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether all that is granted is ready."
// +kubebuilder:printcolumn:name="Budget",type=string,JSONPath=`.spec.memory`,description="The ceiling on the memory limits of all pods."
// +kubebuilder:printcolumn:name="Allocated",type=string,JSONPath=`.status.allocated`,description="What the pods count against the budget now."
// +kubebuilder:printcolumn:name="Web",type=string,JSONPath=`.status.readyReplicas.web`,description="Ready and granted replicas of the web tiers."
// +kubebuilder:printcolumn:name="Worker",type=string,JSONPath=`.status.readyReplicas.worker`,description="Ready and granted replicas of the worker tiers."
// +kubebuilder:printcolumn:name="ML",type=string,JSONPath=`.status.readyReplicas.ml`,description="Ready and granted replicas of the ML tiers."
// +kubebuilder:printcolumn:name="Limited-By",type=string,JSONPath=`.status.limitedBy`,description="What keeps tiers from what they want."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 42",fieldPath=".metadata.name",message="must be a lower-case DNS label that starts with a letter and has at most 42 characters, since what is made from it is named <name>-<tier>"
type MemoryBudget struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`
	// spec is what the application may use and what it consists of.
	// +required
	Spec MemoryBudgetSpec `json:"spec,omitzero"`
	// status is what the operator found and did.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status MemoryBudgetStatus `json:"status,omitzero"`
}

// MemoryBudgetList is a list of MemoryBudgets.
//
// +kubebuilder:object:root=true
type MemoryBudgetList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the MemoryBudgets.
	// +required
	Items []MemoryBudget `json:"items"`
}

// Policy says whether the operator acts or only reports.
// +kubebuilder:validation:Enum=Enforce;Recommend
type Policy string

const (
	// PolicyEnforce makes and scales the tiers.
	PolicyEnforce Policy = "Enforce"
	// PolicyRecommend computes and reports what would be done and writes nothing but status.
	// Pods that already wait at a gate are still let through up to the current replicas.
	PolicyRecommend Policy = "Recommend"
)

// Pause stops the operator from changing tiers.
// +kubebuilder:validation:Enum=None;Hold;Drain
type Pause string

const (
	// PauseNone is normal operation.
	PauseNone Pause = "None"
	// PauseHold leaves replicas and templates as they are; gated pods are still released up to
	// the current replicas.
	PauseHold Pause = "Hold"
	// PauseDrain takes all tiers to zero, floors and Web too, and keeps their objects.
	PauseDrain Pause = "Drain"
)

// Verification switches the check of what reached the application.
// +kubebuilder:validation:Enum=Enabled;Disabled
type Verification string

const (
	// VerificationEnabled imports the application before it starts and reports what took effect.
	VerificationEnabled Verification = "Enabled"
	// VerificationDisabled does not import the application; files are still checked against their hashes.
	VerificationDisabled Verification = "Disabled"
)

// MemoryBudgetSpec is what an application may use and what it consists of.
//
// +kubebuilder:validation:XValidation:rule="self.tiers.all(t, !(isQuantity(string(self.memory)) && !quantity(string(self.memory)).isLessThan(quantity('16Mi')) && isQuantity(string(t.memory.perPod)) && !quantity(string(t.memory.perPod)).isGreaterThan(quantity('16Ti')) && quantity(string(t.memory.perPod)).isGreaterThan(quantity(string(self.memory)))))",fieldPath=".tiers",message="a pod of each tier (memory.perPod) must fit spec.memory: lower perPod or raise spec.memory",messageExpression="self.tiers.map(t, isQuantity(string(self.memory)) && !quantity(string(self.memory)).isLessThan(quantity('16Mi')) && isQuantity(string(t.memory.perPod)) && !quantity(string(t.memory.perPod)).isGreaterThan(quantity('16Ti')) && quantity(string(t.memory.perPod)).isGreaterThan(quantity(string(self.memory))), 'tier %s: a pod of %s (memory.perPod) does not fit the %s of spec.memory: lower perPod or raise spec.memory'.format([t.name, string(t.memory.perPod), string(self.memory)]))[0]"
// +kubebuilder:validation:XValidation:rule="!(isQuantity(string(self.memory)) && !quantity(string(self.memory)).isGreaterThan(quantity('16Ti')) && self.tiers.all(t, isQuantity(string(t.memory.perPod)) && !quantity(string(t.memory.perPod)).isGreaterThan(quantity(string(self.memory))) && (!has(t.replicas) || !has(t.replicas.min) || (t.replicas.min >= 0 && t.replicas.min <= 10000)))) || self.tiers.map(t, int(quantity(string(t.memory.perPod)).asApproximateFloat() + 0.5) * (t.role != 'Beat' && has(t.replicas) && has(t.replicas.min) ? t.replicas.min : 1)).sum() + (!has(self.reserve) ? 0 : string(self.reserve).matches('^(100|[1-9]?[0-9])%$') ? (int(quantity(string(self.memory)).asApproximateFloat() + 0.5) * int(string(self.reserve).split('%')[0]) + 99) / 100 : isQuantity(string(self.reserve)) && !quantity(string(self.reserve)).isGreaterThan(quantity('16Ti')) && !quantity(string(self.reserve)).isLessThan(quantity('0')) ? int(quantity(string(self.reserve)).asApproximateFloat() + 0.5) : 0) <= int(quantity(string(self.memory)).asApproximateFloat() + 0.5)",fieldPath=".memory",message="the floors (replicas.min x memory.perPod of every tier) and the reserve must fit: raise memory, or lower reserve, replicas.min or perPod",messageExpression="'the floors (replicas.min x memory.perPod of every tier) and the reserve need %dMi, and memory is %s: raise memory, or lower reserve, replicas.min or perPod'.format([(self.tiers.map(t, int(quantity(string(t.memory.perPod)).asApproximateFloat() + 0.5) * (t.role != 'Beat' && has(t.replicas) && has(t.replicas.min) ? t.replicas.min : 1)).sum() + (!has(self.reserve) ? 0 : string(self.reserve).matches('^(100|[1-9]?[0-9])%$') ? (int(quantity(string(self.memory)).asApproximateFloat() + 0.5) * int(string(self.reserve).split('%')[0]) + 99) / 100 : isQuantity(string(self.reserve)) && !quantity(string(self.reserve)).isGreaterThan(quantity('16Ti')) && !quantity(string(self.reserve)).isLessThan(quantity('0')) ? int(quantity(string(self.reserve)).asApproximateFloat() + 0.5) : 0) + 1048575) / 1048576, string(self.memory)])"
// +kubebuilder:validation:XValidation:rule="self.tiers.all(t, !has(t.celery) || t.celery.queues.all(q, self.tiers.exists_one(u, has(u.celery) && q in u.celery.queues)))",fieldPath=".tiers",message="each queue must be owned by exactly one tier",messageExpression="[self.tiers.map(t, has(t.celery) && !t.celery.queues.all(q, self.tiers.exists_one(u, has(u.celery) && q in u.celery.queues)), t.celery.queues.filter(q, !self.tiers.exists_one(u, has(u.celery) && q in u.celery.queues))[0])[0]].map(q, 'queue %s is in the tiers %s and %s: each queue must be owned by exactly one tier'.format([q, self.tiers.map(u, has(u.celery) && q in u.celery.queues, u.name)[0], self.tiers.map(u, has(u.celery) && q in u.celery.queues, u.name)[1]]))[0]"
// +kubebuilder:validation:XValidation:rule="self.tiers.all(t, !has(t.celery) || !has(t.celery.tasks) || t.celery.tasks.all(k, self.tiers.exists_one(u, has(u.celery) && has(u.celery.tasks) && k in u.celery.tasks)))",fieldPath=".tiers",message="each entry of tasks must be in exactly one tier",messageExpression="[self.tiers.map(t, has(t.celery) && has(t.celery.tasks) && !t.celery.tasks.all(k, self.tiers.exists_one(u, has(u.celery) && has(u.celery.tasks) && k in u.celery.tasks)), t.celery.tasks.filter(k, !self.tiers.exists_one(u, has(u.celery) && has(u.celery.tasks) && k in u.celery.tasks))[0])[0]].map(k, 'the tasks %s are in the tiers %s and %s: tasks are routed to exactly one tier'.format([k, self.tiers.map(u, has(u.celery) && has(u.celery.tasks) && k in u.celery.tasks, u.name)[0], self.tiers.map(u, has(u.celery) && has(u.celery.tasks) && k in u.celery.tasks, u.name)[1]]))[0]"
// +kubebuilder:validation:XValidation:rule="has(self.broker) || self.tiers.all(t, !has(t.celery) && !has(t.beat))",fieldPath=".broker",reason="FieldValueRequired",message="a celery or beat tier needs a broker: set broker.redis or broker.rabbitmq"
// +kubebuilder:validation:XValidation:rule="!has(self.broker) || !has(self.broker.rabbitmq) || has(self.broker.rabbitmq.managementURLFrom) || self.tiers.all(t, !has(t.scaling) || !has(t.celery) || (has(t.scaling.metrics) && t.scaling.metrics.all(m, !has(m.queue))))",fieldPath=".broker.rabbitmq.managementURLFrom",reason="FieldValueRequired",message="how many tasks are in queues, by which celery tiers scale, only the management API tells: set managementURLFrom, or scale by something else"
// +kubebuilder:validation:XValidation:rule="!has(self.broker) || !has(self.broker.rabbitmq) || self.tiers.all(t, !(has(t.scaling) && has(t.scaling.metrics) && t.scaling.metrics.exists(m, has(m.queue) && has(m.queue.targetWaitSeconds))))",fieldPath=".tiers",message="how long tasks wait can be read from Redis alone: set targetDepthPerProcess in place of targetWaitSeconds",messageExpression="'tier %s: how long tasks wait can be read from Redis alone: set targetDepthPerProcess in place of targetWaitSeconds'.format([self.tiers.filter(t, has(t.scaling) && has(t.scaling.metrics) && t.scaling.metrics.exists(m, has(m.queue) && has(m.queue.targetWaitSeconds)))[0].name])"
// +kubebuilder:validation:XValidation:rule="(has(self.broker) && has(self.broker.redis)) || self.tiers.all(t, !(has(t.scaling) && has(t.scaling.metrics) && t.scaling.metrics.exists(m, has(m.redisStream) || has(m.redisList))))",fieldPath=".broker",message="redisStream and redisList are in the Redis that is the broker: set broker.redis",messageExpression="'tier %s: redisStream and redisList are in the Redis that is the broker: set broker.redis'.format([self.tiers.filter(t, has(t.scaling) && has(t.scaling.metrics) && t.scaling.metrics.exists(m, has(m.redisStream) || has(m.redisList)))[0].name])"
// +kubebuilder:validation:XValidation:rule="has(self.application.celery) || self.tiers.all(t, !has(t.celery) && !has(t.beat))",fieldPath=".application.celery",reason="FieldValueRequired",message="a celery or beat tier needs the Celery app: set application.celery.app"
// +kubebuilder:validation:XValidation:rule="has(self.application.image) || self.tiers.all(t, has(t.image))",fieldPath=".application.image",reason="FieldValueRequired",message="set application.image, or an image in every tier"
// +kubebuilder:validation:XValidation:rule="has(self.application.django) || !has(self.database)",fieldPath=".database",reason="FieldValueForbidden",message="database connections are set through Django: set application.django, or leave database out"
// +kubebuilder:validation:XValidation:rule="has(self.application.django) || !has(self.cache)",fieldPath=".cache",reason="FieldValueForbidden",message="the cache is set through Django: set application.django, or leave cache out"
// +kubebuilder:validation:XValidation:rule="self.tiers.all(t, !(has(t.pod) && has(t.pod.volumeMounts)) || t.pod.volumeMounts.all(m, ((has(t.pod.volumes) && t.pod.volumes.exists(v, v.name == m.name)) || (has(self.application.pod) && has(self.application.pod.volumes) && self.application.pod.volumes.exists(v, v.name == m.name)))))",fieldPath=".tiers",message="each entry of pod.volumeMounts must name a volume of the tier's or the application's pod.volumes",messageExpression="self.tiers.map(t, has(t.pod) && has(t.pod.volumeMounts) && !t.pod.volumeMounts.all(m, ((has(t.pod.volumes) && t.pod.volumes.exists(v, v.name == m.name)) || (has(self.application.pod) && has(self.application.pod.volumes) && self.application.pod.volumes.exists(v, v.name == m.name)))), 'tier %s: pod.volumeMounts names the volume %s, which is in the pod.volumes of neither the tier nor the application'.format([t.name, t.pod.volumeMounts.filter(m, !((has(t.pod.volumes) && t.pod.volumes.exists(v, v.name == m.name)) || (has(self.application.pod) && has(self.application.pod.volumes) && self.application.pod.volumes.exists(v, v.name == m.name))))[0].name]))[0]"
type MemoryBudgetSpec struct {
	// memory is the ceiling on the sum of the memory limits of all pods, in bytes: a quantity such
	// as 2Gi. At least 16Mi, at most 16Ti, a whole number of bytes.
	// +required
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity of bytes, such as 512Mi or 2Gi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')) && quantity('0').add(int(quantity(string(self)).asApproximateFloat() + 0.5)).compareTo(quantity(string(self))) != 0) || (!quantity(string(self)).isLessThan(quantity('16Mi')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')))",message="must be at least 16Mi and at most 16Ti"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || !(!quantity(string(self)).isLessThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')) && quantity('0').add(int(quantity(string(self)).asApproximateFloat() + 0.5)).compareTo(quantity(string(self))) != 0)",message="must be a whole number of bytes, such as 512Mi",messageExpression="quantity(string(self)).isLessThan(quantity('1Mi')) ? 'must be a whole number of bytes, such as 512Mi; the suffix m means thousandths of a byte' : 'must be a whole number of bytes, such as %dMi'.format([int(quantity(string(self)).asApproximateFloat()) / 1048576])"
	Memory resource.Quantity `json:"memory,omitzero"`

	// reserve is the part of memory kept free for rollouts: Auto, a whole percentage of memory
	// (rounded up to bytes) or a quantity. Tiers are granted memory less reserve. Auto is the larger
	// of 10% and one pod of the largest paced tier, as far as the floors leave room.
	// Defaults to Auto.
	// +optional
	// +kubebuilder:validation:XValidation:rule="string(self) == 'Auto' || string(self).matches('^(100|[1-9]?[0-9])%$') || (isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')))",message="must be Auto, a whole percentage from 0% to 100%, or a quantity of bytes such as 256Mi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || !(!quantity(string(self)).isLessThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')) && quantity('0').add(int(quantity(string(self)).asApproximateFloat() + 0.5)).compareTo(quantity(string(self))) != 0)",message="must be a whole number of bytes, such as 512Mi",messageExpression="quantity(string(self)).isLessThan(quantity('1Mi')) ? 'must be a whole number of bytes, such as 512Mi; the suffix m means thousandths of a byte' : 'must be a whole number of bytes, such as %dMi'.format([int(quantity(string(self)).asApproximateFloat()) / 1048576])"
	Reserve *Reserve `json:"reserve,omitempty"`

	// policy is Enforce (make and scale the tiers) or Recommend (report only).
	// +optional
	// +kubebuilder:default=Enforce
	Policy Policy `json:"policy,omitempty"`

	// pause is None, Hold (nothing is scaled or rolled out) or Drain (all tiers to zero).
	// +optional
	// +kubebuilder:default=None
	Pause Pause `json:"pause,omitempty"`

	// verification switches the check, before a pod starts, of which settings reach the application.
	// +optional
	// +kubebuilder:default=Enabled
	Verification Verification `json:"verification,omitempty"`

	// application is what the tiers share.
	// +required
	Application Application `json:"application,omitzero"`

	// broker is Celery's message broker. Required where a tier runs celery or beat.
	// +optional
	Broker *Broker `json:"broker,omitempty"`

	// database is how long Django keeps database connections.
	// +optional
	Database *Database `json:"database,omitempty"`

	// cache bounds the connections of Django's Redis cache.
	// +optional
	Cache *Cache `json:"cache,omitempty"`

	// tiers are the parts of the application, one Deployment each.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Tiers []Tier `json:"tiers,omitempty"`
}
