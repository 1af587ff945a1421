// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Command check is both ends of the question whether a cluster's network works:
//
//	check serve             answers HTTP requests with the name of its pod
//	check get NAME=URL...   asks until each URL is answered by the pod of that name, for at most a minute
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const (
	address = ":8080"
	limit   = time.Minute
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	// The first process of a container dies of no signal that it does not handle.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch {
	case len(args) == 1 && args[0] == "serve":
		return serve(ctx)
	case len(args) > 1 && args[0] == "get":
		return getAll(ctx, args[1:])
	}
	return errors.New("usage: check serve | check get NAME=URL")
}

func serve(ctx context.Context) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }
	server := &http.Server{Addr: address, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(answer)}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func getAll(ctx context.Context, pairs []string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, pair := range pairs {
		name, url, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=URL", pair)
		}
		if err := getUntil(ctx, name, url); err != nil {
			return err
		}
		fmt.Printf("%s was answered by %s\n", url, name)
	}
	return nil
}

// getUntil repeats the request: a new Service takes a moment to reach every node.
func getUntil(ctx context.Context, name, url string) error {
	for {
		answer, err := get(ctx, url)
		if err == nil && answer == name {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not answered by %s within %s: got %q: %w", url, name, limit, answer, errors.Join(err, ctx.Err()))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	// No keep-alive: each request is a connection of its own through the Service.
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	return string(body), err
}
