# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""App configuration of the debugging toolbar."""
from django.apps import AppConfig


class ToolbarConfig(AppConfig):
    """The app under a dotted path, as old Django versions wanted it."""

    name = "toolbar"
