# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Tasks of the recommendations."""
from celery import shared_task


@shared_task
def train_model():
    """Train."""


@shared_task
def train_all():
    """Train everything."""


@shared_task(queue="elsewhere")
def score_here():
    """Score, on a queue named in code."""
