##@ Generated files

CRD := config/crd/bases/memorybudget.dev_memorybudgets.yaml

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Generate deep copies, apply configurations, the CRD and RBAC from the Go types.
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt crd paths=./api/... output:crd:dir=config/crd/bases
	$(CONTROLLER_GEN) applyconfiguration:headerFile=hack/boilerplate.go.txt paths=./api/...
	go run ./hack/crd-bounds $(CRD)
	$(CONTROLLER_GEN) rbac:roleName=manager paths=./controllers/... output:rbac:dir=config/rbac
