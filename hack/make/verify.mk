##@ Verify

# One after the other, also with -j: what is written first is read by what follows.
.PHONY: verify
verify: ## Regenerate, lint, and fail if anything changed.
	@$(MAKE) --no-print-directory generate
	@$(MAKE) --no-print-directory docs-api chart-sync
	@$(MAKE) --no-print-directory verify-tidy vet lint lint-api helm-lint
	@$(MAKE) --no-print-directory verify-clean

.PHONY: vet
vet: ## Run go vet.
	go vet ./...
	go vet -tags e2e ./test/e2e

.PHONY: verify-tidy
verify-tidy: ## Fail if go.mod does not list what is used.
	go mod tidy -diff

.PHONY: verify-clean
verify-clean: ## Fail if the work tree differs from the last commit.
	@changes=$$(git status --porcelain); \
	if [ -n "$$changes" ]; then \
		echo "verify: generated files are not up to date; commit these changes:"; echo "$$changes"; git diff | head -100; exit 1; \
	fi
