# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""The recommendations package."""
