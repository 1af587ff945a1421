// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// What holds a packed object are annotations with names that the API server would not take, so nobody else can have set them.
const (
	packedAnnotation     = "memorybudget.dev/ packed"
	dictionaryAnnotation = "memorybudget.dev/ dictionary"
)

const (
	// level is the fastest of flate that makes use of a dictionary.
	level = 2
	// window is how much of a dictionary flate can look back on.
	window = 32 << 10
	// gain is how many times smaller than the object a packed one is, unless the dictionary is of an object too different.
	gain = 8
	// fewest is how many objects a dictionary is kept for, so that dictionaries take little beside the objects.
	fewest = 32
)

// packable are the objects of Kubernetes' own kinds, which have a binary form.
type packable interface {
	client.Object
	Marshal() ([]byte, error)
	Unmarshal(data []byte) error
	Reset()
}

// Packer makes objects of one kind small for a cache: their templates hardly differ, and there are thousands. Each object is
// packed as what it has other than an earlier one, its dictionary.
type Packer struct {
	mu         sync.Mutex
	writer     *flate.Writer
	dictionary string
	since      int
}

// Pack keeps namespace, name, UID, versions, when the object was deleted, and the label that says whose it is; Gather gives the rest
// back. Who changed which field is dropped. It is a transform of a cache: what it cannot pack stays as it is.
func (p *Packer) Pack(object any) (any, error) {
	full, ok := object.(packable)
	if !ok || full.GetAnnotations()[packedAnnotation] != "" {
		return object, nil
	}
	full.SetManagedFields(nil)
	data, err := full.Marshal()
	if err != nil {
		return nil, fmt.Errorf("packing %T %s: %w", full, full.GetName(), err)
	}
	small := reflect.New(reflect.TypeOf(full).Elem()).Interface().(packable)
	small.SetNamespace(full.GetNamespace())
	small.SetName(full.GetName())
	small.SetUID(full.GetUID())
	small.SetResourceVersion(full.GetResourceVersion())
	small.SetGeneration(full.GetGeneration())
	small.SetDeletionTimestamp(full.GetDeletionTimestamp())
	if name, found := full.GetLabels()[v1alpha1.NameLabel]; found {
		small.SetLabels(map[string]string{v1alpha1.NameLabel: name})
	}
	packed, dictionary := p.deflate(data)
	small.SetAnnotations(map[string]string{packedAnnotation: packed, dictionaryAnnotation: dictionary})
	return small, nil
}

// deflate packs data, and tells with which dictionary.
func (p *Packer) deflate(data []byte) (packed, dictionary string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writer == nil {
		p.learn(data)
	}
	if packed = p.write(data); len(packed) > len(data)/gain && p.since >= fewest {
		p.learn(data)
		packed = p.write(data)
	}
	p.since++
	return packed, p.dictionary
}

// learn makes an object the dictionary of those that follow.
func (p *Packer) learn(data []byte) {
	p.dictionary, p.since = string(data[max(0, len(data)-window):]), 0
	writer, err := flate.NewWriterDict(io.Discard, level, []byte(p.dictionary))
	if err != nil {
		panic(err) // The level is a constant.
	}
	p.writer = writer
}

func (p *Packer) write(data []byte) string {
	var out strings.Builder
	p.writer.Reset(&out)
	_, err := p.writer.Write(data)
	if err == nil {
		err = p.writer.Close()
	}
	if err != nil {
		panic(err) // A builder takes everything.
	}
	return strings.Clone(out.String())
}

// readers are expensive to make.
var readers = sync.Pool{New: func() any { return flate.NewReader(nil) }}

func inflate(packed, dictionary string) ([]byte, error) {
	reader := readers.Get().(io.ReadCloser)
	defer readers.Put(reader)
	if err := reader.(flate.Resetter).Reset(strings.NewReader(packed), []byte(dictionary)); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(gain * len(packed))
	_, err := out.ReadFrom(reader)
	return out.Bytes(), err
}

// unpack gives back what was packed; others stay as they are.
func unpack[T any, P interface {
	*T
	packable
}](items []T) error {
	for i := range items {
		item := P(&items[i])
		packed, found := item.GetAnnotations()[packedAnnotation]
		if !found {
			continue
		}
		data, err := inflate(packed, item.GetAnnotations()[dictionaryAnnotation])
		if err != nil {
			return fmt.Errorf("unpacking %T %s: %w", item, item.GetName(), err)
		}
		kind := item.GetObjectKind().GroupVersionKind()
		item.Reset()
		if err := item.Unmarshal(data); err != nil {
			return fmt.Errorf("unpacking %T: %w", item, err)
		}
		item.GetObjectKind().SetGroupVersionKind(kind)
	}
	return nil
}
