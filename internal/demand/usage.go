// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package demand

// measured is what pods use together, and what they are meant to.
type measured struct {
	pods, value, target int64
}

func (m *measured) add(value, target int64) {
	m.pods++
	m.value += min(max(value, 0), most)
	m.target += min(max(target, 1), most)
}

// percent is the whole.
const percent = 100

// asks is how many pods would use no more than they are meant to.
func (m measured) asks() int32 { return replicas(ceil(saturated(m.value, m.pods), m.target)) }

// measured adds up the pods whose use tells of the demand.
func (m *Metric) measured() (sum measured) {
	for _, p := range m.Pods {
		if !p.Missing && !p.Starting {
			sum.add(p.Value, p.Target)
		}
	}
	return sum
}

// asksByUsage follows GetResourceReplicas of the HorizontalPodAutoscaler's replica calculator (Kubernetes 1.37), but for two things:
// utilization is not cut to whole percent first, and pods that do not exist yet are no reason to shrink while the others use too much.
func (m Metric) asksByUsage(in *Input) int32 {
	sum := m.measured()
	if in.Replicas == 0 || sum.pods == 0 {
		return in.lastOne(in.Replicas)
	}
	grows := sum.value > sum.target
	sum.assume(m.Pods, grows)
	asked := sum.asks()
	turned := sum.value > sum.target != grows || grows && asked < in.Replicas || !grows && asked > in.Replicas
	if turned || within(in, sum.value, sum.target) {
		return in.lastOne(in.Replicas)
	}
	return in.lastOne(max(asked, 1))
}

// assume adds the pods that do not tell of the demand, with what makes the change smaller.
func (m *measured) assume(pods []Pod, grows bool) {
	for _, p := range pods {
		switch {
		case grows && (p.Starting || p.Missing):
			m.add(0, p.Target)
		case p.Missing && !p.Starting:
			m.add(p.Assumed, p.Target)
		}
	}
}

// lastOne leaves it to the other metrics, where there are any, whether there is to be a pod at all: one that is idle uses something too.
func (in *Input) lastOne(n int32) int32 {
	for _, m := range in.Metrics {
		if m.Kind != Usage && n == 1 {
			return 0
		}
	}
	return n
}

// Percent is what the pods that tell of the demand use on average, in percent of what they are meant to, 0 where none does.
func (m *Metric) Percent() int64 {
	sum := m.measured()
	if sum.target == 0 {
		return 0
	}
	return saturated(sum.value, percent) / sum.target
}
