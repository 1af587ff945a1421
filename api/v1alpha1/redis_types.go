// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// RedisStreamMetric counts the entries of a stream that were not delivered to a consumer group yet, and those that its consumers
// have been delivered and have not acknowledged. As long as nobody has made the group, all entries of the stream count. The stream
// is in the database that the URL of broker.redis names.
type RedisStreamMetric struct {
	// stream is the key of the stream. A stream that does not exist is empty.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="must be a key of printable ASCII characters without spaces, such as shop:orders"
	Stream string `json:"stream,omitempty"`

	// consumerGroup is the group of which the tier's processes are consumers.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="must be a name of printable ASCII characters without spaces, such as billing"
	ConsumerGroup string `json:"consumerGroup,omitempty"`

	// targetEntriesPerReplica is how many entries there may be for each replica: the tier asks for so many replicas that there
	// are no more. Defaults to 5.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	TargetEntriesPerReplica *int32 `json:"targetEntriesPerReplica,omitempty"`
}

// RedisListMetric counts the elements of a list, which is in the database that the URL of broker.redis names. What a process has
// taken from it counts no longer.
type RedisListMetric struct {
	// list is the key of the list. A list that does not exist is empty.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="must be a key of printable ASCII characters without spaces, such as shop:images"
	List string `json:"list,omitempty"`

	// targetLengthPerReplica is how many elements there may be for each replica: the tier asks for so many replicas that there
	// are no more. Defaults to 5.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	TargetLengthPerReplica *int32 `json:"targetLengthPerReplica,omitempty"`
}
