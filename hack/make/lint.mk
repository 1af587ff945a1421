##@ Lint

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Check the code with the linters of .golangci.yml.
	$(GOLANGCI_LINT) run

.PHONY: lint-fix
lint-fix: $(GOLANGCI_LINT) ## Correct what linters can correct.
	$(GOLANGCI_LINT) run --fix
