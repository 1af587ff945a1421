// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"slices"
	"strings"
)

// mostPatterns and mostDestinations bound how much work it is to tell which queues tasks were sent to.
const mostPatterns, mostDestinations = 100, 1000

// list is a queue as Redis keeps it.
type list struct{ prefix, queue string }

// keys are those of the lists of all priorities.
func (l list) keys() []string {
	keys := make([]string, 0, len(priorities))
	for _, priority := range priorities {
		keys = append(keys, l.prefix+l.queue+priority)
	}
	return keys
}

// binding is what binds a queue to an exchange.
type binding struct {
	prefix string
	to     destination
}

// pattern is a binding for many routing keys.
type pattern struct {
	words []string
	queue string
}

// routes are where tasks go to.
type routes struct {
	// lists are those of the queues that are bound to exchanges.
	lists map[list]bool
	exact map[binding][]string
	// patterns are those of topic exchanges, whose key is left out.
	patterns map[binding][]pattern
}

func newRoutes() *routes {
	return &routes{lists: map[list]bool{}, exact: map[binding][]string{}, patterns: map[binding][]pattern{}}
}

// add takes a member of a set of bindings: routing key, pattern and queue.
func (r *routes) add(prefix, exchange, member string) {
	route := strings.Split(member, separator)
	if len(route) != routeParts || route[2] == "" || isCelerysOwn(route[2]) {
		return
	}
	key, queue := route[0], route[2]
	r.lists[list{prefix, queue}] = true
	to := binding{prefix, destination{exchange, key}}
	r.exact[to] = append(r.exact[to], queue)
	if strings.ContainsAny(key, "*#") {
		of := binding{prefix, destination{exchange: exchange}}
		r.patterns[of] = append(r.patterns[of], pattern{strings.Split(key, "."), queue})
	}
}

// listsOf are the lists of queues: below each prefix under which a queue is bound, and without one.
func (r *routes) listsOf(queues []string) map[list]bool {
	lists := map[list]bool{}
	for _, queue := range queues {
		lists[list{queue: queue}] = true
	}
	for l := range r.lists {
		if lists[list{queue: l.queue}] {
			lists[l] = true
		}
	}
	return lists
}

// queues are those that a task was put into; not ok where that cannot be told. They have the routing key's name where
// nothing binds them, as with Celery's default exchange.
func (r *routes) queues(prefix string, to destination) (queues []string, ok bool) {
	queues = slices.Clone(r.exact[binding{prefix, to}])
	patterns := r.patterns[binding{prefix, destination{exchange: to.exchange}}]
	if len(patterns) > mostPatterns {
		return nil, false
	}
	words := strings.Split(to.key, ".")
	for _, p := range patterns {
		if matches(p.words, words) {
			queues = append(queues, p.queue)
		}
	}
	switch {
	case len(queues) > 0:
		slices.Sort(queues)
		return slices.Compact(queues), true
	case isCelerysOwnExchange(to.exchange):
		return nil, true
	}
	return []string{to.key}, to.key != "" && (to.exchange == "" || r.lists[list{prefix, to.key}])
}

// matches: * is a word of a routing key, # any number of them.
func matches(pattern, key []string) bool {
	p, k, wild, from := 0, 0, -1, 0
	for k < len(key) {
		switch {
		case p < len(pattern) && pattern[p] == "#":
			wild, from = p, k
			p++
		case p < len(pattern) && (pattern[p] == "*" || pattern[p] == key[k]):
			p, k = p+1, k+1
		case wild >= 0:
			from++
			p, k = wild+1, from
		default:
			return false
		}
	}
	return !slices.ContainsFunc(pattern[p:], func(word string) bool { return word != "#" })
}
