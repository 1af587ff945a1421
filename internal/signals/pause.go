// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
)

// gathering is how long those that begin to ask are waited for: an operator that starts finds many one after the other.
const gathering = time.Second

// pause waits until it is time to read again, or a while after somebody asks for what was not read; asked is nil where nobody can. It is
// false when the context ends first.
func pause(ctx context.Context, c clock.Clock, interval time.Duration, asked <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-c.After(wait.Jitter(interval, jitter)):
		return true
	case <-asked:
	}
	select {
	case <-ctx.Done():
		return false
	case <-c.After(min(gathering, interval)):
	}
	select {
	case <-asked: // By one for whom it is read now.
	default:
	}
	return true
}

// nudge says that somebody asks, unless that was said already.
func nudge(asked chan<- struct{}) {
	select {
	case asked <- struct{}{}:
	default:
	}
}
