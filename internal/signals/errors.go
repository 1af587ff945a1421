// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/memorybudget/memorybudget/internal/observe"
)

var (
	// errForbiddenAddress is an address that the guard does not allow.
	errForbiddenAddress = errors.New("an address that is not connected to")
	// errAnswer is an answer that such a broker does not give.
	errAnswer = errors.New("an answer that is not understood")
	// errTooLong is one that is longer than it may be.
	errTooLong = fmt.Errorf("%w: it is too long", errAnswer)
	// errRefused is a user who may not do what was asked.
	errRefused = errors.New("not allowed")
)

// stateOf is all that is passed on of an error: its text may be the broker's.
func stateOf(err error) observe.BrokerState {
	untrusted := (*tls.CertificateVerificationError)(nil)
	switch {
	case errors.Is(err, errForbiddenAddress):
		return observe.BrokerForbidden
	case errors.Is(err, errNoEvents):
		return observe.BrokerNotReadYet
	case errors.Is(err, errRefused), refusedByRedis(err):
		return observe.BrokerRefuses
	case errors.As(err, &untrusted):
		return observe.BrokerUntrusted
	case errors.Is(err, errAnswer):
		return observe.BrokerAnswerInvalid
	case unreachable(err):
		return observe.BrokerUnreachable
	}
	return observe.BrokerAnswerInvalid
}

// refusals are how Redis begins when it refuses a user, a password or a command; the last three are of Redis before 6.
var refusals = []string{
	"NOAUTH", "WRONGPASS", "NOPERM", "DENIED", "ERR invalid password", "ERR AUTH ", "ERR Client sent AUTH",
}

func refusedByRedis(err error) bool {
	reply := redis.Error(nil)
	if !errors.As(err, &reply) {
		return false
	}
	for _, beginning := range refusals {
		if strings.HasPrefix(reply.Error(), beginning) {
			return true
		}
	}
	return redis.IsAuthError(err) || redis.IsPermissionError(err)
}

// unreachable: there was no connection, it ended, or there was no answer in time.
func unreachable(err error) bool {
	network, record := net.Error(nil), tls.RecordHeaderError{}
	return errors.As(err, &network) || errors.As(err, &record) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
