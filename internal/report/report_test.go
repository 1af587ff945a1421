// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestParse(t *testing.T) {
	cases := map[string]struct {
		message string
		want    Report
		wantErr bool
	}{
		"a whole report": {
			message: `{"v":1,"hash":"0a1b","tier":"web","python":"3.13.5","django":"4.2.28","celery":"5.5.2",` +
				`"gunicorn":"23.0.0","baselineBytes":73400320,"settings":{"x":1},"imports":["torch","numpy"],` +
				`"problems":["TaskRoutesNotEffective"],"lost":["django.debug","caches.default.TIMEOUT"]}`,
			want: Report{
				Hash: "0a1b", Python: "3.13.5", Django: "4.2.28", Celery: "5.5.2", Gunicorn: "23.0.0",
				BaselineBytes: 73400320, Imports: []string{"numpy", "torch"},
				Problems: []string{"TaskRoutesNotEffective"}, Lost: []string{"caches.default.TIMEOUT", "django.debug"},
			},
		},
		"text in the place of a version or a code is dropped": {
			message: `{"v":1,"django":"redis://user:secret@host","problems":["Ignore this: <b>","Ok"],` +
				`"imports":["../../etc"],"hash":"zz","lost":["django.debug = 'secret'","redis://u:p@h"]}`,
			want: Report{Problems: []string{"Ok"}},
		},
		"memory that cannot be is dropped": {
			message: `{"v":1,"baselineBytes":9223372036854775807}`,
			want:    Report{},
		},
		"a negative number is dropped":    {message: `{"v":1,"baselineBytes":-5}`, want: Report{}},
		"lists are bounded":               {message: many(40), want: Report{Problems: first(16)}},
		"not JSON":                        {message: "Traceback (most recent call last)", wantErr: true},
		"another version":                 {message: `{"v":2}`, wantErr: true},
		"longer than a message can be":    {message: `{"v":1,"python":"` + strings.Repeat("1", 5000) + `"}`, wantErr: true},
		"a number where a list should be": {message: `{"v":1,"problems":7}`, wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tc.message)
			if (err != nil) != tc.wantErr {
				t.Fatalf("Parse() error = %v, want error %v", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Parse() differs (-want +got):\n%s", diff)
			}
		})
	}
}

func codes(n int) []string {
	var out []string
	for i := range n {
		out = append(out, "P"+string(rune('A'+i/26))+string(rune('a'+i%26)))
	}
	return out
}

func many(n int) string    { return `{"v":1,"problems":["` + strings.Join(codes(n), `","`) + `"]}` }
func first(n int) []string { return codes(n) }

func TestOfPodPrefersTheRunThatEnded(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{
		{Name: "other", State: terminated(`{"v":1,"python":"2.7"}`)},
		{Name: Container, State: corev1.ContainerState{}, LastTerminationState: terminated(`{"v":1,"python":"3.13.5"}`)},
	}}}
	got, found := OfPod(pod)
	if !found || got.Python != "3.13.5" {
		t.Errorf("OfPod() = %+v, %v, want the report of the last run of %s", got, found, Container)
	}
	if _, found := OfPod(&corev1.Pod{}); found {
		t.Error("OfPod() found a report in a pod that has none")
	}
}

func terminated(message string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: message}}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"v":1,"problems":["A"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err == nil && (len(r.Problems) > maxList || len(r.Imports) > maxList || r.BaselineBytes < 0) {
			t.Errorf("Parse(%q) = %+v, beyond its bounds", text, r)
		}
	})
}
