// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/cmd/kubectl-memorybudget/internal/text"
)

// view is what is shown of one MemoryBudget.
type view struct {
	mb   *v1alpha1.MemoryBudget
	pods []corev1.Pod
	now  time.Time
}

// write prints one block of tables, those with nothing to say left out.
func (v view) write(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "MemoryBudget %s/%s\n", v.mb.Namespace, v.mb.Name); err != nil {
		return fmt.Errorf("printing the status: %w", err)
	}
	if err := text.Table(w, v.summary()); err != nil {
		return err
	}
	for _, table := range [][][]string{v.conditions(), v.tiers(), v.runtimes(), v.waiting()} {
		if len(table) < 2 {
			continue
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return fmt.Errorf("printing the status: %w", err)
		}
		if err := text.Table(w, table); err != nil {
			return err
		}
	}
	return nil
}

func (v view) summary() [][]string {
	rows := [][]string{{"Ready:", v.ready()}, {"Budget:", text.Bytes(v.mb.Spec.Memory.Value())}}
	s := &v.mb.Status
	for _, row := range []struct {
		name     string
		quantity *resource.Quantity
		meaning  string
	}{
		{"Allocated:", s.Allocated, "held by pods, those that shut down included"},
		{"Exposure:", s.Exposure, "allocated, and what may still start"},
		{"Reserve:", s.Reserve, "kept free for rollouts"},
		{"Unallocated:", s.Unallocated, "neither granted nor reserved"},
	} {
		if row.quantity != nil {
			rows = append(rows, []string{row.name, fmt.Sprintf("%s (%s), %s", text.Quantity(row.quantity), v.share(row.quantity), row.meaning)})
		}
	}
	if s.LimitedBy != "" {
		rows = append(rows, []string{"Limited by:", s.LimitedBy})
	}
	if v.mb.Spec.Policy == v1alpha1.PolicyRecommend {
		rows = append(rows, []string{"Policy:", "Recommend: nothing is applied"})
	}
	if pause := v.mb.Spec.Pause; pause != "" && pause != v1alpha1.PauseNone {
		rows = append(rows, []string{"Paused:", string(pause)})
	}
	return rows
}

// ready is the condition, or why nothing can be said.
func (v view) ready() string {
	ready := meta.FindStatusCondition(v.mb.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "Unknown, nothing is reported yet: does the operator run, and does it watch this namespace?"
	}
	words := fmt.Sprintf("%s (%s)", ready.Status, ready.Reason)
	if v.mb.Status.ObservedGeneration < v.mb.Generation {
		words += ", before the last change of the spec, which the operator has not seen yet"
	}
	return words
}

// share is a part of the budget in whole percent.
func (v view) share(q *resource.Quantity) string {
	whole := v.mb.Spec.Memory.Value()
	if whole <= 0 {
		return text.None
	}
	return fmt.Sprintf("%.0f%%", float64(q.Value())*100/float64(whole))
}

func (v view) conditions() [][]string {
	rows := [][]string{{"CONDITION", "STATUS", "REASON", "MESSAGE"}}
	for _, c := range v.mb.Status.Conditions {
		rows = append(rows, []string{c.Type, string(c.Status), c.Reason, oneLine(c.Message)})
	}
	return rows
}

func (v view) tiers() [][]string {
	rows := [][]string{{"TIER", "DESIRED", "GRANTED", "READY", "POD", "ALLOCATED", "PROCESSES", "LIMITED-BY", "WHY"}}
	for i := range v.mb.Status.Tiers {
		t := &v.mb.Status.Tiers[i]
		rows = append(rows, []string{
			t.Name, text.Number(t.Desired), text.Number(t.Granted), text.Number(t.Ready), text.Quantity(t.MemoryPerPod),
			text.Quantity(t.Allocated), text.Number(t.Processes), text.Or(t.LimitedBy), oneLine(t.Decision),
		})
	}
	return rows
}

// runtimes is what pods reported of themselves: their own words, so nothing but printable text is let through.
func (v view) runtimes() [][]string {
	rows := [][]string{{"TIER", "PYTHON", "DJANGO", "CELERY", "GUNICORN", "BASELINE", "IMPORTS", "PROBLEMS"}}
	for i := range v.mb.Status.Tiers {
		t := &v.mb.Status.Tiers[i]
		if r := t.Runtime; r != nil {
			rows = append(rows, []string{
				t.Name, text.Or(oneLine(r.Python)), text.Or(oneLine(r.Django)), text.Or(oneLine(r.Celery)), text.Or(oneLine(r.Gunicorn)),
				text.Quantity(r.BaselineMemory), text.Or(oneLine(strings.Join(r.Imports, ","))), text.Or(oneLine(strings.Join(r.Problems, ","))),
			})
		}
	}
	return rows
}

// waiting are the pods that are not where they should be: the oldest first, since they say most.
func (v view) waiting() [][]string {
	rows := [][]string{{"WAITING POD", "TIER", "AGE", "FOR"}}
	pods := slices.Clone(v.pods)
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for i := range pods {
		if what := waitsFor(&pods[i]); what != "" {
			age := duration.HumanDuration(v.now.Sub(pods[i].CreationTimestamp.Time))
			rows = append(rows, []string{pods[i].Name, text.Or(pods[i].Labels[v1alpha1.TierLabel]), age, what})
		}
	}
	return rows
}

// waitsFor is what a pod waits for, or what waits for it; empty where nothing does.
func waitsFor(pod *corev1.Pod) string {
	gated := slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool {
		return g.Name == v1alpha1.MemoryGate
	})
	switch {
	case pod.DeletionTimestamp != nil && !gated:
		return "its end: it holds memory while it shuts down"
	case pod.DeletionTimestamp != nil:
		return ""
	case gated:
		return "memory of the budget"
	case len(pod.Spec.SchedulingGates) > 0:
		return "the scheduling gate " + pod.Spec.SchedulingGates[0].Name
	case pod.Status.Phase == corev1.PodPending && pod.Spec.NodeName == "":
		return "a node" + unschedulable(pod)
	}
	return ""
}

func unschedulable(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Message != "" {
			return ": " + oneLine(c.Message)
		}
	}
	return ""
}

// oneLine keeps text from a cluster from breaking a table or controlling a terminal.
func oneLine(message string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, message)
}
