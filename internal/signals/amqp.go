// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// eventQueue begins the names of the queues in which heartbeats wait to be heard, heartbeatKey is the key they are sent by.
	eventQueue, heartbeatKey = "memorybudget." + eventExchange + ".", "worker.heartbeat"
	// oldestBeat is how long a message waits in such a queue, unusedQueue how long a queue is kept that nobody listens to, both in
	// milliseconds. They are Celery's own for the queues of its monitors.
	oldestBeat, unusedQueue = 5_000, 60_000
	// frameBytes is what RabbitMQ may say in one frame, besides more than what comes with the body of a heartbeat.
	frameBytes, besides = 32 << 10, 4 << 10
	// pulse is how often both sides at least show that they are there. The connection ends after one and a half without.
	pulse = 10 * time.Second
	// openLimit bounds all calls until messages come: RabbitMQ takes three seconds to refuse a password. Farewell is how long it is
	// waited for at the end.
	openLimit, farewell = 2 * callLimit, time.Second
)

// errNoEvents is a virtual host without the exchange for events, which the first worker makes.
var errNoEvents = errors.New("no worker has sent an event yet")

// subscribed is passed on once messages are.
type subscribed struct{}

// listenToRabbitMQ passes on the heartbeats that a RabbitMQ gives to a queue of the operator's, until the connection ends.
func listenToRabbitMQ(ctx context.Context, t target, guard Guard, said func(any) error) error {
	conn, err := dialAMQP(ctx, t, guard)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	call, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	stop := context.AfterFunc(call, func() { _ = conn.Close() }) // Nothing else ends a call that waits for words.
	defer stop()
	client, err := amqp.Open(conn, amqp.Config{
		SASL:  []amqp.Authentication{&amqp.PlainAuth{Username: t.user, Password: t.password}},
		Vhost: t.vhost, ChannelMax: 1, FrameSize: frameBytes, Heartbeat: pulse, Locale: "en_US",
		Properties: amqp.Table{"product": "MemoryBudget", "connection_name": "memorybudget"},
	})
	if client != nil {
		defer hangUp(client) // Also one that was refused, which would go on listening.
	}
	if err != nil {
		return conn.cause(err)
	}
	ended := client.NotifyClose(make(chan *amqp.Error, 1))
	messages, err := subscribe(client)
	if err != nil {
		return conn.cause(err)
	}
	stop()
	if err := said(subscribed{}); err != nil {
		return err
	}
	return conn.cause(conn.pass(ctx, messages, ended, said))
}

// subscribe makes a queue that ends with the connection and takes heartbeats, and listens to it.
func subscribe(client *amqp.Connection) (<-chan amqp.Delivery, error) {
	channel, err := client.Channel()
	if err != nil {
		return nil, err
	}
	queue := eventQueue + rand.Text()
	if _, err := channel.QueueDeclare(queue, false, true, true, false, amqp.Table{
		"x-queue-type": "classic", "x-message-ttl": oldestBeat, "x-expires": unusedQueue, "x-max-length": mostBeats,
	}); err != nil {
		return nil, err
	}
	// The exchange is not declared: that would take a right to it, and fail where it is another one than here.
	if err := channel.QueueBind(queue, heartbeatKey, eventExchange, false, nil); err != nil {
		return nil, err
	}
	return channel.Consume(queue, "memorybudget", true, true, false, false, nil)
}

// hangUp tells RabbitMQ that the connection ends. What the client waits for longer ends with the connection.
func hangUp(client *amqp.Connection) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = client.Close()
	}()
	select {
	case <-closed:
	case <-time.After(farewell):
	}
}

// amqpConn is a connection to a RabbitMQ that is not far ahead of what is heard: the client would keep whatever comes, and takes a
// message, or a table of any length, as it comes.
type amqpConn struct {
	net.Conn
	// left is how many bytes may come until more is heard. Then more is told.
	left  atomic.Int64
	more  chan struct{}
	ended chan struct{}
	end   sync.Once
	// failed is why reading ended. The client says only that it did.
	failed atomic.Pointer[error]
}

func dialAMQP(ctx context.Context, t target, guard Guard) (*amqpConn, error) {
	call, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	conn, err := connect(call, t, guard, "tcp")
	if err != nil {
		return nil, err
	}
	c := &amqpConn{Conn: conn, more: make(chan struct{}, 1), ended: make(chan struct{})}
	c.left.Store(messageBytes)
	return c, nil
}

// Close implements net.Conn.
func (c *amqpConn) Close() error {
	c.end.Do(func() { close(c.ended) })
	return c.Conn.Close()
}

// Read implements net.Conn.
func (c *amqpConn) Read(p []byte) (n int, err error) {
	if err = c.await(); err == nil {
		n, err = c.Conn.Read(p[:min(int64(len(p)), c.left.Load())])
		c.left.Add(-int64(n))
	}
	if err != nil {
		c.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// await waits until something may come.
func (c *amqpConn) await() error {
	for c.left.Load() <= 0 {
		select {
		case <-c.more:
		case <-c.ended:
			return net.ErrClosed
		case <-time.After(callLimit):
			return errTooLong
		}
	}
	return nil
}

// allow lets so many bytes more come.
func (c *amqpConn) allow(size int) {
	c.left.Add(min(int64(size), messageBytes-c.left.Load()))
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// pass passes messages on until there are no more.
func (c *amqpConn) pass(ctx context.Context, messages <-chan amqp.Delivery, ended <-chan *amqp.Error, said func(any) error) error {
	ticker := time.NewTicker(pulse)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			c.allow(besides) // For what the client alone hears.
		case message, open := <-messages:
			if !open {
				return why(ended)
			}
			c.allow(len(message.Body) + besides)
			if err := said(message); err != nil {
				return err
			}
		}
	}
}

// why there are no more messages. That the queue is gone, nobody says.
func why(ended <-chan *amqp.Error) error {
	select {
	case err := <-ended:
		if err != nil {
			return err
		}
	default:
	}
	return io.ErrUnexpectedEOF
}

// cause is what is behind an error of the client. The words in it may be the broker's.
func (c *amqpConn) cause(err error) error {
	reply, failed := (*amqp.Error)(nil), c.failed.Load()
	switch {
	case !errors.As(err, &reply):
		return err
	case reply.Server:
		return replied(reply.Code)
	case failed == nil:
		return errAnswer
	case !errors.Is(*failed, net.ErrClosed) && (errors.Is(err, amqp.ErrCredentials) || errors.Is(err, amqp.ErrVhost)):
		return errRefused // RabbitMQ ends the connection without a word.
	}
	return *failed
}

// replied is what the code means by which RabbitMQ ends a channel or a connection.
func replied(code int) error {
	switch code {
	case amqp.AccessRefused, amqp.NotAllowed:
		return errRefused
	case amqp.NotFound:
		return errNoEvents
	case amqp.ConnectionForced, amqp.InternalError:
		return io.ErrUnexpectedEOF
	}
	return errAnswer
}
