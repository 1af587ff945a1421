// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/memorybudget/memorybudget/internal/observe"
)

const (
	// mostBeats is how many messages a second are listened to. A broker that says more is not listened to for a while: what it says
	// would be old when it is heard.
	mostBeats = 2 * mostWorkers
	// messageBytes and messageElements are what it may say at once.
	messageBytes, messageElements = 64 << 10, 10_000
)

// listens makes the heartbeats of a broker's workers be listened to while they are wanted.
func (b *Brokers) listens(ctx context.Context, p *poller, wanted bool) {
	switch {
	case wanted && p.deafen == nil:
		ctx, p.deafen = context.WithCancel(ctx)
		p.roll.turn(observe.BrokerNotReadYet)
		b.running.Go(func() { b.listen(ctx, p) })
	case !wanted && p.deafen != nil:
		p.deafen()
		p.deafen = nil
	}
}

// listen hears heartbeats, on a connection of its own, until it is ended.
func (b *Brokers) listen(ctx context.Context, p *poller) {
	retry := b.options.Interval
	for {
		began := b.options.Clock.Now()
		err := b.hear(ctx, p)
		if ctx.Err() != nil {
			return
		}
		b.turn(p, stateOf(err))
		if retry = min(2*retry, secretInterval); b.options.Clock.Since(began) > secretInterval {
			retry = b.options.Interval
		}
		if !pause(ctx, b.options.Clock, retry, nil) {
			return
		}
	}
}

// turn notes whether heartbeats are heard.
func (b *Brokers) turn(p *poller, state observe.BrokerState) {
	if p.roll.turn(state) {
		address := cmp.Or(p.target.amqp.address, p.target.address)
		b.options.Log.Info("The heartbeats of workers are heard otherwise", "broker", address, "is", state)
	}
}

// hear listens on one connection. It survives whatever is said.
func (b *Brokers) hear(ctx context.Context, p *poller) (err error) {
	defer func() {
		if recovered := recover(); recovered != nil {
			err = fmt.Errorf("%w: it makes the client panic", errAnswer)
		}
	}()
	limit := rate.NewLimiter(mostBeats, mostBeats)
	said := func(message any) error {
		if !limit.Allow() {
			return errTooLong
		}
		b.said(p, message)
		return nil
	}
	if p.target.rabbitmq {
		return listenToRabbitMQ(ctx, p.target.listened(), b.options.Guard, said)
	}
	return listenToRedis(ctx, p.target, b.options.Guard, said)
}

// said takes what a broker says to who listens.
func (b *Brokers) said(p *poller, message any) {
	said, ok := beat{}, false
	switch m := message.(type) {
	case *redis.Subscription, subscribed:
		b.turn(p, observe.BrokerRead)
	case *redis.Message:
		said, ok = parseBeat(m.Payload)
	case amqp.Delivery:
		said, ok = parseEvent(m.Body)
	}
	if ok {
		p.roll.hear(said, b.options.Clock.Now())
	}
}

// channels are those on which Celery's transport for Redis publishes heartbeats, whatever prefix its keys have.
func channels(database int) string {
	return "*/" + strconv.Itoa(database) + "." + eventExchange + "/" + heartbeatKey
}

// listenToRedis passes on what a Redis says on these channels, until the connection ends.
func listenToRedis(ctx context.Context, t target, guard Guard, said func(any) error) (err error) {
	left := &allowance{}
	left.allow(messageBytes, messageElements)
	client := redis.NewClient(redisOptions(t, guard, left))
	subscription := client.Subscribe(ctx)
	end := func() error { return errors.Join(subscription.Close(), client.Close()) }
	stop := context.AfterFunc(ctx, func() { _ = end() }) // Nothing else ends a call that waits for words.
	defer func() {
		if stop() {
			_ = end()
		}
	}()
	call, cancel := context.WithTimeout(ctx, callLimit)
	err = subscription.PSubscribe(call, channels(t.database))
	cancel()
	if err != nil {
		return err
	}
	for {
		left.allow(messageBytes, messageElements)
		message, err := subscription.Receive(ctx)
		if err != nil {
			return err
		}
		if err := said(message); err != nil {
			return err
		}
	}
}
