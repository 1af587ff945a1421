// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"cmp"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// target is a broker and all that its queues depend on. Equal targets are read once.
type target struct {
	// address is host and port, secure whether it is spoken to by TLS.
	address string
	secure  bool
	// namespace is set where the host is a name without a dot: it is looked up as in the pods of that namespace.
	namespace string
	// user and password are for the broker alone: they are never told.
	user, password string
	// database is that of a Redis.
	database int
	// rabbitmq is set for the management API of a RabbitMQ. Path is where it is served, vhost whose queues are asked for.
	rabbitmq    bool
	path, vhost string
	// amqp is where a RabbitMQ is listened to.
	amqp endpoint
}

// endpoint is where AMQP is spoken, its fields as those of a target.
type endpoint struct {
	address        string
	secure         bool
	namespace      string
	user, password string
}

// String is what may be told of a target.
func (t target) String() string { return t.address }

// String is what may be told of an endpoint.
func (e endpoint) String() string { return e.address }

// longestURL bounds what is read from a Secret.
const longestURL = 4096

// parts are those of a URL, as Celery reads it: more lenient than net/url, which refuses characters that passwords have.
type parts struct {
	scheme, user, password, host, port, path string
	hasUser                                  bool
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9._:-]+$`)

// split takes a URL apart. Where it cannot, fault says why, without any of the URL.
func split(text string) (p parts, fault string) {
	text = strings.TrimSpace(text)
	scheme, rest, found := strings.Cut(text, "://")
	switch {
	case text == "":
		return p, "is empty"
	case len(text) > longestURL:
		return p, "is longer than " + strconv.Itoa(longestURL) + " bytes"
	case !found:
		return p, "is no URL"
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	if strings.Contains(tail, "://") {
		return p, "names several brokers"
	}
	tail, _, _ = strings.Cut(tail, "#")
	tail, _, _ = strings.Cut(tail, "?")
	p = parts{scheme: strings.ToLower(scheme), path: tail}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		p.hasUser, p.user, p.password = true, unescape(user), unescape(password)
		authority = authority[at+1:]
	}
	parsed, err := url.Parse("//" + authority)
	if err != nil || !hostName.MatchString(parsed.Hostname()) || len(parsed.Hostname()) > 253 {
		return parts{}, "has no host, or one that is neither a name nor an address"
	}
	p.host, p.port = parsed.Hostname(), parsed.Port()
	return p, ""
}

// unescape decodes percent signs; what is no escape stays.
func unescape(text string) string {
	if decoded, err := url.PathUnescape(text); err == nil {
		return decoded
	}
	return text
}

// address is host and port.
func (p parts) address(defaultPort string) (address, fault string) {
	port := p.port
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "has a port that is no number from 1 to 65535"
	}
	return net.JoinHostPort(p.host, port), ""
}

// listened is where a RabbitMQ is listened to.
func (t target) listened() target {
	return target{
		address: t.amqp.address, secure: t.amqp.secure, namespace: t.amqp.namespace, user: t.amqp.user, password: t.amqp.password,
		vhost: t.vhost,
	}
}

// in is the target as the pods of a namespace see it: there a name without a dot is first of all that of a Service of the
// namespace. In the operator's own pod it would be one of the operator's.
func (t target) in(namespace string) target {
	if host, _, err := net.SplitHostPort(t.address); err == nil && host != "localhost" && !strings.ContainsAny(host, ".:") {
		t.namespace = namespace
	}
	return t
}

// dialled is the host and port to connect to.
func (t target) dialled() string {
	host, port, err := net.SplitHostPort(t.address)
	if err != nil || t.namespace == "" {
		return t.address
	}
	return net.JoinHostPort(host+"."+t.namespace+".svc", port)
}

// redisTarget reads redis://user:password@host:port/database.
func redisTarget(text string) (t target, fault string) {
	p, fault := split(text)
	if fault != "" {
		return target{}, fault
	}
	if p.scheme != "redis" && p.scheme != "rediss" {
		return target{}, "must begin with redis:// or rediss://"
	}
	t = target{secure: p.scheme == "rediss", user: p.user, password: p.password}
	if database := strings.Trim(p.path, "/"); database != "" {
		n, err := strconv.ParseUint(database, 10, 31)
		if err != nil {
			return target{}, "has a path that is not the number of a database"
		}
		t.database = int(n)
	}
	t.address, fault = p.address("6379")
	return t, fault
}

// amqpTarget reads amqp://user:password@host:port/vhost.
func amqpTarget(text string) (t target, p parts, fault string) {
	if p, fault = split(text); fault != "" {
		return target{}, parts{}, fault
	}
	ports := map[string]string{"amqp": "5672", "amqps": "5671", "pyamqp": "5672", "librabbitmq": "5672"}
	if ports[p.scheme] == "" {
		return target{}, parts{}, "must begin with amqp:// or amqps://"
	}
	// Celery, too, is guest where it is not told who it is.
	t = target{secure: p.scheme == "amqps", user: cmp.Or(p.user, "guest"), password: cmp.Or(p.password, "guest")}
	t.vhost = cmp.Or(unescape(strings.TrimPrefix(p.path, "/")), "/")
	t.address, fault = p.address(ports[p.scheme])
	return t, p, fault
}

// managementTarget reads http://user:password@host:port/path.
func managementTarget(text string) (t target, p parts, fault string) {
	if p, fault = split(text); fault != "" {
		return target{}, parts{}, fault
	}
	ports := map[string]string{"http": "80", "https": "443"}
	if ports[p.scheme] == "" {
		return target{}, parts{}, "must begin with http:// or https://"
	}
	t = target{
		rabbitmq: true, secure: p.scheme == "https", user: p.user, password: p.password, path: strings.TrimSuffix(p.path, "/"),
	}
	t.address, fault = p.address(ports[p.scheme])
	return t, p, fault
}
