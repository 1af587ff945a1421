// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// byValue are the tiers that scale by external metrics or queries.
func (f *facts) byValue() []*tierFacts {
	return f.scaling(func(t *tierFacts) bool { return len(t.Demand.Values) > 0 })
}

// valuesStale is what is wrong with the first external metric or query that cannot be read, nil where none is. What has failed for long
// enough comes before what has not; of that, only what will not change by itself is told at once.
func (f *facts) valuesStale(tiers []*tierFacts) *metav1.Condition {
	var recent *metav1.Condition
	for _, t := range tiers {
		for i := range t.Demand.Values {
			v := &t.Demand.Values[i]
			if v.Fresh() {
				continue
			}
			stale := f.valueStale(t, v)
			if stale.Status == metav1.ConditionFalse {
				return stale
			}
			if recent == nil {
				recent = stale
			}
		}
	}
	return recent
}

func (f *facts) valueStale(t *tierFacts, v *decision.Value) *metav1.Condition {
	reason, message := unreadReading(t.Spec.Name, v)
	message += "; the tier is not made smaller meanwhile"
	switch {
	case !f.fails(v.FailingSince):
		return new(fresh(metav1.ConditionFalse, reason, message))
	case v.State == observe.ReadingNotANumber, v.State == observe.ReadingQueryInvalid:
		return new(fresh(metav1.ConditionUnknown, reason, message))
	}
	return f.signalsAsBefore("The metrics of tier " + t.Spec.Name + " were not read yet")
}

// unreadReading is why the value of a metric of a tier is not known. It holds nothing of an answer.
func unreadReading(tier string, v *decision.Value) (reason, message string) {
	switch {
	case v.Address == "":
		return unreadExternal(tier, v)
	case v.Secret.Name != "":
		return v1alpha1.ReasonPrometheusSecretUnreadable, unreadSecret(tier, v)
	}
	at := fmt.Sprintf("The Prometheus at %s, which tier %s scales by,", plain(v.Address, longestAddress), tier)
	query := fmt.Sprintf("The query in scaling.metrics[%d] of tier %s", v.Metric, tier)
	says, known := prometheusStates[v.State]
	switch {
	case v.State == observe.ReadingNotANumber, v.State == observe.ReadingQueryInvalid:
		return says.reason, query + says.message
	case !known:
		says = prometheusStates[observe.ReadingAnswerInvalid]
	}
	return says.reason, at + says.message
}

// prometheusStates are what is said of a Prometheus, or of a query.
var prometheusStates = map[observe.ReadingState]struct{ reason, message string }{
	observe.ReadingNotANumber: {
		v1alpha1.ReasonNotANumber, " must return a single number of at least 0: a scalar, or a vector with one series, as sum(...) does. " +
			"It returns no series, several, a range, NaN, or a number that is infinite or below 0",
	},
	observe.ReadingQueryInvalid: {
		v1alpha1.ReasonPrometheusQueryInvalid, " is not taken by the Prometheus, or cannot be evaluated: " +
			"it must be PromQL that returns a single number",
	},
	observe.ReadingNotReadYet:  {v1alpha1.ReasonNotReadYet, " was not asked yet"},
	observe.ReadingUnreachable: {v1alpha1.ReasonPrometheusUnreachable, " cannot be connected to, or does not answer within 5 seconds"},
	observe.ReadingUntrusted: {
		v1alpha1.ReasonPrometheusUnreachable, " has a certificate that the operator does not trust: set caFrom",
	},
	observe.ReadingRefuses: {
		v1alpha1.ReasonPrometheusAuthenticationFailed, " refuses the token of bearerTokenFrom, or wants one",
	},
	observe.ReadingForbidden: {
		v1alpha1.ReasonPrometheusForbiddenAddress, " has an address that the operator does not connect to: one of its own machine, " +
			"of the local link, or of the API server",
	},
	observe.ReadingAnswerInvalid: {
		v1alpha1.ReasonPrometheusAnswerInvalid, " does not answer as a Prometheus does, or with more than is looked at",
	},
}

func unreadSecret(tier string, v *decision.Value) string {
	secret := fmt.Sprintf("Secret %s, which scaling.metrics[%d].prometheus of tier %s names", v.Secret.Name, v.Metric, tier)
	switch v.State { //nolint:exhaustive // The others are not about a Secret.
	case observe.ReadingSecretMissing:
		return "There is no " + secret
	case observe.ReadingSecretKeyMissing:
		return fmt.Sprintf("There is no key %s in the %s", v.Secret.Key, secret)
	case observe.ReadingSecretInvalid:
		return fmt.Sprintf("What key %s holds in the %s is no token, or no certificate in PEM", v.Secret.Key, secret)
	}
	return "The operator may not get the " + secret +
		", before a Role in this namespace lets it (chart: brokerSecrets.namespaces; kustomize: config/broker-secrets)"
}

func unreadExternal(tier string, v *decision.Value) (reason, message string) {
	name := fmt.Sprintf("external metric %s, which tier %s scales by", plain(v.Name, longestAddress), tier)
	switch v.State { //nolint:exhaustive // The others are those of a Prometheus.
	case observe.ReadingNotANumber:
		return v1alpha1.ReasonNotANumber, "The " + name + ", must have values whose sum is a single number of at least 0: " +
			"it has none with these labels, or their sum is below 0"
	case observe.ReadingDenied:
		return v1alpha1.ReasonExternalMetricForbidden, "The operator may not list external.metrics.k8s.io: install its roles again"
	case observe.ReadingNotReadYet:
		return v1alpha1.ReasonNotReadYet, "The " + name + ", was not read yet"
	}
	return v1alpha1.ReasonExternalMetricUnavailable, "The external metrics API (external.metrics.k8s.io) tells nothing of the " + name +
		": look at its name, and at the adapter and the APIService v1beta1.external.metrics.k8s.io"
}

// called is how a metric is named in sentences.
func called(v *decision.Value) string {
	if v.Address == "" {
		return "the external metric " + plain(v.Name, longestName)
	}
	return fmt.Sprintf("the Prometheus query in scaling.metrics[%d]", v.Metric)
}

// unreadValue says which of a tier's external metrics and queries cannot be read, empty where all can.
func unreadValue(d *decision.Demand) string {
	for i := range d.Values {
		if v := &d.Values[i]; !v.Fresh() {
			return "nothing tells the value of " + called(v)
		}
	}
	return ""
}

// showsValue names a metric and its target. What its value is, is not told: it may be what the author of the resource is not to know.
func showsValue(v *decision.Value, kind demand.Kind) string {
	if kind == demand.PerReplica {
		return fmt.Sprintf("%s at a target of %s per pod", called(v), v.Target)
	}
	return fmt.Sprintf("%s at a target of %s", called(v), v.Target)
}
