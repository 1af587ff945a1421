// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/memorybudget/memorybudget/internal/observe"
)

const (
	// pageSize is the most that the management API gives, mostPages how many pages are asked for.
	pageSize, mostPages = 500, 10
	// mostHeaders bounds the headers of an answer, in bytes.
	mostHeaders = 64 << 10
)

// rabbitReader asks the management API of a RabbitMQ.
type rabbitReader struct {
	client *http.Client
	target target
}

func newRabbitReader(t target, guard Guard) *rabbitReader {
	return &rabbitReader{target: t, client: &http.Client{
		Transport: &http.Transport{
			// No proxy of the operator's environment: the guard would see the proxy's address.
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer(guard, callLimit).DialContext(ctx, network, t.dialled())
			},
			MaxConnsPerHost:        1,
			MaxResponseHeaderBytes: mostHeaders,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (r *rabbitReader) close() error {
	r.client.CloseIdleConnections()
	return nil
}

// page is a part of the list of queues.
type page struct {
	Pages int   `json:"page_count"`
	Items items `json:"items"`
}

// items are at most as many as were asked for: a short text could hold a great many.
type items []queueItem

// UnmarshalJSON implements json.Unmarshaler.
func (all *items) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if start, err := decoder.Token(); err != nil || start != json.Delim('[') {
		return errAnswer
	}
	*all = items{}
	for decoder.More() {
		var item queueItem
		if len(*all) == pageSize {
			return errAnswer
		}
		if err := decoder.Decode(&item); err != nil {
			return errAnswer
		}
		*all = append(*all, item)
	}
	return nil
}

// queueItem is what is asked about a queue.
type queueItem struct {
	Name      string `json:"name"`
	Messages  int64  `json:"messages"`
	Consumers int64  `json:"consumers"`
	Exclusive bool   `json:"exclusive"`
	// Ready and Taken are asked for where queues are counted. Neither is there before the broker has counted them itself.
	Ready *int64 `json:"messages_ready"`
	Taken *int64 `json:"messages_unacknowledged"`
}

// counted are the columns that count the tasks of a queue.
const counted = ",messages_ready,messages_unacknowledged"

// isForgotten: tasks wait and nobody takes them. Only the connection that made an exclusive queue could.
func (q *queueItem) isForgotten() bool {
	return q.Messages > 0 && q.Consumers == 0 && !q.Exclusive && q.Name != "" && !isCelerysOwn(q.Name)
}

// read returns the queues in which tasks wait and which have no consumer, and counts the tasks of those that are asked for.
func (r *rabbitReader) read(ctx context.Context, q question) (reading, error) {
	all := map[string]queueItem{}
	columns := "name,messages,consumers,exclusive"
	if len(q.queues) > 0 {
		columns += counted
	}
	var got reading
	for n := 1; n <= mostPages; n++ {
		page, err := r.page(ctx, n, columns)
		if err != nil {
			return reading{}, err
		}
		for _, item := range page.Items {
			all[item.Name] = item
			if item.isForgotten() {
				got.waiting = append(got.waiting, item.Name)
			}
		}
		if n >= page.Pages {
			slices.Sort(got.waiting)
			got.waiting, got.queues = slices.Compact(got.waiting), counts(q.queues, all)
			return got, nil
		}
	}
	return reading{}, fmt.Errorf("%w: there are more queues than are looked at", errAnswer)
}

// counts are those of queues, of which there may be none by that name. ETA and age of a task, the broker does not tell.
func counts(queues []string, all map[string]queueItem) []observe.Queue {
	var out []observe.Queue
	for _, name := range queues {
		switch item, found := all[name]; {
		case !found:
			out = append(out, observe.Queue{Name: name})
		case item.Ready != nil && item.Taken != nil:
			out = append(out, observe.Queue{Name: name, Ready: max(*item.Ready, 0), Reserved: max(*item.Taken, 0)})
		}
	}
	return out
}

func (r *rabbitReader) page(ctx context.Context, n int, columns string) (page, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url(n, columns), http.NoBody)
	if err != nil {
		return page{}, fmt.Errorf("%w: %w", errAnswer, err)
	}
	request.SetBasicAuth(r.target.user, r.target.password)
	response, err := r.client.Do(request)
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		err = outer.Err // It says of every error that it is one of the network.
	}
	if err != nil {
		return page{}, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return page{}, errRefused
	default:
		return page{}, errAnswer
	}
	return decode(response.Body)
}

// decode reads a page of at most mostBytes.
func decode(body io.Reader) (page, error) {
	data, err := io.ReadAll(io.LimitReader(body, mostBytes+1))
	if err != nil {
		return page{}, err
	}
	if len(data) > mostBytes {
		return page{}, errTooLong
	}
	var got page
	if err := json.Unmarshal(data, &got); err != nil || got.Pages == 0 && got.Items == nil {
		return page{}, errAnswer
	}
	return got, nil
}

// url is that of a page of the queues of the virtual host.
func (r *rabbitReader) url(n int, columns string) string {
	scheme := "http"
	if r.target.secure {
		scheme = "https"
	}
	query := url.Values{
		"page": {strconv.Itoa(n)}, "page_size": {strconv.Itoa(pageSize)}, "columns": {columns},
	}
	return fmt.Sprintf("%s://%s%s/api/queues/%s?%s", scheme, r.target.address, r.target.path, url.PathEscape(r.target.vhost), query.Encode())
}
