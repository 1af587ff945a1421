# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""An app with the names of Celery 3."""
from celery import Celery


class Config:
    """Upper-case names without a namespace."""

    BROKER_URL = "memory://"
    CELERY_ACKS_LATE = False
    CELERYD_PREFETCH_MULTIPLIER = 8
    CELERY_ROUTES = ({"ml.train": {"queue": "wrong"}},)


app = Celery("plain")
app.config_from_object(Config)


@app.task
def work():
    """Work."""
