# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""An app whose class brings a loader, configured by arguments alone."""
from celery import Celery
from celery.loaders.app import AppLoader


class TracingLoader(AppLoader):
    """A loader that does something of its own."""

    traced = True


class Tracing(Celery):
    """A Celery class of the house."""

    loader_cls = "plain.subclassed:TracingLoader"


app = Tracing("plain", broker="memory://", task_acks_late=False)


@app.task
def work():
    """Work."""
