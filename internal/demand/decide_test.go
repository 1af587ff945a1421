// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package demand

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start is when the histories of these tests begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// usual are the rules by default.
func usual() (up, down Rules) {
	up = Rules{Select: SelectMax, Tolerance: 100, Policies: []Policy{
		{Percent: true, Value: 100, Period: 15 * time.Second}, {Value: 4, Period: 15 * time.Second},
	}}
	down = Rules{Window: 5 * time.Minute, Select: SelectMax, Tolerance: 100, Policies: []Policy{
		{Percent: true, Value: 100, Period: 15 * time.Second},
	}}
	return up, down
}

// tier is one with so many replicas, all ready.
func tier(n int32, metrics ...Metric) Input {
	in := Input{Now: start, Replicas: n, Ready: n, Max: 100, Metrics: metrics}
	in.Up, in.Down = usual()
	return in
}

// settled is a tier that has asked for what it has for long.
func settled(n int32, metrics ...Metric) Input {
	in := tier(n, metrics...)
	in.History = History{Asked: []Asked{{Since: start.Add(-time.Hour), Replicas: n}}, Replicas: n}
	return in
}

// calm is a settled tier whose rules let it shrink at once.
func calm(n int32, metrics ...Metric) Input {
	in := settled(n, metrics...)
	in.Down.Window = 0
	return in
}

func tasks(n, perReplica int64) Metric {
	return Metric{Kind: PerReplica, Known: true, Value: n, Target: perReplica}
}

func wait(seconds, target int64) Metric {
	return Metric{Kind: Ratio, Known: true, Value: seconds, Target: target}
}

func unknown(m Metric) Metric {
	m.Known = false
	return m
}

// TestAsked is what metrics ask for, as autoscaling/v2 documents it.
func TestAsked(t *testing.T) {
	cases := map[string]struct {
		in    Input
		asked int32
		by    int
	}{
		"as many as are needed":                   {tier(3, tasks(20, 2)), 10, 0},
		"a part of a replica is a replica":        {tier(3, tasks(21, 2)), 11, 0},
		"nothing to do":                           {tier(3, tasks(0, 2)), 0, 0},
		"one task, none there":                    {tier(0, tasks(1, 100)), 1, 0},
		"nothing, none there":                     {tier(0, tasks(0, 100)), 0, 0},
		"ten percent above the target":            {tier(10, tasks(110, 10)), 10, 0},
		"a little more than ten percent above":    {tier(10, tasks(111, 10)), 12, 0},
		"ten percent below the target":            {tier(10, tasks(90, 10)), 10, 0},
		"a little more than ten percent below":    {tier(10, tasks(89, 10)), 9, 0},
		"the largest":                             {tier(3, tasks(20, 2), tasks(30, 2)), 15, 1},
		"the first of two that are equal":         {tier(3, tasks(20, 2), tasks(10, 1)), 10, 0},
		"the ones that are known":                 {tier(3, tasks(20, 2), unknown(tasks(30, 2))), 10, 0},
		"what there is while nothing is known":    {tier(3, unknown(tasks(30, 2))), 3, -1},
		"what there is without a metric":          {tier(3), 3, -1},
		"a wait of twice the target":              {tier(3, wait(60, 30)), 6, 0},
		"a wait near the target":                  {tier(3, wait(33, 30)), 3, 0},
		"a short wait":                            {tier(4, wait(8, 30)), 2, 0},
		"a wait, none there":                      {tier(0, wait(1, 30)), 1, 0},
		"a long wait, none there":                 {tier(0, wait(90, 30)), 3, 0},
		"no number is too large":                  {tier(3, tasks(math.MaxInt64, 1)), math.MaxInt32, 0},
		"nor any target":                          {tier(3, tasks(1, math.MaxInt64)), 1, 0},
		"nor any wait":                            {tier(math.MaxInt32, wait(math.MaxInt64, 1)), math.MaxInt32, 0},
		"less than nothing is nothing":            {tier(3, tasks(-5, 2)), 0, 0},
		"a target of nothing is one of one":       {tier(3, tasks(5, 0)), 5, 0},
		"no tolerance, a little above the target": {func() Input { in := tier(10, tasks(101, 10)); in.Up.Tolerance = 0; return in }(), 11, 0},
		"each direction has its own tolerance":    {func() Input { in := tier(10, tasks(85, 10)); in.Down.Tolerance = 200; return in }(), 10, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Decide(tc.in); got.Asked != tc.asked || got.By != tc.by {
				t.Errorf("asked for %d by metric %d, want %d by %d", got.Asked, got.By, tc.asked, tc.by)
			}
		})
	}
}

// TestUnreadyPodsAreNoReasonForMore: a wait stays long until the pods that it asked for are ready.
func TestUnreadyPodsAreNoReasonForMore(t *testing.T) {
	in := tier(6, wait(60, 30))
	in.Ready = 3
	if got := Decide(in); got.Asked != 6 {
		t.Errorf("asked for %d", got.Asked)
	}
	in.Metrics = []Metric{wait(10, 30)}
	if got := Decide(in); got.Asked != 1 {
		t.Errorf("asked for %d", got.Asked)
	}
}

// TestLimits is what comes of what is asked for in one step.
func TestLimits(t *testing.T) {
	disabled := func(in Input) Input {
		in.Up, in.Down = Rules{Select: SelectDisabled}, Rules{Select: SelectDisabled}
		return in
	}
	policies := func(in Input, by Select, all ...Policy) Input {
		in.Up.Select, in.Up.Policies, in.Down.Select, in.Down.Policies = by, all, by, all
		return in
	}
	percent, pods := Policy{true, 20, time.Minute}, Policy{false, 3, time.Minute}
	cases := map[string]struct {
		in    Input
		want  int32
		limit Limit
	}{
		"as asked":                                 {settled(3, tasks(8, 2)), 4, LimitNone},
		"up by four pods at most":                  {settled(2, tasks(100, 2)), 6, LimitPolicy},
		"up by all there are at most":              {settled(10, tasks(100, 2)), 20, LimitPolicy},
		"down not before the window is over":       {settled(10, tasks(2, 2)), 10, LimitStabilization},
		"down at once without a window":            {calm(10, tasks(2, 2)), 1, LimitNone},
		"to zero through one":                      {calm(10, tasks(0, 2)), 1, LimitThroughOne},
		"from one to zero":                         {calm(1, tasks(0, 2)), 0, LimitNone},
		"from zero, whatever policies say":         {policies(calm(0, tasks(50, 2)), SelectMax, percent), 1, LimitPolicy},
		"from zero, unless it is disabled":         {disabled(calm(0, tasks(50, 2))), 0, LimitPolicy},
		"not up where that is disabled":            {disabled(calm(2, tasks(50, 2))), 2, LimitPolicy},
		"not down where that is disabled":          {disabled(calm(2, tasks(2, 2))), 2, LimitPolicy},
		"the larger change up":                     {policies(calm(20, tasks(500, 2)), SelectMax, percent, pods), 24, LimitPolicy},
		"the smaller change up":                    {policies(calm(20, tasks(500, 2)), SelectMin, percent, pods), 23, LimitPolicy},
		"the larger change down":                   {policies(calm(20, tasks(2, 2)), SelectMax, percent, pods), 16, LimitPolicy},
		"the smaller change down":                  {policies(calm(20, tasks(2, 2)), SelectMin, percent, pods), 17, LimitPolicy},
		"a percentage up is rounded up":            {policies(calm(11, tasks(500, 2)), SelectMax, percent), 14, LimitPolicy},
		"a percentage down is rounded down":        {policies(calm(11, tasks(2, 2)), SelectMax, percent), 8, LimitPolicy},
		"not down while a metric is unknown":       {calm(10, tasks(2, 2), unknown(tasks(0, 2))), 10, LimitUnknown},
		"up while a metric is unknown":             {settled(3, tasks(8, 2), unknown(tasks(0, 2))), 4, LimitNone},
		"neither while all are":                    {calm(10, unknown(tasks(100, 2))), 10, LimitNone},
		"at most max":                              {func() Input { in := settled(3, tasks(14, 2)); in.Max = 5; return in }(), 5, LimitMax},
		"at least min":                             {func() Input { in := calm(3, tasks(2, 2)); in.Min = 2; return in }(), 2, LimitMin},
		"down to max at once":                      {func() Input { in := settled(9, tasks(90, 2)); in.Max = 5; return in }(), 5, LimitMax},
		"up to min at once":                        {func() Input { in := settled(0, tasks(0, 2)); in.Min = 9; return in }(), 9, LimitMin},
		"what was before is unknown after a start": {tier(10, tasks(2, 2)), 10, LimitStabilization},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Decide(tc.in); got.Desired != tc.want || got.Limit != tc.limit {
				t.Errorf("got %d, limited by %q, want %d by %q", got.Desired, got.Limit, tc.want, tc.limit)
			}
		})
	}
}

// run is a tier that gets what it desires.
type run struct {
	in   Input
	last Decision
}

// until goes on to a time, in seconds from the start, with the same metrics, and returns the replicas at each decision.
func (r *run) until(second int, metrics ...Metric) []int32 {
	var all []int32
	r.in.Metrics = metrics
	for end := start.Add(time.Duration(second) * time.Second); !r.in.Now.After(end); r.in.Now = r.in.Now.Add(5 * time.Second) {
		r.last = Decide(r.in)
		r.in.History, r.in.Replicas, r.in.Ready = r.last.History, r.last.Desired, r.last.Desired
		if len(all) == 0 || all[len(all)-1] != r.last.Desired {
			all = append(all, r.last.Desired)
		}
	}
	return all
}

// TestCourses are demands over time.
func TestCourses(t *testing.T) {
	type leg struct {
		until   int
		metrics []Metric
		want    []int32
	}
	cases := map[string]struct {
		in   Input
		legs []leg
	}{
		"a burst: up in steps, down after the window through one, to zero and back": {settled(0), []leg{
			{90, []Metric{tasks(100, 2)}, []int32{4, 8, 16, 32, 50}},
			{390, []Metric{tasks(0, 2)}, []int32{50}},
			{410, []Metric{tasks(0, 2)}, []int32{1}},
			{450, []Metric{tasks(0, 2)}, []int32{0}},
			{455, []Metric{tasks(1, 2)}, []int32{1}},
		}},
		"the most of the window counts": {settled(10), []leg{
			{100, []Metric{tasks(10, 2)}, []int32{10}},
			{200, []Metric{tasks(16, 2)}, []int32{10}},
			{300, []Metric{tasks(4, 2)}, []int32{10, 8}},
			{500, []Metric{tasks(4, 2)}, []int32{8}},
			{520, []Metric{tasks(4, 2)}, []int32{2}},
		}},
		"noise does not change anything": {settled(10), []leg{
			{30, []Metric{tasks(20, 2)}, []int32{10}}, {60, []Metric{tasks(19, 2)}, []int32{10}},
			{90, []Metric{tasks(21, 2)}, []int32{10}}, {120, []Metric{tasks(22, 2)}, []int32{10}},
			{600, []Metric{tasks(18, 2)}, []int32{10}}, {900, []Metric{tasks(20, 2)}, []int32{10}},
		}},
		"a reading that fails does not begin the window anew": {settled(10), []leg{
			{200, []Metric{tasks(0, 2)}, []int32{10}}, {205, []Metric{unknown(tasks(0, 2))}, []int32{10}},
			{295, []Metric{tasks(0, 2)}, []int32{10}}, {300, []Metric{tasks(0, 2)}, []int32{1}},
		}},
		"an outage of two hours": {settled(10), []leg{
			{60, []Metric{tasks(20, 2)}, []int32{10}},
			{7200, []Metric{unknown(tasks(0, 2))}, []int32{10}},
			{7490, []Metric{tasks(0, 2)}, []int32{10}},
			{7600, []Metric{tasks(0, 2)}, []int32{10, 1, 0}},
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := run{in: tc.in}
			for _, leg := range tc.legs {
				if diff := cmp.Diff(leg.want, r.until(leg.until, leg.metrics...)); diff != "" {
					t.Errorf("until %d s (-want +got):\n%s", leg.until, diff)
				}
			}
		})
	}
}

// TestJump: while the demand jumps to twice what there is, nothing shrinks, even without a window.
func TestJump(t *testing.T) {
	in := calm(2, tasks(8, 2))
	jump := Decide(in)
	in.History, in.Replicas, in.Metrics = jump.History, 4, []Metric{tasks(2, 2)}
	in.Now = start.Add(59 * time.Second)
	if got := Decide(in); got.Desired != 4 || got.Limit != LimitJump || !got.Next.Equal(start.Add(time.Minute)) {
		t.Errorf("within the minute: %d, limited by %q until %s", got.Desired, got.Limit, got.Next)
	}
	in.Now = start.Add(time.Minute)
	if got := Decide(in); got.Desired != 1 {
		t.Errorf("after the minute: %d, limited by %q", got.Desired, got.Limit)
	}
}

// TestRateCountsWhatIsSeen: a change within the period counts, whoever made it.
func TestRateCountsWhatIsSeen(t *testing.T) {
	in := calm(10, tasks(80, 2))
	in.Up.Policies = []Policy{{Value: 4, Period: time.Minute}}
	first := Decide(in)
	in.History, in.Replicas, in.Now = first.History, 11, start.Add(10*time.Second) // The budget allowed one.
	second := Decide(in)
	if first.Desired != 14 || second.Desired != 14 {
		t.Errorf("desired %d, then %d", first.Desired, second.Desired)
	}
	if want := start.Add(70 * time.Second); second.Next.Before(in.Now) || second.Next.After(want) {
		t.Errorf("next at %s", second.Next)
	}
	in.History, in.Now = second.History, start.Add(70*time.Second)
	if third := Decide(in); third.Desired != 15 {
		t.Errorf("a period later %d", third.Desired)
	}
}

// TestWhatIsLeftIsNotTheDemand: a tier goes on asking for what it did, when others or the budget leave it less, while nothing says
// that it needs something else.
func TestWhatIsLeftIsNotTheDemand(t *testing.T) {
	for name, tc := range map[string]struct {
		metric Metric
		left   int32
		want   int32
	}{
		"within the tolerance":          {tasks(15, 2), 7, 8},
		"while nothing is known":        {unknown(tasks(0, 2)), 5, 8},
		"while nothing is left":         {unknown(tasks(0, 2)), 0, 8},
		"more than before is left too":  {unknown(tasks(0, 2)), 9, 9},
		"what is needed is another":     {tasks(20, 2), 7, 10},
		"what is needed is less by far": {tasks(2, 2), 7, 7},
	} {
		t.Run(name, func(t *testing.T) {
			in := settled(8, tasks(16, 2))
			in.History = Decide(in).History
			in.Replicas, in.Metrics, in.Now = tc.left, []Metric{tc.metric}, start.Add(time.Minute)
			if got := Decide(in); got.Desired != tc.want {
				t.Errorf("desires %d (limited by %q), want %d", got.Desired, got.Limit, tc.want)
			}
		})
	}
}
