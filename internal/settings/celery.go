// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

const (
	// heartbeatMaxAge is how old the heartbeat file of a worker may be, in seconds. It is touched
	// every 5 s by a thread, also while a solo pool runs a task and while the broker is away.
	heartbeatMaxAge = 120
	// softShutdownMargin is what a worker needs after its soft shutdown to put tasks back into the
	// queue and to end, in seconds. It must be more than 10.
	softShutdownMargin = 15
)

// pools are the names by which Celery knows the pools. Never "prefork": the celery command takes
// that for "the default" and uses the application's worker_pool, where it has one.
var pools = map[v1alpha1.Pool]string{
	v1alpha1.PoolProcesses: "processes",
	v1alpha1.PoolSolo:      "solo",
	v1alpha1.PoolThreads:   "threads",
}

// celeryCommand is Celery's own, but for ending at SIGTERM also before it listens to it.
func (b *builder) celeryCommand(arguments ...string) []string {
	return append([]string{"python3", "-m", "memorybudget.celery_command", "-A", b.mb.Spec.Application.Celery.App}, arguments...)
}

// celery runs `celery -A APP worker`. Options are given by CELERY_WORKER_* variables,
// which beat the application's settings and, unlike flags, are ignored by versions that do not know
// them. -A comes before the subcommand, and keeps APP in the environment from being read.
func (b *builder) celery() error {
	if err := b.celerySize(); err != nil {
		return err
	}
	b.out.Command = b.celeryCommand("worker")
	b.out.Probes = heartbeatProbes()
	b.env.set("MEMORYBUDGET_HEARTBEAT", HeartbeatFile)
	b.celeryOptions()
	b.celeryGuards()
	b.celerySettings()
	return nil
}

// heartbeatProbes look at the age of the heartbeat file, never at the answer of `inspect ping`, which
// imports the application once more inside the pod's limit and fails with the broker. Starting may
// take ten minutes. There is no readiness: nothing is sent to a worker, it fetches.
func heartbeatProbes() Probes {
	p := Probe{Kind: ProbeHeartbeat, MaxAge: heartbeatMaxAge, Period: 10, Timeout: 10, Failures: 60}
	alive := p
	alive.Period, alive.Failures = 30, 3
	return Probes{Startup: p, Liveness: alive}
}

func (b *builder) pool() v1alpha1.Pool { return textOr(b.tier.Celery.Pool, v1alpha1.PoolProcesses) }

// celerySize fits child processes, or threads of the main process, into the pod.
func (b *builder) celerySize() error {
	c := b.tier.Celery
	main := baseline(b.mb, RuntimeCelery, b.facts)
	if b.pool() != v1alpha1.PoolProcesses {
		b.out.Threads = b.celeryThreads(main)
		return single(b.tooSmall(main))
	}
	p := plan{parent: main, base: main, floor: main, child: celeryChild, growth: taskGrowth}
	asked := int64(0)
	if c.MaxMemoryPerChild != nil {
		asked = c.MaxMemoryPerChild.Value()
	}
	if asked > 0 && asked < p.least() {
		return &SettingError{Field: field(b.tier, "celery.maxMemoryPerChild"), Message: fmt.Sprintf(
			"%s is less than 1.25 x the %s that the worker's main process takes, so that every task would "+
				"run in a process of its own: raise it to at least %s, or leave it out",
			quantity(asked), quantity(main), quantity((p.least()+mebi-1)/mebi*mebi))}
	}
	size, err := p.sized(b.tooSmall(main), valueOr(c.Concurrency, 0), maxProcesses, asked)
	if err != nil {
		return err
	}
	b.out.Processes = size.processes
	b.out.Recycle = Recycle{MaxTasks: valueOr(c.MaxTasksPerChild, 500), MaxMemoryKiB: size.threshold / kibi}
	return nil
}

// celeryThreads is how many tasks run at a time in the main process.
func (b *builder) celeryThreads(main int64) int32 {
	if b.pool() == v1alpha1.PoolSolo {
		return 1
	}
	if asked := valueOr(b.tier.Celery.Concurrency, 0); asked > 0 {
		return asked
	}
	return plan{parent: main, growth: taskGrowth}.processes(b.tier.Memory.PerPod.Value(), maxProcesses)
}

// celeryOptions are the options of `celery worker` that the resource states.
func (b *builder) celeryOptions() {
	c := b.tier.Celery
	b.env.set("CELERY_WORKER_POOL", pools[b.pool()])
	b.env.setInt("CELERY_WORKER_CONCURRENCY", int64(b.out.Processes)*int64(b.out.Threads))
	b.env.set("CELERY_WORKER_QUEUES", strings.Join(c.Queues, ","))
	b.env.setInt("CELERY_WORKER_PREFETCH_MULTIPLIER", int64(valueOr(c.PrefetchMultiplier, 1)))
	if b.pool() == v1alpha1.PoolProcesses {
		b.env.setInt("CELERY_WORKER_MAX_TASKS_PER_CHILD", int64(b.out.Recycle.MaxTasks))
		b.env.setInt("CELERY_WORKER_MAX_MEMORY_PER_CHILD", b.out.Recycle.MaxMemoryKiB)
	}
	b.env.set("CELERY_WORKER_LOGLEVEL", textOr(c.LogLevel, "WARNING"))
	include := "memorybudget.hooks"
	if own := find(UserEnv(b.mb, b.tier), "CELERY_WORKER_INCLUDE"); own != nil && own.Value != "" {
		include += "," + own.Value
	}
	b.env.set("CELERY_WORKER_INCLUDE", include)
}

// celeryGuards take the effect from variables of the user that would undo the resource, wherever they
// come from. Each is emptied, which Click takes for one that is not set. No word will do instead:
// before Click 8.3, BEAT=false turns the scheduler on.
//
//   - BEAT: a scheduler in each of the pods would send every task as often as there are pods.
//   - DETACH: the container would end at once. PURGE: each pod that starts would empty the queues.
//   - HOSTNAME, WITHOUT_HEARTBEAT: by heartbeats with the name of the pod the operator knows which pods run tasks.
//   - AUTOSCALE: more processes than fit. EXCLUDE_QUEUES: a queue that its owner does not serve.
//   - CUSTOM_WORKER_POOL: what the pool "custom" is, which the resource does not have.
//   - REMAP_SIGTERM: an immediate end instead of the one that `drain` states.
//
// Gossip is off: each worker would keep the state of all others, and nothing uses it. Mingle stays
// on: by it a new worker learns which tasks were revoked.
func (b *builder) celeryGuards() {
	for _, name := range []string{"BEAT", "DETACH", "PURGE", "AUTOSCALE", "EXCLUDE_QUEUES", "HOSTNAME", "WITHOUT_HEARTBEAT"} {
		b.env.set("CELERY_WORKER_"+name, "")
	}
	b.env.set("CELERY_CUSTOM_WORKER_POOL", "")
	b.env.set("CELERY_WORKER_WITHOUT_GOSSIP", "true")
	b.env.set("REMAP_SIGTERM", b.remapSIGTERM())
}

// remapSIGTERM is SIGQUIT where tasks are put back into their queue, by a soft shutdown that ends in
// a cold one. Celery before 5.5 loses them then, so it finishes them instead. So does every Celery
// with another pool than Processes: Solo never ends, Threads cannot end a task.
func (b *builder) remapSIGTERM() string {
	if b.tier.Celery.Drain != v1alpha1.DrainRequeue || b.pool() != v1alpha1.PoolProcesses {
		return ""
	}
	if b.facts.celeryOlderThan(5, 5) {
		b.out.NotApplied = append(b.out.NotApplied, field(b.tier, "celery.drain")+
			": Requeue needs Celery 5.5: with "+b.facts.Celery+" running tasks are finished instead")
		return ""
	}
	b.out.Termination.SoftShutdown = max(0, b.out.Termination.GracePeriod-softShutdownMargin)
	return "SIGQUIT"
}

// celerySettings are what only Celery's settings can say, for this tier: see loader.py. The prefetch
// multiplier is among them so that the verify container can read it back.
// worker_disable_prefetch (Celery >= 5.6 with Redis) only together with late acknowledgement: with
// early ones, running tasks could not be counted any more. loader.py drops it where it would not work.
func (b *builder) celerySettings() {
	late := b.tier.Celery.Acks != v1alpha1.AcksEarly
	told := map[string]any{
		"task_acks_late":             late,
		"worker_prefetch_multiplier": valueOr(b.tier.Celery.PrefetchMultiplier, 1),
	}
	redis := b.mb.Spec.Broker != nil && b.mb.Spec.Broker.Redis != nil
	if late && redis && !b.facts.celeryOlderThan(5, 6) {
		told["worker_disable_prefetch"] = true
	}
	if b.out.Termination.SoftShutdown > 0 {
		told["worker_soft_shutdown_timeout"] = b.out.Termination.SoftShutdown
	}
	b.env.set("MEMORYBUDGET_CELERY", mustJSON(told))
}

// beat runs `celery -A APP beat`. It keeps its schedule in a writable place, where it
// outlives the container but not the pod, and no pid file: that would outlive the container too, name
// process 1, and so keep the next container from starting. Nothing asks beat whether it is alive; a
// beat that ends is restarted, which is why it must not go into the background.
func (b *builder) beat() error {
	b.env.set("CELERY_BEAT_DETACH", "")
	command := b.celeryCommand("beat", "--pidfile=", "--schedule="+RunDirectory+"/beat-schedule",
		"--loglevel="+textOr(b.tier.Beat.LogLevel, "WARNING"))
	if b.tier.Beat.Scheduler != "" {
		command = append(command, "--scheduler="+b.tier.Beat.Scheduler)
	}
	b.out.Command = command
	return single(b.tooSmall(baseline(b.mb, RuntimeBeat, b.facts)))
}

// process runs the user's command as it is, references included.
func (b *builder) process() error {
	p := b.tier.Process
	b.out.Command, b.out.Args = slices.Clone(p.Command), slices.Clone(p.Args)
	if p.Port == nil {
		return nil
	}
	b.out.Probes = tcpProbes(*p.Port)
	if p.HealthPath != "" {
		b.out.Probes = httpProbes(p.HealthPath, *p.Port)
		if b.out.Overlay {
			b.env.set("MEMORYBUDGET_HEALTH_PATH", p.HealthPath)
		}
	}
	b.out.Termination.PreStop = min(5, b.out.Termination.GracePeriod/6)
	return nil
}
