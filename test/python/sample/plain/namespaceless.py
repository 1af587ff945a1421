# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""An app without Django that sets everything after it has been configured."""
from celery import Celery


class Config:
    """Old and new, as it came."""

    broker_url = "memory://"
    task_acks_late = False
    worker_proc_alive_timeout = 4.0


app = Celery("plain")
app.config_from_object(Config)


@app.on_after_configure.connect
def set_up(sender, **kwargs):
    """Bind a task while the app is being configured, as periodic tasks do."""
    sender.add_periodic_task(60.0, work.s())


@app.task
def work():
    """Work."""


app.conf.update(task_acks_late=False, worker_proc_alive_timeout=5.0)
app.conf.task_acks_late = False
app.conf["task_routes"] = {"plain.*": {"queue": "plain"}, "ml.train": {"queue": "wrong"}}
