// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// story is a scenario: it logs each pass of the operator that writes or waits,
// and the most memory that was in use since the one before.
type story struct {
	*sim
	t    *testing.T
	log  strings.Builder
	most int64
	last string
}

// newStory is the guide's application. Every pod takes its whole grace period to
// go, and two seconds to become ready.
func newStory(t *testing.T) *story {
	s := &story{t: t}
	s.sim = newSim(func(n int) int { return n - 1 })
	in := guide()
	s.budget, s.reserve = in.Budget, in.Reserve
	for _, tier := range in.Tiers {
		s.tiers[tier.Name] = &simTier{spec: tier}
	}
	s.tiers["ml"].spec.PodBytes = 768 * mi
	s.tiers["ml"].spec.Desired = 0
	return s
}

func (s *story) say(format string, args ...any) {
	fmt.Fprintf(&s.log, format+"\n", args...)
}

// until runs the cluster and the operator for so many seconds.
func (s *story) until(seconds int64) {
	for end := s.now + seconds; s.now < end; s.now++ {
		s.step()
	}
}

func (s *story) step() {
	s.advance(0)
	plan := Decide(s.input())
	s.report(plan)
	for _, step := range plan.Steps {
		s.write(step)
	}
	s.controllers()
	for _, name := range s.names() {
		for _, p := range s.tiers[name].pods {
			if s.now-p.created >= 2 {
				s.ready(s.tiers[name], p)
			}
		}
	}
	s.most = max(s.most, s.charge())
	if e := Measure(s.input()).Total(); s.charge() > e || e > max(s.budget, plan.Exposure.Total()) {
		s.t.Fatalf("charge %dMi, exposure %dMi, budget %dMi after\n%s", s.charge()/mi, e/mi, s.budget/mi, s.log.String())
	}
}

func (s *story) report(plan Plan) {
	var out []string
	for _, step := range plan.Steps {
		out = append(out, "  "+describe(step))
	}
	for _, w := range plan.Waits {
		out = append(out, "  "+describeWait(w))
	}
	text := strings.Join(out, "\n")
	if text == s.last {
		return
	}
	s.last = text
	s.say("%4ds  in use %dMi, at most %dMi", s.now-1000, s.charge()/mi, s.most/mi)
	s.most = s.charge()
	if text == "" {
		text = "  nothing left to do"
	}
	s.say("%s", text)
}

func describe(s Step) string {
	after := fmt.Sprintf("exposure %dMi", s.ExposureAfter/mi)
	if s.Kind != Apply {
		return fmt.Sprintf("%s %s %s: %s", s.Kind, s.Tier, s.Pod, after)
	}
	strategy := fmt.Sprintf("%d/%d", s.Shape.Strategy.MaxSurge, s.Shape.Strategy.MaxUnavailable)
	if s.Shape.Strategy.Recreate {
		strategy = "Recreate"
	}
	more := ""
	if s.Create {
		more += ", create"
	}
	if s.Downtime {
		more += ", downtime"
	}
	return fmt.Sprintf("Apply %s %s: replicas %d, template %s, %s, minReady %ds%s: %s", s.Tier, s.Cause,
		s.Shape.Replicas, s.Shape.Template, strategy, s.Shape.MinReadySeconds, more, after)
}

func describeWait(w Wait) string {
	return fmt.Sprintf("wait %s for %s: %dMi, %d leaving, rollout %q, replicas %d",
		w.Tier, w.For, w.Bytes/mi, w.Pods, w.Rollout, w.Replicas)
}

func (s *story) set(tier string, f func(*Tier)) { f(&s.tiers[tier].spec) }

// roll changes a tier's template.
func (s *story) roll(tier, hash string) {
	s.set(tier, func(t *Tier) { t.TemplateHash = hash })
}

func TestScenarios(t *testing.T) {
	for name, play := range map[string]func(*story){
		"create": func(*story) {},
		"scale-out-and-in": func(s *story) {
			s.set("worker", func(t *Tier) { t.Desired = 4 })
			s.until(60)
			s.say("-- web wants more")
			s.set("web", func(t *Tier) { t.Desired = 3 })
			s.until(200)
			s.say("-- web wants one")
			s.set("web", func(t *Tier) { t.Desired = 1 })
			s.until(200)
		},
		"rollout-with-reserve": func(s *story) { s.roll("web", "web2"); s.until(300) },
		"rollout-with-much-reserve": func(s *story) {
			s.budget = 4096 * mi
			s.until(60)
			s.roll("web", "web2")
			s.until(300)
		},
		"rollout-without-reserve": func(s *story) {
			s.reserve = Reserve{}
			s.set("worker", func(t *Tier) { t.Desired = 8 })
			s.until(60)
			s.say("-- new template")
			s.roll("web", "web2")
			s.until(400)
		},
		"rollout-with-downtime": func(s *story) {
			s.reserve = Reserve{}
			s.set("web", func(t *Tier) { t.Desired = 1 })
			s.set("worker", func(t *Tier) { t.Desired = 8 })
			s.until(200)
			s.say("-- new template")
			s.roll("web", "web2")
			s.until(400)
		},
		"rollout-corrected": func(s *story) {
			s.tiers["web"].broken = map[string]bool{"web2": true}
			s.roll("web", "web2")
			s.until(100)
			s.say("-- a better template")
			s.roll("web", "web3")
			s.until(400)
		},
		"rollouts-one-at-a-time": func(s *story) {
			s.tiers["beat"] = &simTier{spec: Tier{
				Name: "beat", Weight: 1, Min: 1, Desired: 1, Max: 1, PodBytes: 128 * mi, Enforcement: Paced,
				Recreate: true, TemplateHash: "beat1", GracePeriodSeconds: 30,
			}}
			s.until(60)
			s.say("-- new templates for all")
			for _, name := range s.names() {
				s.roll(name, name+"2")
			}
			s.until(800)
		},
		"budget-lowered": func(s *story) { s.budget = 1536 * mi; s.until(200) },
		"budget-raised": func(s *story) {
			s.set("worker", func(t *Tier) { t.Desired = 8 })
			s.until(10)
			s.say("-- 3Gi")
			s.budget = 3072 * mi
			s.until(60)
		},
		"budget-too-small": func(s *story) { s.budget = 256 * mi; s.until(60) },
		"tier-added": func(s *story) {
			s.tiers["api"] = &simTier{spec: Tier{
				Name: "api", Weight: 1, Min: 1, Desired: 1, Max: 2, PodBytes: 512 * mi, Enforcement: Paced,
				TemplateHash: "api1", GracePeriodSeconds: 30,
			}}
			s.until(200)
		},
		"tier-removed": func(s *story) { s.set("worker", func(t *Tier) { t.Removed = true }); s.until(200) },
		"paced-to-gated": func(s *story) {
			s.set("web", func(t *Tier) { t.Enforcement, t.TemplateHash = Gated, "web2" })
			s.until(400)
		},
		"gated-to-paced": func(s *story) {
			s.set("worker", func(t *Tier) { t.Enforcement, t.TemplateHash = Paced, "worker2" })
			s.until(400)
		},
		"pods-grow": func(s *story) {
			s.set("web", func(t *Tier) { t.PodBytes, t.TemplateHash = 768*mi, "web2" })
			s.until(400)
		},
		"pods-shrink": func(s *story) {
			s.set("worker", func(t *Tier) { t.Desired = 8 })
			s.until(60)
			s.say("-- web needs less")
			s.set("web", func(t *Tier) { t.PodBytes, t.TemplateHash = 256*mi, "web2" })
			s.until(600)
		},
		"drain-and-resume": func(s *story) {
			s.pause = PauseDrain
			s.until(100)
			s.say("-- resumed")
			s.pause = PauseNone
			s.until(60)
		},
		"hold": func(s *story) {
			s.pause = PauseHold
			s.roll("web", "web2")
			s.set("worker", func(t *Tier) { t.Desired = 2 })
			s.deletePod(s.tiers["worker"], s.tiers["worker"].pods[0])
			s.until(200)
		},
		"pod-deleted-by-others": func(s *story) {
			s.deletePod(s.tiers["web"], s.tiers["web"].pods[0])
			s.deletePod(s.tiers["worker"], s.tiers["worker"].pods[0])
			s.until(200)
		},
		"scaled-by-others": func(s *story) {
			s.tiers["web"].live.replicas = 4
			s.tiers["web"].live.generation++
			s.controllers()
			s.until(200)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.until(60)
			s.say("-- %s", name)
			play(s)
			golden(t, name, s.log.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	path := filepath.Join("testdata", "scenarios", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
}
