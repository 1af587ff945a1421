##@ Test

# Coverage counts the packages that ship, whichever test runs them.
COVERPKG := ./api/v1alpha1,./controllers/...,./internal/...,./cmd/...
GO_TEST_FLAGS ?=

.PHONY: test
test: test-go test-kind test-python ## Run all tests: unit, property and integration tests on a real API server, then Python.

.PHONY: test-go
test-go: control-plane brokers-env $(HELM) $(KUSTOMIZE) ## Run the Go tests, with a real control plane, and print the coverage.
	@mkdir -p $(BUILD)
	MEMORYBUDGET_CONTROLPLANE_BIN=$(CONTROLPLANE_BIN) MEMORYBUDGET_TOOLS_BIN=$(TOOLS_BIN) \
		go test $(GO_TEST_FLAGS) -timeout 30m -coverpkg=$(COVERPKG) -coverprofile=$(BUILD)/cover.out ./...
	@go tool cover -func=$(BUILD)/cover.out | tail -1

.PHONY: brokers-env
brokers-env: ## Install the brokers that the Go tests run (as root on Debian).
	@hack/brokers-env.sh

.PHONY: test-unit
test-unit: ## Run the tests that need no control plane.
	go test $(GO_TEST_FLAGS) $$(go list ./... | grep -v -e /test/ -e /hack/localcluster)

.PHONY: bench
bench: ## Measure planning and building, allocations included.
	go test -run '^$$' -bench . -benchmem ./internal/...
