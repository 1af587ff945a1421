// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// Termination grace periods in seconds, where the resource has none.
const (
	defaultGrace       = 30
	defaultCeleryGrace = 300
)

// ForTier is what the processes of a tier are told. The resource has passed its own validation.
// Errors are *TierTooSmallError and *SettingError; nothing of the tier may be started then.
func ForTier(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier, facts Facts) (Tier, error) {
	b := newBuilder(mb, tier, facts)
	build := map[Runtime]func() error{
		RuntimeGunicorn: b.gunicorn,
		RuntimeCelery:   b.celery,
		RuntimeBeat:     b.beat,
		RuntimeServer:   b.server,
		RuntimeProcess:  b.process,
	}[b.out.Runtime]
	if build == nil {
		return Tier{}, &SettingError{Field: fmt.Sprintf("spec.tiers[%s]", tier.Name), Message: "has no runtime"}
	}
	if mb.Spec.Application.Celery == nil && (b.out.Runtime == RuntimeCelery || b.out.Runtime == RuntimeBeat) {
		return Tier{}, &SettingError{
			Field: "spec.application.celery", Message: "required, since a celery or beat tier needs to know the Celery app",
		}
	}
	b.out.Termination = Termination{GracePeriod: b.grace()}
	if err := build(); err != nil {
		return Tier{}, err
	}
	b.finish()
	return b.out, nil
}

// RuntimeOf is the runtime of a tier, empty where it has none.
func RuntimeOf(tier *v1alpha1.Tier) Runtime {
	switch {
	case tier.Gunicorn != nil:
		return RuntimeGunicorn
	case tier.Celery != nil:
		return RuntimeCelery
	case tier.Beat != nil:
		return RuntimeBeat
	case tier.Server != nil:
		return RuntimeServer
	case tier.Process != nil:
		return RuntimeProcess
	}
	return ""
}

// HasOverlay tells whether the Python package reaches the pods of a tier.
func HasOverlay(tier *v1alpha1.Tier) bool {
	if tier.Process != nil {
		return tier.Process.Settings == v1alpha1.ProcessSettingsManaged
	}
	return tier.Gunicorn != nil || tier.Celery != nil || tier.Beat != nil
}

// PortsOf are the ports that a tier serves, the one for HTTP first.
func PortsOf(tier *v1alpha1.Tier) []Port {
	switch {
	case tier.Gunicorn != nil:
		return []Port{{Name: "http", Number: valueOr(tier.Gunicorn.Port, defaultWebPort)}}
	case tier.Server != nil:
		return serverPorts(tier.Server)
	case tier.Process != nil && tier.Process.Port != nil:
		return []Port{{Name: "http", Number: *tier.Process.Port}}
	}
	return nil
}

// CPUThreads is how many threads a pod of a tier can run at once: its CPU limit, rounded up. Without
// a limit it is 1, since the node's CPUs say nothing about the pod's memory.
func CPUThreads(tier *v1alpha1.Tier) int32 {
	if tier.CPU == nil || tier.CPU.Limit == nil {
		return 1
	}
	return int32(max(1, min(tier.CPU.Limit.Value(), 1024)))
}

// builder puts together what one tier is told.
type builder struct {
	mb    *v1alpha1.MemoryBudget
	tier  *v1alpha1.Tier
	facts Facts
	env   *env
	out   Tier
}

func newBuilder(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier, facts Facts) *builder {
	runtime := RuntimeOf(tier)
	return &builder{mb: mb, tier: tier, facts: facts, env: newEnv(), out: Tier{
		Name: tier.Name, Runtime: runtime, Overlay: HasOverlay(tier), Processes: 1, Threads: 1,
		Ports: PortsOf(tier),
	}}
}

// grace is the termination grace period: the tier's, else the application's, else the runtime's.
func (b *builder) grace() int64 {
	for _, pod := range []*v1alpha1.Pod{b.tier.Pod, b.mb.Spec.Application.Pod} {
		if pod != nil && pod.TerminationGracePeriodSeconds != nil {
			return *pod.TerminationGracePeriodSeconds
		}
	}
	if b.out.Runtime == RuntimeCelery {
		return defaultCeleryGrace
	}
	return defaultGrace
}

// finish adds what all runtimes have in common, and the user's own environment.
func (b *builder) finish() {
	if b.out.Overlay {
		b.env.addOverlay(b.mb, b.tier, b.out.Runtime)
		b.env.addBroker(b.mb, b.out.Runtime == RuntimeCelery || b.out.Runtime == RuntimeBeat)
		b.env.addThreads(CPUThreads(b.tier))
		b.env.setInt("PYTHON_CPU_COUNT", int64(CPUThreads(b.tier)))
		b.env.addMalloc()
	}
	b.env.addModelServers(b.mb, b.tier)
	b.env.addModelCache(b.tier)
	user := UserEnv(b.mb, b.tier)
	b.env.addUser(user, b.out.Overlay)
	b.out.EnvFrom = append(slices.Clone(b.mb.Spec.Application.EnvFrom), b.tier.EnvFrom...)
	if b.out.Overlay {
		b.env.addPythonPath(user, len(b.out.EnvFrom) > 0)
	}
	b.out.Env = b.env.vars
}

// tooSmall is the error of this tier for a baseline.
func (b *builder) tooSmall(baseline int64) *TierTooSmallError {
	return tooSmall(b.tier, baseline, b.facts)
}

// sortedTiers are the tiers by name, so that their order in the spec does not matter.
func sortedTiers(mb *v1alpha1.MemoryBudget) []*v1alpha1.Tier {
	tiers := make([]*v1alpha1.Tier, len(mb.Spec.Tiers))
	for i := range mb.Spec.Tiers {
		tiers[i] = &mb.Spec.Tiers[i]
	}
	slices.SortFunc(tiers, func(a, b *v1alpha1.Tier) int { return cmp.Compare(a.Name, b.Name) })
	return tiers
}

// httpProbes are the probes of a program that answers HTTP. Starting may take five minutes (models,
// migrations of a cold cache); a busy program fails readiness long before it is restarted.
func httpProbes(path string, port int32) Probes {
	return probesOf(Probe{Kind: ProbeHTTP, Path: path, Port: port})
}

// tcpProbes are the probes of a program that is only known to listen.
func tcpProbes(port int32) Probes { return probesOf(Probe{Kind: ProbeTCP, Port: port}) }

func probesOf(p Probe) Probes {
	timed := func(period, timeout, failures int32) Probe {
		p.Period, p.Timeout, p.Failures = period, timeout, failures
		return p
	}
	return Probes{Startup: timed(5, 5, 60), Readiness: timed(10, 5, 3), Liveness: timed(20, 10, 6)}
}
