##@ API

.PHONY: lint-api
lint-api: $(KUBE_API_LINTER) ## Check the API types against the API conventions of Kubernetes.
	$(KUBE_API_LINTER) run --config .golangci-kal.yml ./api/v1alpha1/...

.PHONY: docs-api
docs-api: ## Write docs/reference.md from the CustomResourceDefinition and the API package.
	go run ./hack/api-docs api/v1alpha1 docs/reference.md
