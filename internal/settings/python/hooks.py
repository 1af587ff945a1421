# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""The heartbeat file of a Celery worker, for a probe that looks at its age.

Named by ``CELERY_WORKER_INCLUDE``. The worker's main process touches the file in the variable
``MEMORYBUDGET_HEARTBEAT`` every ``MEMORYBUDGET_HEARTBEAT_SECONDS`` (default 5), from a thread, and
stops to do so when its event loop has hung:

* while the event loop runs, a timer in it must have fired within the last six intervals;
* while a solo pool runs a task, that task *is* the loop, so the thread alone counts;
* while there is no loop (starting, no broker, reconnecting, shutting down, a transport without an
  event loop), the thread alone counts: a broker that is away must not restart a worker.

The timer dies with each lost connection; the consumer step below sets it again with the next one.
"""
import os
import threading
import time

from celery import bootsteps, current_app
from celery.worker import state

PATH = os.environ["MEMORYBUDGET_HEARTBEAT"]
#: Seconds between two touches, and between two ticks of the event loop.
INTERVAL = float(os.environ.get("MEMORYBUDGET_HEARTBEAT_SECONDS") or 5)
#: Seconds after which an event loop that does not tick has hung.
STALL = 6 * INTERVAL


class Heartbeat(threading.Thread):
    """Touches the file while the worker is alive."""

    def __init__(self):
        """Make the thread; it ends with the process and never holds it back."""
        super().__init__(name="memorybudget-heartbeat", daemon=True)
        self.last_tick = None
        self.blocking_pool = False

    def tick(self):
        """Note that the event loop runs."""
        self.last_tick = time.monotonic()

    def disarm(self):
        """Note that there is no event loop to watch."""
        self.last_tick = None

    def beating(self):
        """Tell whether the main process does what it should."""
        last = self.last_tick
        if last is None or (self.blocking_pool and state.active_requests):
            return True
        return time.monotonic() - last < STALL

    def touch(self):
        """Set the file's time to now; a full or missing directory is the probe's to notice."""
        try:
            with open(PATH, "ab"):
                os.utime(PATH)
        except OSError:
            pass

    def run(self):
        """Touch the file for as long as the worker lives."""
        while True:
            if self.beating():
                self.touch()
            time.sleep(INTERVAL)


class HeartbeatStep(bootsteps.StartStopStep):
    """Consumer step: sets the timer with each connection and forgets it when that goes."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer):
        """Note whether tasks run in the loop itself."""
        heartbeat.blocking_pool = type(consumer.pool).__module__ == "celery.concurrency.solo"

    def register_with_event_loop(self, consumer, hub):
        """Watch the event loop that is about to run."""
        heartbeat.tick()
        hub.call_repeatedly(INTERVAL, heartbeat.tick)

    def close(self, consumer):
        """Stop watching: the worker is shutting down."""
        heartbeat.disarm()

    stop = shutdown = terminate = close


heartbeat = Heartbeat()
current_app.steps["consumer"].add(HeartbeatStep)
heartbeat.start()
