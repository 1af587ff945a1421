# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Every tier of the shop under the real programs, with the command and the variables that Go renders.

Under ``HOSTILE`` the pods also get variables by which images and users undo what a resource states, the
way that is hardest to see: from a ConfigMap, by envFrom.
"""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import celery
import pytest
from programs import PATIENCE, SAMPLE, Program, wait_for
from rendered import Container

HOSTILE = {
    "BROKER_URL": "memory://",
    "CELERY_BEAT_DETACH": "1",
    "CELERY_BROKER_READ_URL": "memory://",
    "CELERY_BROKER_URL": "memory://",
    "CELERY_BROKER_WRITE_URL": "memory://",
    "CELERY_CUSTOM_WORKER_POOL": "celery.concurrency.solo:TaskPool",
    "CELERY_LOADER": "celery.loaders.app:AppLoader",
    "CELERY_WORKER_AUTOSCALE": "10,3",
    "CELERY_WORKER_BEAT": "1",
    "CELERY_WORKER_CONCURRENCY": "9",
    "CELERY_WORKER_DETACH": "1",
    "CELERY_WORKER_EXCLUDE_QUEUES": "celery",
    "CELERY_WORKER_HOSTNAME": "one@elsewhere",
    "CELERY_WORKER_LOGLEVEL": "DEBUG",
    "CELERY_WORKER_POOL": "custom",
    "CELERY_WORKER_PURGE": "1",
    "CELERY_WORKER_WITHOUT_HEARTBEAT": "1",
    "DJANGO_SETTINGS_MODULE": "core.settings.production",
    "LOADER": "celery.loaders.app:AppLoader",
    "PYTHONPATH": str(SAMPLE),
    "REMAP_SIGTERM": "SIGQUIT",
    "WEB_CONCURRENCY": "9",
}
sources = pytest.mark.parametrize("env_from", [{}, HOSTILE], ids=["alone", "hostile"])


def children(program):
    """Return the process ids of a program's children."""
    return set(map(int, Path("/proc/%d/task/%d/children" % (program.pid, program.pid)).read_text().split()))


def ask(client, worker, what):
    """Return a worker's answer to a remote control command."""
    return wait_for(what, lambda: getattr(client.control.inspect([worker.node], timeout=5), what)())[worker.node]


@sources
def test_web(start_gunicorn, make_tier, broker, env_from):
    server = start_gunicorn(make_tier(env_from=env_from))
    wait_for("its two workers", lambda: len(children(server)) == 2)
    effective = server.json("/settings")
    assert effective["levels"]["gunicorn.error"] == 30
    assert "Booting worker" not in server.text()
    assert (effective["module"], effective["debug"]) == ("memorybudget.settings", False)
    assert effective["threads"] == "1"
    server.json("/publish/recommendations.tasks.train_all")
    assert broker.llen("ml") == 1


@sources
def test_worker(start_worker, make_tier, client, broker, tmp_path, env_from):
    waiting = client.send_task("orders.tasks.describe")
    # A scheduler inside the worker would write its file here, were there one.
    worker = start_worker(make_tier(env_from=env_from), CELERY_WORKER_SCHEDULE_FILENAME=str(tmp_path / "schedule"))
    seen = waiting.get(timeout=PATIENCE)  # not purged
    assert (seen["acks_late"], seen["module"]) == (True, "memorybudget.settings")
    assert worker.running()  # not detached
    assert "INFO/MainProcess" in worker.text() and "DEBUG" not in worker.text()
    stats = ask(client, worker, "stats")
    assert "autoscaler" not in stats
    assert (stats["pool"]["max-concurrency"], stats["pool"]["max-tasks-per-child"]) == (2, 500)
    assert stats["prefetch_count"] == 2
    assert children(worker) == set(stats["pool"]["processes"])  # and no scheduler
    assert {queue["name"] for queue in ask(client, worker, "active_queues")} == {"celery", "emails"}
    conf = client.control.inspect([worker.node]).conf(with_defaults=True)[worker.node]
    assert (conf["task_acks_late"], conf["worker_prefetch_multiplier"]) == (True, 1)
    running = client.send_task("orders.tasks.sleep", args=[4])
    wait_for("the task runs", lambda: ask(client, worker, "active"))
    assert worker.stop(signal.SIGTERM) == 0
    assert running.get(timeout=5)  # the end that `drain` states, not an immediate one
    assert broker.llen("scheduled") == 0  # the sample has something to send each second


@sources
def test_ml(start_worker, make_tier, client, env_from):
    worker = start_worker(make_tier(env_from=env_from), name="ml")
    seen = client.send_task("orders.tasks.describe", queue="ml").get(timeout=PATIENCE)
    assert seen["pid"] == worker.pid  # the pool Solo
    assert (seen["acks_late"], seen["module"]) == (True, "memorybudget.settings")
    assert ask(client, worker, "stats")["pool"]["max-concurrency"] == 1
    assert [queue["name"] for queue in ask(client, worker, "active_queues")] == ["ml"]
    assert "INFO" not in worker.text()
    assert worker.stop(signal.SIGTERM) == 0


@pytest.mark.skipif(celery.VERSION[:2] < (5, 5), reason="needs the soft shutdown of Celery 5.5")
@sources
def test_drain_requeue_gives_a_running_task_back_within_the_grace_period(
        start_worker, make_tier, client, broker, env_from):
    worker = start_worker(make_tier(env_from=env_from), name="batch").ready()
    short = client.send_task("orders.tasks.sleep", args=[0], queue="batch")
    short.get(timeout=PATIENCE)
    wait_for("it is acknowledged", lambda: broker.hlen("unacked") == 0)
    long = client.send_task("orders.tasks.sleep", args=[3600], queue="batch")
    wait_for("the task runs", lambda: ask(client, worker, "active"))
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(17) == 0, worker.text()
    assert broker.hlen("unacked") == 0
    assert [json.loads(message)["headers"]["id"] for message in broker.lrange("batch", 0, -1)] == [long.id]


@sources
def test_beat(make_tier, broker, tmp_path, env_from):
    tier = make_tier(env_from=env_from)
    environment = tier.environment("beat")
    program = Program(tier.command("beat", environment), tmp_path / "log", environment, tier.cwd)
    try:
        wait_for("a second message", lambda: program.running() and broker.llen("scheduled") >= 2)
        assert "Sending due task" in program.text()  # the log level that is stated
        assert [path.name for path in (tier.home / "run").iterdir() if "pid" in path.name] == []
        assert any(path.name.startswith("beat-schedule") for path in (tier.home / "run").iterdir())
    finally:
        program.stop()


def test_a_process_with_settings(make_tier):
    tier = make_tier(env_from={"PYTHONPATH": "/srv/lib"})
    done = tier.run(tier.command("job", tier.environment("job")), tier.environment("job"))
    variables = json.loads(done.stdout.decode())
    assert variables["PYTHONPATH"] == "%s:/srv/lib" % (tier.home / "lib")
    assert variables["DJANGO_SETTINGS_MODULE"] == "memorybudget.settings"
    assert variables["CELERY_LOADER"] == "memorybudget.loader:Loader"


def test_the_heartbeat_probe(start_worker, make_tier):
    tier = make_tier()
    worker = start_worker(tier).ready()
    command = Container("worker", tier.home).probe()

    def alive():
        return subprocess.run(command, env=worker.environment, cwd=str(tier.cwd), stderr=subprocess.DEVNULL).returncode == 0

    assert alive()
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        now = time.time()
        os.utime(worker.heartbeat, (now, now - 100))
        assert alive()
        os.utime(worker.heartbeat, (now, now - 130))
        assert not alive()
        worker.heartbeat.unlink()
        assert not alive()
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    wait_for("it beats again", alive)
