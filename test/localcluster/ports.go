// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the range that kernels hand out to outgoing connections (32768 and up on Linux), so
// that no connection of ours or of others sits on one between the moment it is chosen and the moment it is served.
const (
	firstPort = 20000
	portCount = 10000
	portTries = 100
)

// freePort returns a loopback TCP port that nobody listens on. Another process can still take it first: Start then tries again.
func freePort() (int, error) {
	for range portTries {
		port := firstPort + rand.IntN(portCount)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return 0, fmt.Errorf("releasing port %d: %w", port, err)
		}
		return port, nil
	}
	return 0, fmt.Errorf("no free port among %d tried from %d", portTries, firstPort)
}
