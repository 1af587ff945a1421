// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Difference is a value that is not what it was.
type Difference struct {
	// Path leads to it from decision or status. Elements of lists are told by the tier or name that they are about, else by
	// their number.
	Path string
	// Recorded and Replayed are the values as JSON, cut where they are long. One that is not there is "nothing".
	Recorded, Replayed string
}

// String tells it in one line.
func (d Difference) String() string {
	return strings.Map(printable, fmt.Sprintf("%s: recorded %s, replayed %s", d.Path, d.Recorded, d.Replayed))
}

// printable keeps what somebody put into a file from acting on a terminal.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '?'
}

// compare finds what differs in two JSON values, in the order of their paths. Equal bytes differ in nothing.
func compare(path string, recorded, replayed []byte) ([]Difference, error) {
	if bytes.Equal(recorded, replayed) {
		return nil, nil
	}
	was, err := tree(recorded)
	if err != nil {
		return nil, fmt.Errorf("decoding the recorded %s: %w", path, err)
	}
	is, err := tree(replayed)
	if err != nil {
		return nil, fmt.Errorf("decoding the replayed %s: %w", path, err)
	}
	return differences(nil, path, was, is), nil
}

// tree decodes JSON with its numbers as they are written.
func tree(data []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

// nothing stands for a value that is not there.
type nothing struct{}

func differences(found []Difference, path string, was, is any) []Difference {
	if object, other, both := pair[map[string]any](was, is); both {
		for _, key := range slices.Sorted(maps.Keys(union(object, other))) {
			found = differences(found, path+"."+key, member(object, key), member(other, key))
		}
		return found
	}
	if list, other, both := pair[[]any](was, is); both {
		for i := range max(len(list), len(other)) {
			one, another := element(list, i), element(other, i)
			found = differences(found, path+"["+label(i, one, another)+"]", one, another)
		}
		return found
	}
	if text, other := shown(was), shown(is); text != other {
		found = append(found, Difference{Path: path, Recorded: cut(text), Replayed: cut(other)})
	}
	return found
}

// pair is two values of one type, if they both are.
func pair[T any](a, b any) (x, y T, both bool) {
	x, first := a.(T)
	y, second := b.(T)
	return x, y, first && second
}

func union(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func member(object map[string]any, key string) any {
	if value, found := object[key]; found {
		return value
	}
	return nothing{}
}

func element(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nothing{}
}

// labels are the fields that tell what an element of a list is about, the first that it has counts.
var labels = []string{"Tier", "Name", "name", "type"}

// label tells elements of the same place in two lists by what both are about.
func label(i int, one, another any) string {
	a, b := about(one), about(another)
	switch {
	case a == b && a != "", b == "" && a != "":
		return a
	case a == "" && b != "":
		return b
	}
	return strconv.Itoa(i)
}

func about(value any) string {
	object, _ := value.(map[string]any)
	if spec, found := object["Spec"]; found {
		return about(spec)
	}
	for _, key := range labels {
		if name, _ := object[key].(string); name != "" {
			return name
		}
	}
	return ""
}

func shown(value any) string {
	if _, absent := value.(nothing); absent {
		return "nothing"
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(data)
}

// longestShown is how many bytes of a value are told.
const longestShown = 160

func cut(text string) string {
	if len(text) <= longestShown {
		return text
	}
	return text[:longestShown] + "..."
}
