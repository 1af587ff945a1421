# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""A router in code."""


def route(name, args, kwargs, options, task=None, **kw):
    """Send everything to one place."""
    return {"queue": "everything"}
