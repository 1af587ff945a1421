##@ Build

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO_BUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

.PHONY: build
build: operator kubectl-plugin ## Build the operator and the kubectl plugin into build/bin.

.PHONY: operator
operator: ## Build the operator.
	@echo "Building the operator"
	@$(GO_BUILD) -o $(BIN)/memorybudget .
