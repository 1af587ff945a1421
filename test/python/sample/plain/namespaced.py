# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""An app with a namespace of its own, changed afterwards in both spellings."""
from celery import Celery


class Config:
    """Names with a prefix."""

    SHOP_BROKER_URL = "memory://"
    SHOP_TASK_ACKS_LATE = False
    SHOP_TASK_ROUTES = "plain.routers.route"


app = Celery("plain")
app.config_from_object(Config, namespace="SHOP")
app.conf.SHOP_TASK_ACKS_LATE = False
app.conf.update(SHOP_WORKER_PROC_ALIVE_TIMEOUT=5.0)


@app.task
def work():
    """Work."""
