// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

//go:embed python/*.py
var python embed.FS

const (
	// bootstrapFile is the program of the verify container. It stands in the pod template, not in
	// the ConfigMap.
	bootstrapFile = "bootstrap.py"
	// settingsFile is what all tiers share.
	settingsFile = "settings.json"
	// maxOverlayBytes bounds the ConfigMap, whose limit is 1 MiB.
	maxOverlayBytes = 768 * kibi
)

// packageFiles are the Python files of the package memorybudget, without the bootstrap program.
var packageFiles = sync.OnceValue(func() Files {
	files := Files{}
	entries, err := python.ReadDir("python")
	if err != nil {
		panic(err) // the files are part of this program
	}
	for _, entry := range entries {
		if name := entry.Name(); name != bootstrapFile {
			files[name] = readPython(name)
		}
	}
	return files
})

// packageHashes are the SHA-256 sums of the package's files.
var packageHashes = sync.OnceValue(func() map[string]string {
	hashes := map[string]string{}
	for name, content := range packageFiles() {
		hashes[name] = sumOf(content)
	}
	return hashes
})

func sumOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// Bootstrap is the Python program of the verify container, for `python3 -I -c`. Its arguments are
// the directory with the files, the directory to copy them to, "1" to verify the application or "0"
// to only check the files, and NAME=SHA256 for each file.
func Bootstrap() string { return readPython(bootstrapFile) }

func readPython(name string) string {
	data, err := python.ReadFile("python/" + name)
	if err != nil {
		panic(err) // the files are part of this program
	}
	return string(data)
}

// Overlay is the content of the ConfigMap that the tiers share, and its hash: the Python package and
// settings.json. It does not depend on facts, nor on the order of the tiers.
func Overlay(mb *v1alpha1.MemoryBudget) (Files, string) {
	files := maps.Clone(packageFiles())
	files[settingsFile] = mustJSON(shared(mb))
	return files, sumOf(strings.Join(files.Hashes(), "\n"))
}

// Hashes are NAME=SHA256 of each file, sorted: the arguments of the bootstrap program.
func (f Files) Hashes() []string {
	hashes := make([]string, 0, len(f))
	for _, name := range slices.Sorted(maps.Keys(f)) {
		hashes = append(hashes, name+"="+f.hash(name))
	}
	return hashes
}

// hash is the sum of one file; those of the package are known.
func (f Files) hash(name string) string {
	if content, ok := packageFiles()[name]; ok && content == f[name] {
		return packageHashes()[name]
	}
	return sumOf(f[name])
}

// Check tells whether the files fit into a ConfigMap. The bounds of the resource keep them far below.
func (f Files) Check() error {
	size := int64(0)
	for name, content := range f {
		size += int64(len(name) + len(content))
	}
	if size > maxOverlayBytes {
		return &SettingError{Field: "spec.application.django", Message: fmt.Sprintf(
			"the settings take %d bytes, and at most %d fit into a ConfigMap: shorten disableApps, "+
				"disableMiddleware or celery.tasks", size, maxOverlayBytes)}
	}
	return nil
}

// sharedSettings is settings.json, as the Python package reads it.
type sharedSettings struct {
	Version  int             `json:"version"`
	Django   *sharedDjango   `json:"django,omitempty"`
	Database *sharedDatabase `json:"database,omitempty"`
	Cache    *sharedCache    `json:"cache,omitempty"`
	Celery   *sharedCelery   `json:"celery,omitempty"`
}

type sharedDjango struct {
	SettingsModule    string          `json:"settingsModule"`
	DisableApps       []string        `json:"disableApps"`
	DisableMiddleware []string        `json:"disableMiddleware"`
	Debug             v1alpha1.Switch `json:"debug"`
	LogLevel          string          `json:"logLevel"`
}

type sharedDatabase struct {
	ConnMaxAgeSeconds     int32 `json:"connMaxAgeSeconds"`
	ConnectTimeoutSeconds int32 `json:"connectTimeoutSeconds"`
}

type sharedCache struct {
	MaxConnections       int32 `json:"maxConnections"`
	SocketTimeoutSeconds int32 `json:"socketTimeoutSeconds"`
}

type sharedCelery struct {
	App        string         `json:"app"`
	Settings   map[string]any `json:"settings"`
	TaskRoutes []taskRoute    `json:"taskRoutes"`
}

type taskRoute struct {
	Pattern string `json:"pattern"`
	Queue   string `json:"queue"`
}

// celeryShared are Celery settings that hold in all tiers.
//
//   - worker_proc_alive_timeout: a replacement child that takes longer than this many seconds to
//     start is killed, and so is the next; Celery's 4 s end a worker for good at its first recycling
//     where the child loads a model.
//   - worker_eta_task_limit (Celery >= 5.6, ignored before): tasks with an ETA are not bounded by
//     the prefetch limit, so that all of them would be held in memory. A worker that holds this many
//     fetches nothing more, which is why it is not lower.
//   - broker_read_url, broker_write_url: not set where the resource names the broker, since Celery
//     prefers them to CELERY_BROKER_URL.
func celeryShared(mb *v1alpha1.MemoryBudget) map[string]any {
	settings := map[string]any{"worker_proc_alive_timeout": 60, "worker_eta_task_limit": 1000}
	if BrokerSecret(mb.Spec.Broker) != nil {
		settings["broker_read_url"], settings["broker_write_url"] = nil, nil
	}
	return settings
}

func shared(mb *v1alpha1.MemoryBudget) sharedSettings {
	app := &mb.Spec.Application
	out := sharedSettings{Version: 1}
	if d := app.Django; d != nil {
		out.Django = &sharedDjango{
			SettingsModule:    d.SettingsModule,
			DisableApps:       append([]string{}, d.DisableApps...),
			DisableMiddleware: append([]string{}, d.DisableMiddleware...),
			Debug:             textOr(d.Debug, v1alpha1.SwitchDisabled),
			LogLevel:          textOr(d.LogLevel, "WARNING"),
		}
		out.Database = &sharedDatabase{ConnMaxAgeSeconds: connMaxAge(mb), ConnectTimeoutSeconds: connectTimeout(mb)}
		out.Cache = cacheOf(mb.Spec.Cache)
	}
	if app.Celery != nil {
		out.Celery = &sharedCelery{App: app.Celery.App, Settings: celeryShared(mb), TaskRoutes: taskRoutes(mb)}
	}
	return out
}

func connMaxAge(mb *v1alpha1.MemoryBudget) int32 {
	if mb.Spec.Database == nil {
		return 300
	}
	return valueOr(mb.Spec.Database.ConnMaxAgeSeconds, 300)
}

func connectTimeout(mb *v1alpha1.MemoryBudget) int32 {
	if mb.Spec.Database == nil {
		return 10
	}
	return valueOr(mb.Spec.Database.ConnectTimeoutSeconds, 10)
}

func cacheOf(c *v1alpha1.Cache) *sharedCache {
	if c == nil {
		c = &v1alpha1.Cache{}
	}
	return &sharedCache{
		MaxConnections:       valueOr(c.MaxConnections, 50),
		SocketTimeoutSeconds: valueOr(c.SocketTimeoutSeconds, 5),
	}
}

// taskRoutes are the routes of all tiers. Celery takes the first pattern that matches, so the more
// specific come first: names before patterns, longer before shorter, then by name. Of two tiers that
// claim the same pattern the first by name has it.
func taskRoutes(mb *v1alpha1.MemoryBudget) []taskRoute {
	routes, seen := []taskRoute{}, map[string]bool{}
	for _, tier := range sortedTiers(mb) {
		if tier.Celery == nil || len(tier.Celery.Queues) == 0 {
			continue
		}
		for _, pattern := range tier.Celery.Tasks {
			if !seen[pattern] {
				seen[pattern] = true
				routes = append(routes, taskRoute{Pattern: pattern, Queue: tier.Celery.Queues[0]})
			}
		}
	}
	slices.SortFunc(routes, func(a, b taskRoute) int {
		return cmp.Or(
			cmp.Compare(wildcards(a.Pattern), wildcards(b.Pattern)),
			cmp.Compare(len(b.Pattern), len(a.Pattern)),
			cmp.Compare(a.Pattern, b.Pattern),
		)
	})
	return routes
}

// wildcards is 0 for a plain name and 1 for a pattern.
func wildcards(pattern string) int {
	if strings.ContainsAny(pattern, "*?") {
		return 1
	}
	return 0
}
