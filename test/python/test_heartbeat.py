# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""The heartbeat file of running workers: fresh while the worker lives, stale when it hangs."""
import os
import signal
import time

import pytest
import redis
from conftest import TIER_VARIABLES
from programs import PATIENCE, Program, clean_environment, free_port, wait_for

#: Seconds between two heartbeats in these tests; a loop has hung after six times as many.
INTERVAL = 0.5
#: Seconds after which a file is old here.
FRESH = 4
#: A worker with one process.
ONE = {"CELERY_WORKER_CONCURRENCY": "1"}


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """Make the hearts of this module's workers beat faster."""
    monkeypatch.setitem(TIER_VARIABLES, "MEMORYBUDGET_HEARTBEAT_SECONDS", str(INTERVAL))


def stays_fresh(worker, seconds):
    """Check for some time that the file is never old."""
    deadline = time.monotonic() + seconds
    oldest = 0.0
    while time.monotonic() < deadline:
        worker.running()
        oldest = max(oldest, worker.age())
        time.sleep(0.2)
    assert oldest < FRESH


@pytest.fixture
def private_broker(tmp_path):
    """Return functions that start and stop a Redis of this test's own, and its URL."""
    port = free_port()
    running = []

    def start():
        running.append(Program(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                                "--dir", str(tmp_path)], tmp_path / "redis.log", clean_environment(), tmp_path))
        client = redis.Redis(host="127.0.0.1", port=port)

        def answers():
            try:
                return client.ping()
            except redis.RedisError:
                return False

        wait_for("Redis answers", answers)
        return client

    def stop():
        while running:
            running.pop().stop()

    yield start, stop, "redis://127.0.0.1:%d/0" % port
    stop()


@pytest.mark.parametrize("pool", ["processes", "solo", "threads"])
def test_a_long_task_does_not_make_it_stale(start_worker, client, pool):
    worker = start_worker(CELERY_WORKER_POOL=pool, **ONE).ready()
    pending = client.send_task("orders.tasks.sleep", args=[9])
    wait_for("the task runs", lambda: "received" in worker.text())
    stays_fresh(worker, 7)
    assert not pending.ready()
    pending.get(timeout=PATIENCE)
    worker.beats()


@pytest.mark.parametrize("pool", ["processes", "solo"])
def test_a_broker_outage_does_not_make_it_stale_and_the_timer_comes_back(
        start_worker, make_tier, private_broker, pool):
    start, stop, url = private_broker
    start()
    worker = start_worker(make_tier(redis_url=url), CELERY_WORKER_POOL=pool, **ONE).ready()
    worker.beats()
    stop()
    wait_for("the worker notices", lambda: "Trying again" in worker.text() or "ConnectionError" in worker.text())
    stays_fresh(worker, 8)
    before = worker.text().count("Connected to")
    server = start()
    wait_for("the worker reconnects", lambda: worker.text().count("Connected to") > before)
    wait_for("it consumes again", lambda: server.client_list() and server.smembers("_kombu.binding.celery"))
    worker.beats()
    assert_hang_is_noticed(worker)


def assert_hang_is_noticed(worker):
    """Stop the main process: a probe must see an old file."""
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        wait_for("the file is old", lambda: worker.age() > FRESH)
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    worker.beats()


def test_a_hung_event_loop_makes_it_stale_although_the_thread_lives(start_worker, client):
    worker = start_worker(**ONE).ready()
    worker.beats()
    client.control.broadcast("hang", arguments={"seconds": 12})
    wait_for("the loop hangs", lambda: "hanging" in worker.text())
    wait_for("the file is old", lambda: worker.age() > FRESH)
    worker.beats()  # and it recovers with the loop


def test_a_worker_that_drains_is_not_stale(start_worker, client):
    worker = start_worker(**ONE).ready()
    client.send_task("orders.tasks.sleep", args=[9])
    wait_for("the task runs", lambda: "received" in worker.text())
    worker.process.send_signal(signal.SIGTERM)
    wait_for("the shutdown begins", lambda: "Warm shutdown" in worker.text())
    stays_fresh(worker, 8)
    assert worker.process.wait(PATIENCE) == 0


def test_a_worker_that_never_finds_its_broker_is_not_stale(start_worker, make_tier):
    url = "redis://127.0.0.1:%d/0" % free_port()
    worker = start_worker(make_tier(redis_url=url))
    wait_for("the first heartbeat", lambda: worker.running() and worker.heartbeat.exists())
    stays_fresh(worker, 8)
