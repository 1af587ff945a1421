// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types of a MemoryBudget. All are always set.
const (
	// ConditionReady is True when all that is granted is ready. Being granted less than wanted is not unready.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the operator works towards the spec.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when the operator cannot go on without a change by somebody.
	ConditionStalled = "Stalled"
	// ConditionWithinBudget is True while the exposure is within the budget.
	ConditionWithinBudget = "WithinBudget"
	// ConditionSettingsApplied is True when the settings were seen to reach the application.
	ConditionSettingsApplied = "SettingsApplied"
	// ConditionQueuesOwned is True when no tasks wait in the broker that no tier takes.
	ConditionQueuesOwned = "QueuesOwned"
	// ConditionSignalsFresh is True while what the tiers' metrics show can be read.
	ConditionSignalsFresh = "SignalsFresh"
)

// Reasons of the condition Ready.
const (
	// ReasonAllReady surfaces when every granted replica is ready.
	ReasonAllReady = "AllReady"
	// ReasonReplicasNotReady surfaces when granted replicas are not ready yet.
	ReasonReplicasNotReady = "ReplicasNotReady"
	// ReasonRollingOut surfaces when pods of an older template are being replaced.
	ReasonRollingOut = "RollingOut"
	// ReasonPodsFailing surfaces when pods cannot start or keep crashing.
	ReasonPodsFailing = "PodsFailing"
	// ReasonRecommendOnly surfaces when spec.policy is Recommend.
	ReasonRecommendOnly = "RecommendOnly"
	// ReasonStalled surfaces when the condition Stalled is True.
	ReasonStalled = "Stalled"
)

// Reasons of the condition Reconciling.
const (
	// ReasonWaitingForMemory surfaces when a write or a gate waits for memory that is still held.
	ReasonWaitingForMemory = "WaitingForMemory"
	// ReasonWaitingForPods surfaces when granted pods are not ready yet.
	ReasonWaitingForPods = "WaitingForPods"
	// ReasonSettled surfaces when there is nothing left to do.
	ReasonSettled = "Settled"
)

// Reasons of the condition Stalled.
const (
	// ReasonBudgetTooSmall surfaces when the floors and the reserve do not fit the budget.
	ReasonBudgetTooSmall = "BudgetTooSmall"
	// ReasonTierTooSmall surfaces when the processes of a tier do not fit its pods.
	ReasonTierTooSmall = "TierTooSmall"
	// ReasonNameConflict surfaces when an object of the same name belongs to somebody else.
	ReasonNameConflict = "NameConflict"
	// ReasonInvalidSpec surfaces when the spec is not valid in a way that the API server could not see.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonRejected surfaces when the API server refuses an object made for the spec.
	ReasonRejected = "Rejected"
	// ReasonNotStalled surfaces when nothing stands in the way.
	ReasonNotStalled = "NotStalled"
)

// Reasons of the condition WithinBudget.
const (
	// ReasonWithinBudget surfaces when the exposure is at most the budget.
	ReasonWithinBudget = "WithinBudget"
	// ReasonForeignPods surfaces when what others did takes the exposure above the budget.
	ReasonForeignPods = "ForeignPods"
	// ReasonBudgetLowered surfaces while tiers shrink into a budget that was lowered.
	ReasonBudgetLowered = "BudgetLowered"
)

// Reasons of the condition SettingsApplied.
const (
	// ReasonVerified surfaces when the application was seen with the settings of the resource.
	ReasonVerified = "Verified"
	// ReasonNotReported surfaces when no pod has reported yet.
	ReasonNotReported = "NotReported"
	// ReasonVerificationDisabled surfaces when spec.verification is Disabled.
	ReasonVerificationDisabled = "VerificationDisabled"
	// ReasonSettingsNotEffective surfaces when the application was seen without settings of the resource.
	ReasonSettingsNotEffective = "SettingsNotEffective"
	// ReasonNothingToVerify surfaces when no tier runs Python.
	ReasonNothingToVerify = "NothingToVerify"
)

// Reasons of the condition QueuesOwned. A broker that could be read keeps the condition for a minute after it no longer can.
const (
	// ReasonAllOwned surfaces when each queue of the broker in which tasks wait is one of a tier.
	ReasonAllOwned = "AllOwned"
	// ReasonUnownedQueues surfaces when tasks wait in queues of the broker that no tier takes tasks from.
	ReasonUnownedQueues = "UnownedQueues"
	// ReasonNoBroker surfaces when the spec names no broker, or no tier takes tasks from it.
	ReasonNoBroker = "NoBroker"
	// ReasonNotReadYet surfaces until the broker, or what else a tier scales by, was read for the first time.
	ReasonNotReadYet = "NotReadYet"
	// ReasonBrokerUnreachable surfaces when the broker cannot be connected to or does not answer in time.
	ReasonBrokerUnreachable = "BrokerUnreachable"
	// ReasonBrokerAuthenticationFailed surfaces when the broker refuses the user or password, or what the user asks for.
	ReasonBrokerAuthenticationFailed = "BrokerAuthenticationFailed"
	// ReasonBrokerForbiddenAddress surfaces when the broker has an address that the operator does not connect to.
	ReasonBrokerForbiddenAddress = "BrokerForbiddenAddress"
	// ReasonBrokerSecretUnreadable surfaces when the Secret or its key is missing, or the operator may not read it.
	ReasonBrokerSecretUnreadable = "BrokerSecretUnreadable"
	// ReasonBrokerURLInvalid surfaces when what the Secret holds is not the URL of such a broker.
	ReasonBrokerURLInvalid = "BrokerURLInvalid"
	// ReasonManagementURLMissing surfaces when a RabbitMQ broker has no managementURLFrom.
	ReasonManagementURLMissing = "ManagementURLMissing"
	// ReasonBrokerAnswerInvalid surfaces when the broker does not answer as such a broker does.
	ReasonBrokerAnswerInvalid = "BrokerAnswerInvalid"
)

// Reasons of the condition SignalsFresh, besides those of a broker that cannot be read. It is False once that lasts for three
// minutes, and at once where a key of Redis holds something else. As long as a metric cannot be read, its tier is not made smaller.
const (
	// ReasonNoSignals surfaces when no tier has scaling.
	ReasonNoSignals = "NoSignals"
	// ReasonAllFresh surfaces when the metrics of all tiers can be read.
	ReasonAllFresh = "AllFresh"
	// ReasonQueuesNotCounted surfaces when the broker does not tell, or not yet, how many tasks are in a queue.
	ReasonQueuesNotCounted = "QueuesNotCounted"
	// ReasonRedisKeyInvalid surfaces when a key that a tier names for a Redis stream or list holds something else.
	ReasonRedisKeyInvalid = "RedisKeyInvalid"
	// ReasonRedisKeyForbidden surfaces when the user of the broker's URL may not read a Redis stream or list that a tier names.
	ReasonRedisKeyForbidden = "RedisKeyForbidden"
	// ReasonEntriesNotCounted surfaces when the Redis does not tell, or not yet, how much there is in a stream or list.
	ReasonEntriesNotCounted = "EntriesNotCounted"
	// ReasonMetricsAPIUnavailable surfaces when the cluster has no metrics API (metrics-server), or it does not answer.
	ReasonMetricsAPIUnavailable = "MetricsAPIUnavailable"
	// ReasonMetricsAPIForbidden surfaces when the operator may not list pods of metrics.k8s.io.
	ReasonMetricsAPIForbidden = "MetricsAPIForbidden"
	// ReasonPodsNotMeasured surfaces when the metrics API does not tell, or not yet, what any ready pod of a tier uses.
	ReasonPodsNotMeasured = "PodsNotMeasured"
	// ReasonExternalMetricUnavailable surfaces when the cluster has no external metrics API, or it does not tell about a metric.
	ReasonExternalMetricUnavailable = "ExternalMetricUnavailable"
	// ReasonExternalMetricForbidden surfaces when the operator may not read external metrics.
	ReasonExternalMetricForbidden = "ExternalMetricForbidden"
	// ReasonPrometheusUnreachable surfaces when a Prometheus cannot be connected to, does not answer in time, or is not trusted.
	ReasonPrometheusUnreachable = "PrometheusUnreachable"
	// ReasonPrometheusAuthenticationFailed surfaces when a Prometheus refuses the token, or wants one.
	ReasonPrometheusAuthenticationFailed = "PrometheusAuthenticationFailed"
	// ReasonPrometheusForbiddenAddress surfaces when a Prometheus has an address that the operator does not connect to.
	ReasonPrometheusForbiddenAddress = "PrometheusForbiddenAddress"
	// ReasonPrometheusSecretUnreadable surfaces when a Secret or its key is missing, the operator may not read it, or it holds no token
	// or certificate.
	ReasonPrometheusSecretUnreadable = "PrometheusSecretUnreadable"
	// ReasonPrometheusAnswerInvalid surfaces when what is at the address does not answer as a Prometheus does.
	ReasonPrometheusAnswerInvalid = "PrometheusAnswerInvalid"
	// ReasonPrometheusQueryInvalid surfaces when a Prometheus does not take a query, or cannot evaluate it.
	ReasonPrometheusQueryInvalid = "PrometheusQueryInvalid"
	// ReasonNotANumber surfaces when a query or an external metric has no value that is a single number of at least 0.
	ReasonNotANumber = "NotANumber"
)

// Values of limitedBy of a tier's demand.
const (
	// DemandLimitedByNone means that the tier wants as many replicas as its metrics ask for.
	DemandLimitedByNone = "None"
	// DemandLimitedByMin means that replicas.min is more.
	DemandLimitedByMin = "MinReplicas"
	// DemandLimitedByMax means that replicas.max is less.
	DemandLimitedByMax = "MaxReplicas"
	// DemandLimitedByUnknown means that a metric cannot be read, so that the tier is not made smaller.
	DemandLimitedByUnknown = "MetricUnknown"
	// DemandLimitedByStabilization means that more was asked for within the window for scaling down, or less within that for
	// scaling up.
	DemandLimitedByStabilization = "Stabilization"
	// DemandLimitedByJump means that the demand has just jumped, so that the tier is not made smaller for a minute.
	DemandLimitedByJump = "Jump"
	// DemandLimitedByPolicy means that the policies of scaling.behavior allow no larger change now.
	DemandLimitedByPolicy = "Policy"
	// DemandLimitedByThroughOne means that on its way to zero the tier has one replica for a while.
	DemandLimitedByThroughOne = "ThroughOne"
)

// Values of limitedBy.
const (
	// LimitedByNone means that a tier has what it wants.
	LimitedByNone = "None"
	// LimitedByBudget means that the budget has no room for a further pod.
	LimitedByBudget = "Budget"
	// LimitedByReserve means that a further pod would fit, were it not for the reserve.
	LimitedByReserve = "Reserve"
	// LimitedByBudgetTooSmall means that the floors do not fit, so nothing is changed.
	LimitedByBudgetTooSmall = "BudgetTooSmall"
	// LimitedByInvalidSpec means that the spec is not valid, so nothing is changed.
	LimitedByInvalidSpec = "InvalidSpec"
	// LimitedByPause means that spec.pause holds or drains the tier.
	LimitedByPause = "Pause"
	// LimitedByPolicy means that spec.policy is Recommend.
	LimitedByPolicy = "Policy"
)

// Reasons of events.
const (
	// EventScaled tells that replicas of a tier were changed.
	EventScaled = "Scaled"
	// EventRollout tells that a new pod template was applied.
	EventRollout = "Rollout"
	// EventRolloutDowntime tells that a tier rolls out with its only replica down, for want of room.
	EventRolloutDowntime = "RolloutDowntime"
	// EventScalerConflict tells that somebody else changed replicas and that they were put back.
	EventScalerConflict = "ScalerConflict"
	// EventTierRemoved tells that a tier that is no longer in the spec was removed.
	EventTierRemoved = "TierRemoved"
	// EventStalled tells that the operator cannot go on.
	EventStalled = "Stalled"
)
