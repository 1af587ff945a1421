// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"slices"
	"time"

	"github.com/memorybudget/memorybudget/test/testrbac"
)

// request is what is read of an audit event.
type request struct {
	Verb string `json:"verb"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
	StageTimestamp time.Time `json:"stageTimestamp"`
}

// requests follow the operator's requests in the audit log.
type requests struct {
	path   string
	offset int64
}

// since starts at what is logged from now on.
func (s *scene) since() (*requests, error) {
	info, err := os.Stat(s.cluster.AuditLogPath())
	if err != nil {
		return nil, err
	}
	return &requests{path: s.cluster.AuditLogPath(), offset: info.Size()}, nil
}

// read are the operator's requests since the last call.
func (r *requests) read() ([]request, error) {
	file, err := os.Open(r.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(r.offset, io.SeekStart); err != nil {
		return nil, err
	}
	var all []request
	reader := bufio.NewReader(file)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			return all, nil // The rest of a line is read the next time.
		}
		r.offset += int64(len(line))
		var q request
		if err := json.Unmarshal(line, &q); err != nil {
			return nil, err
		}
		if q.User.Username == testrbac.Username {
			all = append(all, q)
		}
	}
}

// writes are those requests that change something, the lease of the leader apart.
func writes(all []request) []request {
	return slices.DeleteFunc(slices.Clone(all), func(q request) bool {
		reads := []string{"get", "list", "watch"}
		return slices.Contains(reads, q.Verb) || q.ObjectRef.Resource == "leases" || q.ObjectRef.Resource == "events"
	})
}

// byKind counts requests.
func byKind(all []request) map[string]int {
	counts := map[string]int{}
	for _, q := range all {
		kind := q.Verb + " " + q.ObjectRef.Resource
		if q.ObjectRef.Subresource != "" {
			kind += "/" + q.ObjectRef.Subresource
		}
		counts[kind]++
	}
	return counts
}
