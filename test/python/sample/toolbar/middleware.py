# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Middleware of the debugging toolbar."""


class ToolbarMiddleware:
    """Marks each request that it saw."""

    def __init__(self, get_response):
        """Keep the next in line."""
        self.get_response = get_response

    def __call__(self, request):
        """Mark and pass on."""
        request.META["toolbar"] = True
        return self.get_response(request)
