// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

// podCases concern what a user adds to pods.
var podCases = map[string][]edit{
	"label: of the operator":             {{"spec.tiers[web].pod.labels[memorybudget.dev/tier]", "web"}},
	"label: of Kubernetes":               {{"spec.tiers[web].pod.labels[pod-template-hash]", "web"}},
	"label: not a name":                  {{"spec.tiers[web].pod.labels[my label]", "web"}},
	"label: not a DNS name before it":    {{"spec.tiers[web].pod.labels[a..b/team]", "x"}},
	"label: value with spaces":           {{"spec.tiers[web].pod.labels.team", "the shop"}},
	"label: value of 64 characters":      {{"spec.tiers[web].pod.labels.team", "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-0123456789"}},
	"annotation: of the operator":        {{"spec.application.pod.annotations[memorybudget.dev/input-hash]", "x"}},
	"annotation: not a name":             {{"spec.application.pod.annotations[a/b/c]", "x"}},
	"annotation: not a DNS name before":  {{"spec.application.pod.annotations[a.-b/owner]", "x"}},
	"annotation: long DNS name before":   {{"spec.application.pod.annotations[" + longName(254) + "/owner]", "x"}},
	"node selector: not a name":          {{"spec.application.pod.nodeSelector[a b]", "x"}},
	"node selector: value with spaces":   {{"spec.application.pod.nodeSelector.disk", "very fast"}},
	"service account: capital letters":   {{"spec.application.pod.serviceAccountName", "Shop"}},
	"service account: two dots in a row": {{"spec.application.pod.serviceAccountName", "shop..web"}},
	"priority class: capital letters":    {{"spec.application.pod.priorityClassName", "High"}},
	"run as root":                        {{"spec.application.pod.runAsUser", "0"}},
	"volume: of no kind":                 {{"spec.tiers[web].pod.volumes[scratch]", "{name: scratch}"}},
	"volume: two kinds":                  {{"spec.tiers[web].pod.volumes[scratch].secret", "{name: s}"}},
	"volume: host path":                  {{"spec.tiers[web].pod.volumes[scratch]", "{name: scratch, hostPath: {path: /}}"}},
	"volume: name of the operator":       {{"spec.tiers[web].pod.volumes[scratch].name", "memorybudget-lib"}, {"spec.tiers[web].pod.volumeMounts", ""}},
	"volume: capital letters":            {{"spec.tiers[web].pod.volumes[scratch].name", "Scratch"}, {"spec.tiers[web].pod.volumeMounts", ""}},
	"volume: ConfigMap in capitals":      {{"spec.tiers[web].pod.volumes[site].configMap.name", "Site"}},
	"volume: Secret in capitals":         {{"spec.tiers[web].pod.volumes[keys].secret.name", "Keys"}},
	"volume: claim in capitals":          {{"spec.application.pod.volumes[uploads].persistentVolumeClaim.claimName", "Uploads"}},
	"volume: twice":                      {{"spec.tiers[web].pod.volumes[scratch].name", "site"}, {"spec.tiers[web].pod.volumeMounts", ""}},
	"mount: relative":                    {{"spec.tiers[web].pod.volumeMounts[0].mountPath", "scratch"}},
	"mount: two dots":                    {{"spec.tiers[web].pod.volumeMounts[0].mountPath", "/tmp/../memorybudget"}},
	"mount: over the operator's":         {{"spec.tiers[web].pod.volumeMounts[0].mountPath", "/memorybudget/lib"}},
	"mount: over /proc":                  {{"spec.tiers[web].pod.volumeMounts[0].mountPath", "/proc"}},
	"mount: twice":                       {{"spec.tiers[web].pod.volumeMounts[0].mountPath", "/keys"}},
	"mount: subPath with two dots":       {{"spec.application.pod.volumeMounts[0].subPath", "a/../b"}},
	"mount: subPath absolute":            {{"spec.application.pod.volumeMounts[0].subPath", "/a"}},
	"toleration: seconds beyond 64 bits": {{"spec.application.pod.tolerations[0].tolerationSeconds", "1e19"}},
	"spread: skew beyond 32 bits":        {{"spec.application.pod.topologySpreadConstraints[0].maxSkew", "3000000000"}},
}

// envCases are lists of environment variables, for the application and for a tier.
var envCases = map[string]string{
	"name with a space":        "[{name: MY LANG, value: C}]",
	"name of the operator":     "[{name: MEMORYBUDGET_TIER, value: web}]",
	"name like what is to set": "[{name: MEMORYBUDGET_VERIFY_TIMEOUT_SECONDS, value: '1'}]",
	"twice":                    "[{name: A, value: a}, {name: A, value: b}]",
	"value and valueFrom":      "[{name: A, value: a, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]",
	"valueFrom nothing":        "[{name: A, valueFrom: {}}]",
	"valueFrom two sources":    "[{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}, secretKeyRef: {name: s, key: k}}}]",
	"valueFrom a file":         "[{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: p, key: k}}}]",
	"Secret without a name":    "[{name: A, valueFrom: {secretKeyRef: {key: k}}}]",
	"ConfigMap without a name": "[{name: A, valueFrom: {configMapKeyRef: {name: '', key: k}}}]",
}

// envFromCases are lists of sources of environment variables, for the application and for a tier.
var envFromCases = map[string]string{
	"nothing":                  "[{prefix: A_}]",
	"two sources":              "[{configMapRef: {name: c}, secretRef: {name: s}}]",
	"ConfigMap without a name": "[{configMapRef: {}}]",
	"ConfigMap in capitals":    "[{configMapRef: {name: Shop}}]",
	"Secret with two dots":     "[{secretRef: {name: shop..web}}]",
	"prefix with =":            "[{prefix: A=, secretRef: {name: s}}]",
	"Secret without a name":    "[{secretRef: {optional: true}}]",
}
