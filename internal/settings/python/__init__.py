# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Settings that a MemoryBudget resource states, inside the pods of its tiers.

The package is put on ``PYTHONPATH``; the application's code and image stay as they are. It needs
nothing but the standard library, and imports Django, Celery or gunicorn only in the module that
is loaded by that program:

==================  ==========================================================================
``settings``        Django: ``DJANGO_SETTINGS_MODULE=memorybudget.settings``
``loader``          Celery: ``CELERY_LOADER=memorybudget.loader:Loader``
``celery_command``  Celery workers and beat: ``python3 -m memorybudget.celery_command`` (ends at SIGTERM)
``hooks``           Celery workers: ``CELERY_WORKER_INCLUDE=memorybudget.hooks`` (heartbeat file)
``gunicorn_conf``   gunicorn: ``GUNICORN_CMD_ARGS="--config <path of gunicorn_conf.py>"``
``verify``          the init container: runs ``probe`` and writes what came back
``probe``           imports the application as the tier will and reads the settings back
==================  ==========================================================================

In all of them the resource wins over the application for what the resource states, and the
application's own value stays for everything else.
"""
import json
import os


def shared():
    """Return what all tiers share: the content of ``settings.json``, or nothing outside a pod."""
    path = os.environ.get("MEMORYBUDGET_SETTINGS")
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def tier(name):
    """Return the JSON object in the variable ``MEMORYBUDGET_<name>``: what this tier alone is told."""
    return json.loads(os.environ.get("MEMORYBUDGET_" + name) or "{}")
