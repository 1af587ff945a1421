# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Tasks about orders."""
import os
import time

from celery import shared_task
from celery.signals import worker_process_init
from celery.worker.control import control_command


@worker_process_init.connect(weak=False)
def warm_up(**kwargs):
    """Load what the processes of the pool need, which takes as long as it takes."""
    time.sleep(float(os.environ.get("SHOP_WARM_UP") or 0))


@shared_task(bind=True)
def describe(self, *names):
    """Return what the task sees of itself and of the worker's process."""
    from django.conf import settings
    conf = self.app.conf
    return {"pid": os.getpid(), "acks_late": self.acks_late, "module": settings.SETTINGS_MODULE,
            "debug": settings.DEBUG,
            "named": {name: getattr(settings, name, None) for name in names},
            "proc_alive_timeout": conf.worker_proc_alive_timeout,
            "reject_on_worker_lost": self.reject_on_worker_lost}


@shared_task(acks_late=False)
def early():
    """Be acknowledged early, whatever others do."""


@shared_task
def bill():
    """Bill an order."""


@shared_task
def sleep(seconds):
    """Take some time."""
    time.sleep(seconds)
    return os.getpid()


@shared_task
def grow(megabytes):
    """Use much memory once and give it back."""
    data = bytearray(os.urandom(1024) * 1024 * megabytes)
    return os.getpid(), len(data)


@control_command(args=[("seconds", float)])
def hang(state, seconds):
    """Block the worker's main process, as a deadlock would."""
    print("hanging", flush=True)
    time.sleep(seconds)
