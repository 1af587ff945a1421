// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/status"
)

// valued is the running shop whose web tier scales by an external metric and by a query.
func valued(t *testing.T, external, query observe.Reading) *observe.Snapshot {
	t.Helper()
	mb := shop().Obj()
	mb.Spec.Tiers[0].Scaling = &v1alpha1.Scaling{Metrics: []v1alpha1.Metric{
		{External: &v1alpha1.ExternalMetric{Name: "orders", TargetValue: new(resource.MustParse("100"))}},
		{Prometheus: &v1alpha1.PrometheusMetric{
			Address: "http://prometheus:9090", Query: "secret_name", TargetAverageValue: new(resource.MustParse("500m")),
		}},
	}}
	s := running(t, mb)
	external.Tier, query.Tier, query.Metric = "web", "web", 1
	s.Now, s.Readings = noon, []observe.Reading{external, query}
	return s
}

var valueRead = observe.Reading{State: observe.ReadingRead, Milli: 1000}

// TestValuesFresh: what is wrong with an external metric or a query is told, and what it must be. Of a query that is not right it is told
// at once; of what may pass, after three minutes.
func TestValuesFresh(t *testing.T) {
	failing := func(state observe.ReadingState, since time.Duration) observe.Reading {
		return observe.Reading{State: state, FailingSince: noon.Add(-since), Secret: v1alpha1.SecretKeyReference{}}
	}
	secret := failing(observe.ReadingSecretKeyMissing, time.Hour)
	secret.Secret = v1alpha1.SecretKeyReference{Name: "prometheus", Key: "token"}
	cases := map[string]struct {
		external, query observe.Reading
		want, says      string
	}{
		"both read":                    {valueRead, valueRead, "True AllFresh", ""},
		"not read yet":                 {valueRead, observe.Reading{State: observe.ReadingNotReadYet}, "Unknown NotReadYet", ""},
		"no number, at once":           {valueRead, failing(observe.ReadingNotANumber, 0), "Unknown NotANumber", "must return a single number of at least 0"},
		"no number, for three minutes": {valueRead, failing(observe.ReadingNotANumber, 180*time.Second), "False NotANumber", "scaling.metrics[1] of tier web must return a single number"},
		"a wrong query":                {valueRead, failing(observe.ReadingQueryInvalid, 180*time.Second), "False PrometheusQueryInvalid", "must be PromQL"},
		"for less than three minutes":  {valueRead, failing(observe.ReadingUnreachable, 179*time.Second), "Unknown NotReadYet", ""},
		"for three minutes":            {valueRead, failing(observe.ReadingUnreachable, 180*time.Second), "False PrometheusUnreachable", "http://prometheus:9090"},
		"a certificate":                {valueRead, failing(observe.ReadingUntrusted, time.Hour), "False PrometheusUnreachable", "set caFrom"},
		"a token":                      {valueRead, failing(observe.ReadingRefuses, time.Hour), "False PrometheusAuthenticationFailed", "bearerTokenFrom"},
		"an address":                   {valueRead, failing(observe.ReadingForbidden, time.Hour), "False PrometheusForbiddenAddress", ""},
		"no Prometheus":                {valueRead, failing(observe.ReadingAnswerInvalid, time.Hour), "False PrometheusAnswerInvalid", ""},
		"a Secret":                     {valueRead, secret, "False PrometheusSecretUnreadable", "There is no key token in the Secret prometheus"},
		"no values":                    {failing(observe.ReadingNotANumber, 0), valueRead, "Unknown NotANumber", "external metric orders"},
		"no adapter":                   {failing(observe.ReadingUnavailable, time.Hour), valueRead, "False ExternalMetricUnavailable", "v1beta1.external.metrics.k8s.io"},
		"no right":                     {failing(observe.ReadingDenied, time.Hour), valueRead, "False ExternalMetricForbidden", ""},
		"the older one is told":        {failing(observe.ReadingNotANumber, 0), failing(observe.ReadingUnreachable, time.Hour), "False PrometheusUnreachable", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := meta.FindStatusCondition(compute(valued(t, tc.external, tc.query), "").Conditions, v1alpha1.ConditionSignalsFresh)
			if got := string(c.Status) + " " + c.Reason; got != tc.want || !strings.Contains(c.Message, tc.says) {
				t.Errorf("got %q (%s), want %q", got, c.Message, tc.want)
			}
			if strings.Contains(c.Message, "secret_name") {
				t.Errorf("tells the query: %s", c.Message)
			}
		})
	}
}

// TestNextChangeOfValues: the condition is looked at again when it turns.
func TestNextChangeOfValues(t *testing.T) {
	s := valued(t, valueRead, observe.Reading{State: observe.ReadingUnreachable, FailingSince: noon.Add(-time.Minute)})
	if got := status.NextChange(s); !got.Equal(noon.Add(2 * time.Minute)) {
		t.Errorf("at %s", got)
	}
}

// TestExplainValues: the metric is named, with its target and without its value.
func TestExplainValues(t *testing.T) {
	much := observe.Reading{State: observe.ReadingRead, Milli: 987654}
	cases := map[string]struct {
		external, query observe.Reading
		want            string
	}{
		"an external metric": {much, valueRead, "the external metric orders at a target of 100 asks for"},
		"a query":            {valueRead, much, "the Prometheus query in scaling.metrics[1] at a target of 500m per pod asks for"},
		"neither is known":   {observe.Reading{}, observe.Reading{}, "nothing tells the value of the external metric orders, so the tier goes on asking for what it did"},
		"one is not known":   {valueRead, observe.Reading{State: observe.ReadingNotANumber, FailingSince: noon}, "and while nothing tells the value of the Prometheus query in scaling.metrics[1], the tier is not made smaller"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := decision.Decide(valued(t, tc.external, tc.query)).Tiers[0].Demand
			if !d.Input.Known() && d.By >= 0 {
				d.Limit = demand.LimitUnknown
			}
			got := status.ExplainDemand(d)
			if !strings.Contains(got, tc.want) || strings.Contains(got, "987") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
