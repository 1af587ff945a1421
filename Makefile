# MemoryBudget. `make help` lists what there is to run.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BUILD := $(CURDIR)/build
BIN := $(BUILD)/bin

# tools.mk comes first: prerequisites are expanded where they are read, and many recipes name a tool.
include hack/make/tools.mk
include $(filter-out hack/make/tools.mk,$(sort $(wildcard hack/make/*.mk)))

##@ General

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z0-9_-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(sort $(wildcard hack/make/*.mk)) Makefile
