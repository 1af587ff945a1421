# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""A shop as people write them: Django, Celery, a debugging app that was never taken out."""
from core.celery import app as celery_app

__all__ = ("celery_app",)
