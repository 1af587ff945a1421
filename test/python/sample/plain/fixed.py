# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""An app that allows no queues but its own, and has a killing task run again."""
from celery import Celery
from kombu import Queue

app = Celery("plain", broker="memory://")
app.conf.update(task_queues=[Queue("celery")], task_create_missing_queues=False, task_reject_on_worker_lost=True)


@app.task
def work():
    """Work."""
