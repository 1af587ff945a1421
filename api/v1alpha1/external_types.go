// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

// ExternalMetric compares the sum of the values of an external metric with a target, as an External metric of a
// HorizontalPodAutoscaler does. A metric without values, or with a negative sum, is not known, which is not zero.
//
// +kubebuilder:validation:ExactlyOneOf=targetValue;targetAverageValue
type ExternalMetric struct {
	// name of the metric.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-$&-.0-~]+$') && self != '.' && self != '..'",message="must consist of printable ASCII characters other than spaces, / and %, and be neither . nor .."
	Name string `json:"name,omitempty"`

	// matchLabels are labels that the values must have to count. All values of the metric in the namespace count where they are left out.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="keys must be names of at most 63 characters (letters, digits, -, _ and .), optionally after a DNS name of at most 253 characters and /"
	// +kubebuilder:validation:XValidation:rule="self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$'))",message="values have at most 63 characters (letters, digits, -, _ and .)"
	MatchLabels map[string]string `json:"matchLabels,omitempty"`

	// targetValue is what the value is meant to be. While it is twice that, the tier asks for twice the replicas that it has. From zero
	// it asks for as many as the target goes into the value, rounded up.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity, such as 30 or 500m"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('1m')) && !quantity(string(self)).isGreaterThan(quantity('1P')))",message="must be at least 1m and at most 1P"
	TargetValue *resource.Quantity `json:"targetValue,omitempty"`

	// targetAverageValue is how much of the value there may be for each replica.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity, such as 30 or 500m"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('1m')) && !quantity(string(self)).isGreaterThan(quantity('1P')))",message="must be at least 1m and at most 1P"
	TargetAverageValue *resource.Quantity `json:"targetAverageValue,omitempty"`
}

// PrometheusMetric compares what a Prometheus answers to an instant query with a target. The answer must be a single number: a scalar,
// or a vector with one series. Without series, with several of them, NaN, infinite or negative it is not known, which is not zero.
//
// +kubebuilder:validation:ExactlyOneOf=targetValue;targetAverageValue
type PrometheusMetric struct {
	// address of the Prometheus: http:// or https://, a host, and where needed a port and the path under which its API is served. A
	// host without a dot is a Service of this namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://([A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[-A-Za-z0-9._~/]*)?$')",message="must be http:// or https://, a host, and optionally a port and a path, such as http://prometheus.monitoring:9090: without user, password, query and fragment"
	Address string `json:"address,omitempty"`

	// query is PromQL whose value is a single number, such as sum(rate(http_requests_total{namespace="shop"}[2m])).
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Query string `json:"query,omitempty"`

	// bearerTokenFrom is where a token is kept that the Prometheus is sent with each query. Over http:// it can be read on its way.
	// +optional
	BearerTokenFrom *SecretSource `json:"bearerTokenFrom,omitempty"`

	// caFrom is where certificates (PEM) are kept of which one must have signed that of the Prometheus. Defaults to those that the
	// operator's image trusts.
	// +optional
	CAFrom *SecretSource `json:"caFrom,omitempty"`

	// targetValue is what the value is meant to be. While it is twice that, the tier asks for twice the replicas that it has. From zero
	// it asks for as many as the target goes into the value, rounded up.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity, such as 30 or 500m"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('1m')) && !quantity(string(self)).isGreaterThan(quantity('1P')))",message="must be at least 1m and at most 1P"
	TargetValue *resource.Quantity `json:"targetValue,omitempty"`

	// targetAverageValue is how much of the value there may be for each replica.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity, such as 30 or 500m"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('1m')) && !quantity(string(self)).isGreaterThan(quantity('1P')))",message="must be at least 1m and at most 1P"
	TargetAverageValue *resource.Quantity `json:"targetAverageValue,omitempty"`
}

// SecretSource is where something is kept that is not told.
type SecretSource struct {
	// secretKeyRef is a key of a Secret in this namespace.
	// +required
	SecretKeyRef SecretKeyReference `json:"secretKeyRef,omitzero"`
}
