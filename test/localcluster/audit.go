// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"fmt"
	"os"
	"path/filepath"
)

// auditPolicy records who did what to which object, once per request, without contents.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
`

func auditPolicyPath(dir string) string { return filepath.Join(dir, "audit-policy.yaml") }

func auditLogPath(dir string) string { return filepath.Join(dir, "logs", "audit.log") }

// AuditLogPath names the file with one JSON event (audit.k8s.io/v1) per finished request, where Options.Audit asked for it.
func (c *Cluster) AuditLogPath() string { return auditLogPath(c.dir) }

// writeAuditPolicy stores the policy below dir.
func writeAuditPolicy(dir string) error {
	if err := os.WriteFile(auditPolicyPath(dir), []byte(auditPolicy), 0o600); err != nil {
		return fmt.Errorf("writing the audit policy: %w", err)
	}
	return nil
}
