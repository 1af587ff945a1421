// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package localcluster

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attributes let a detached process lead a session of its own. Elsewhere than on Linux nothing ends an attached
// process when its starter is killed.
func attributes(detached bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: detached}
}

// startTime returns when the process started, as ps prints it.
func startTime(pid int) (string, error) {
	output, err := exec.Command("ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", fmt.Errorf("looking up process %d: %w", pid, err)
	}
	return strings.TrimSpace(string(output)), nil
}
