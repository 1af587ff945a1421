# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""A Celery application whose tasks run until a test lets them end.

`celery -A held worker` runs them; `python3 held.py` publishes one for each line of JSON that it reads, and answers each.
"""

import datetime
import json
import os
import pathlib
import sys
import time

from celery import Celery
from kombu import Exchange, Queue
from kombu.transport import pyamqp

HERE = pathlib.Path(os.environ["HELD_DIR"])
PREFIX = os.environ.get("HELD_PREFIX", "")
KIND = os.environ.get("HELD_QUEUES", "classic")

if KIND == "quorum":
    # They know no limit for all consumers of a channel. Celery is aware of that from 5.5 on.
    pyamqp.Transport.qos_semantics_matches_spec = lambda self, connection: True

queue_arguments = {"x-queue-type": KIND} if KIND != "classic" else None
app = Celery("held", broker=os.environ["HELD_URL"])
app.conf.update(
    task_queues=[
        Queue("celery", Exchange("celery"), routing_key="celery", queue_arguments=queue_arguments),
        Queue("emails", Exchange("shop"), routing_key="mail", queue_arguments=queue_arguments),
    ],
    task_acks_late=os.environ.get("HELD_LATE") == "1",
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("HELD_PREFETCH", "1")),
    broker_transport_options={"global_keyprefix": PREFIX} if PREFIX else {},
)


@app.task(name="held.hold")
def hold(name):
    (HERE / f"started-{name}").touch()
    while not (HERE / f"end-{name}").exists():
        time.sleep(0.02)
    (HERE / f"done-{name}").touch()


def publish(line):
    wanted = json.loads(line)
    options = {"queue": wanted["queue"], "priority": wanted["priority"]}
    if wanted["exchange"]:
        options.update(exchange=wanted["exchange"], routing_key=wanted["key"])
    if wanted["in"]:
        options["eta"] = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=wanted["in"])
    hold.apply_async((wanted["name"],), **options)


if __name__ == "__main__":
    for line in sys.stdin:
        publish(line)
        print("published", flush=True)
