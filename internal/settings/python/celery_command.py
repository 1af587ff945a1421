# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Celery's command: ``python3 -m memorybudget.celery_command`` does what ``python3 -m celery`` does.

But SIGTERM ends it from the start. As process 1 of a container, Python ignores SIGTERM while nothing
handles it, and Celery does so only when it has imported the application: a worker that is told to end
before would go on to work, and be killed at the end of its grace period, perhaps with a task. Until
then it has taken none, so it can end at once. Celery puts its own handler in place of this one.
"""
import os
import signal

signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))

from celery.__main__ import main  # noqa: E402 - which takes a second or more

if __name__ == "__main__":
    main()
