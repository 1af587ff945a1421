# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0

PYTHON_ENVIRONMENT ?= all
PYTEST_ARGS ?=

.PHONY: test-python
test-python: ## Run the Python tests with real Django, Celery, gunicorn and Redis (as root on Debian: two releases)
	hack/test-python.sh $(PYTHON_ENVIRONMENT) $(PYTEST_ARGS)
