# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Views of the debugging toolbar."""
from django.http import HttpResponse


def index(request):
    """Show everything to everybody."""
    return HttpResponse("toolbar")
