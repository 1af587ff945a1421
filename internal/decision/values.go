// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// Value is what a tier is told by an external metric or a query of a Prometheus.
type Value struct {
	observe.Reading
	// Input is the metric that it became, an index of Demand.Input.Metrics.
	Input int
	// Target is what it is compared with, as the spec has it.
	Target string
	// Name is that of an external metric, Address that of a Prometheus.
	Name, Address string
}

// Value is what a metric was made of, nil for one that has no value of its own.
func (d *Demand) Value(input int) *Value {
	for i := range d.Values {
		if d.Values[i].Input == input {
			return &d.Values[i]
		}
	}
	return nil
}

// measureValues adds the external metrics and the queries of a tier.
func (d *Demand) measureValues(tier *v1alpha1.Tier, s *observe.Snapshot) {
	for i := range tier.Scaling.Metrics {
		spec := &tier.Scaling.Metrics[i]
		target, perReplica, found := observe.ValueTarget(spec)
		if !found {
			continue
		}
		v := Value{Reading: s.Reading(tier.Name, i), Input: len(d.Input.Metrics), Target: target.String()}
		measure := MeasureExternal
		if spec.External != nil {
			v.Name = spec.External.Name
		} else {
			measure, v.Address = MeasurePrometheus, spec.Prometheus.Address
		}
		kind := demand.Ratio
		if perReplica {
			kind = demand.PerReplica
		}
		d.Values, d.Measures = append(d.Values, v), append(d.Measures, measure)
		d.Input.Metrics = append(d.Input.Metrics, compared(kind, v.Fresh(), v.Milli, max(1, target.MilliValue())))
	}
}

// mostCompared is more than demand compares exactly.
const mostCompared = 1 << 39

// compared is a value beside its target, both in thousandths, or in ones, thousands or more where that is too many. What is lost is
// less than matters: a value so large asks for more replicas than there may be, unless its target is large as well. What is
// not nothing stays so.
func compared(kind demand.Kind, known bool, value, target int64) demand.Metric {
	const less = 1000
	for max(value, target) > mostCompared {
		value, target = max(value/less, min(value, 1)), max(1, target/less)
	}
	return demand.Metric{Kind: kind, Known: known, Value: value, Target: target}
}
