##@ Verify

.PHONY: verify
verify: generate docs-api chart-sync verify-tidy vet lint lint-api verify-clean ## Regenerate, lint, and fail if anything changed.

.PHONY: vet
vet: ## Run go vet.
	go vet ./...

.PHONY: verify-tidy
verify-tidy: ## Fail if go.mod does not list what is used.
	go mod tidy -diff

.PHONY: verify-clean
verify-clean: ## Fail if the work tree differs from the last commit.
	@if [ -n "$$(git status --porcelain)" ]; then \
		echo "verify: generated files are not up to date; commit these changes:"; git status --short; git diff | head -100; exit 1; \
	fi
