// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

func TestRestoreGivesBackWhatWasRendered(t *testing.T) {
	for name, mb := range inputs(t) {
		for i := range mb.Spec.Tiers {
			tier := &mb.Spec.Tiers[i]
			want := rendered(t, mb, tier)
			got, err := Restore(mb, tier.Name, want.Record)
			if err != nil {
				t.Errorf("%s/%s: %v", name, tier.Name, err)
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s/%s: restored (-rendered +restored):\n%s", name, tier.Name, diff)
			}
			if again := rendered(t, mb, tier); again.Record != want.Record || again.Hash != want.Hash {
				t.Errorf("%s/%s: two renderings differ", name, tier.Name)
			}
		}
	}
}

// TestRestoreKeepsAnotherVersionsTemplate: what an older operator with other defaults rendered comes
// back as it was, not as this one would render it; and measured facts change what is rendered, but
// not the input hash by which the caller decides.
func TestRestoreKeepsAnotherVersionsTemplate(t *testing.T) {
	mb := testutil.MakeExample("bunoraa", "shop").Obj()
	worker := &mb.Spec.Tiers[1]
	now := rendered(t, mb, worker)
	older := strings.ReplaceAll(now.Record, `{"name":"MALLOC_ARENA_MAX","value":"2"}`, `{"name":"MALLOC_ARENA_MAX","value":"4"}`)
	older = strings.ReplaceAll(older, ConfigMapName(mb), "bunoraa-settings-0123456789")
	got, err := Restore(mb, worker.Name, older)
	if err != nil {
		t.Fatal(err)
	}
	if got.Record != older || got.Hash == now.Hash || got.ConfigMapName != "bunoraa-settings-0123456789" {
		t.Errorf("restored %+v", got)
	}
	measured, err := Render(mb, worker, settings.Facts{BaselineBytes: 200 << 20, Celery: "5.6.3"})
	if err != nil {
		t.Fatal(err)
	}
	if measured.Hash == now.Hash {
		t.Error("a measurement does not reach the template even when it is rendered")
	}
}

func TestRestoreRefuses(t *testing.T) {
	mb := testutil.MakeExample("bunoraa", "shop").Obj()
	good := rendered(t, mb, &mb.Spec.Tiers[0]).Record
	replaced := func(old, with string) string {
		text := strings.Replace(good, old, with, 1)
		if text == good {
			t.Fatalf("the record has no %s", old)
		}
		return text
	}
	tests := map[string]struct{ record, want string }{
		"empty":               {"", "EOF"},
		"null":                {"null", "version 0 is not 1"},
		"not an object":       {`[1]`, "cannot unmarshal"},
		"another version":     {replaced(`"version":1`, `"version":2`), "version 2 is not 1"},
		"no template":         {`{"version":1,"processes":1,"threads":1}`, "no pod template"},
		"no spec":             {`{"version":1,"template":{"metadata":{}},"processes":1,"threads":1}`, "no pod template"},
		"unknown field":       {replaced(`"version":1`, `"version":1,"later":true`), "unknown field"},
		"trailing data":       {good + "{}", "more than one JSON value"},
		"too long":            {good + strings.Repeat(" ", maxRecordBytes), "are more than"},
		"another tier":        {replaced(`"memorybudget.dev/tier":"web"`, `"memorybudget.dev/tier":"ml"`), "label memorybudget.dev/tier"},
		"another resource":    {replaced(`"memorybudget.dev/name":"bunoraa"`, `"memorybudget.dev/name":"x"`), "label memorybudget.dev/name"},
		"no processes":        {replaced(`"processes":2`, `"processes":0`), "no processes"},
		"another container":   {replaced(`"name":"app"`, `"name":"ppa"`), "not exactly the container app"},
		"another init":        {replaced(`"name":"memorybudget-verify"`, `"name":"x"`), "other init containers"},
		"no limit":            {strings.ReplaceAll(good, `"limits":{"memory":"512Mi"}`, `"limits":{}`), "no memory limit"},
		"no grace period":     {replaced(`"terminationGracePeriodSeconds":30`, `"terminationGracePeriodSeconds":0`), "no termination grace period"},
		"endless quantity":    {replaced(`"memory":"512Mi"`, `"memory":"1E-2147483648"`), "a quantity with an exponent"},
		"quantity as number":  {replaced(`"memory":"512Mi"`, `"memory":5e99`), "a quantity that is a number"},
		"not a quantity":      {replaced(`"memory":"512Mi"`, `"memory":"much"`), "quantities must match"},
		"host network":        {replaced(`"enableServiceLinks":false`, `"enableServiceLinks":false,"hostNetwork":true`), "a namespace of the host"},
		"token":               {replaced(`"automountServiceAccountToken":false`, `"automountServiceAccountToken":true`), "the token of a service account"},
		"root":                {replaced(`"runAsNonRoot":true`, `"runAsNonRoot":false`), "pods that may run as root"},
		"writable root":       {replaced(`"readOnlyRootFilesystem":true`, `"readOnlyRootFilesystem":false`), "not restricted"},
		"privileged":          {replaced(`"readOnlyRootFilesystem":true`, `"readOnlyRootFilesystem":true,"privileged":true`), "not restricted"},
		"capability":          {replaced(`"drop":["ALL"]`, `"drop":["ALL"],"add":["SYS_ADMIN"]`), "not restricted"},
		"host path":           {replaced(`"name":"memorybudget-tmp","emptyDir":{}`, `"name":"memorybudget-tmp","hostPath":{"path":"/"}`), "a volume of a kind"},
		"ephemeral container": {replaced(`"enableServiceLinks":false`, `"enableServiceLinks":false,"ephemeralContainers":[{"name":"x"}]`), "ephemeral containers"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Restore(mb, "web", tc.record)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Restore() error = %v, want one with %q", err, tc.want)
			}
		})
	}
}

func FuzzRestore(f *testing.F) {
	mb := testutil.MakeExample("bunoraa", "shop").Obj()
	for i := range mb.Spec.Tiers {
		r, err := Render(mb, &mb.Spec.Tiers[i], settings.Facts{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Record)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Restore(mb, "web", text)
		if err != nil {
			return
		}
		if r.PodBytes <= 0 || r.Processes < 1 || !json.Valid([]byte(r.Record)) {
			t.Errorf("restored %+v", r)
		}
		if r.Template.Annotations[v1alpha1.TemplateHashAnnotation] != r.Hash {
			t.Error("the template does not carry its hash")
		}
	})
}

func TestRenderRefusesWhatCannotBeRecorded(t *testing.T) {
	mb := testutil.MakeExample("bunoraa", "shop").Env("LARGE", strings.Repeat("x", maxRecordBytes)).Obj()
	_, err := Render(mb, &mb.Spec.Tiers[0], settings.Facts{})
	if err == nil || !strings.Contains(err.Error(), "move it to a ConfigMap or Secret") {
		t.Errorf("Render() error = %v", err)
	}
}
