# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Celery's settings, read back from running workers over a real Redis."""
import json
import signal

import celery
import pytest
from programs import PATIENCE, Program, wait_for

#: A worker with one process.
ONE = {"CELERY_WORKER_CONCURRENCY": "1"}


def run(client, name, *arguments, **options):
    """Run a task of the sample and return its result."""
    return client.send_task(name, args=arguments, **options).get(timeout=PATIENCE)


def inspect(client, worker, what, **options):
    """Return one worker's answer to a remote control command."""
    return wait_for(what, lambda: getattr(client.control.inspect([worker.node], timeout=5), what)(**options))[
        worker.node]


def test_a_running_worker_has_what_was_stated(start_worker, client):
    worker = start_worker().ready()
    conf = inspect(client, worker, "conf", with_defaults=True)
    assert conf["task_acks_late"] is True
    assert conf["worker_proc_alive_timeout"] == 60
    assert conf["worker_eta_task_limit"] == 1000
    assert not conf["task_reject_on_worker_lost"]
    assert list(conf["task_routes"])[0] == "recommendations.tasks.train_*"
    pool = inspect(client, worker, "stats")["pool"]
    assert (pool["max-concurrency"], len(pool["processes"]), pool["max-tasks-per-child"]) == (2, 2, 500)
    assert inspect(client, worker, "stats")["prefetch_count"] == 2
    seen = run(client, "orders.tasks.describe", "MEMORYBUDGET_APPLIED")
    assert seen["acks_late"] is True
    assert seen["proc_alive_timeout"] == 60
    assert not seen["reject_on_worker_lost"]
    assert (seen["module"], seen["debug"]) == ("memorybudget.settings", False)
    assert seen["named"] == {"MEMORYBUDGET_APPLIED": "HASH"}


def test_late_acks_hold_a_running_task_in_the_broker(start_worker, client, broker):
    worker = start_worker(**ONE).ready()
    pending = client.send_task("orders.tasks.sleep", args=[3])
    wait_for("the task runs", lambda: inspect(client, worker, "active"))
    held = [json.loads(message)[0]["headers"]["task"] for message in broker.hvals("unacked")]
    assert held == ["orders.tasks.sleep"]
    pending.get(timeout=PATIENCE)
    wait_for("the task is acknowledged", lambda: broker.hlen("unacked") == 0)


def test_a_task_that_states_its_own_acks_keeps_them(make_tier):
    code = """
import json, django
django.setup()
from orders.tasks import early, bill
print(json.dumps([early.acks_late, bill.acks_late]))
"""
    assert make_tier().python(code, "worker") == [False, True]


def test_prefetch_takes_no_more_than_runs(start_worker, client, broker):
    worker = start_worker().ready()
    for _ in range(8):
        client.send_task("orders.tasks.sleep", args=[4])
    wait_for("both processes work", lambda: len(inspect(client, worker, "active")) == 2)
    assert broker.hlen("unacked") == 2
    assert broker.llen("celery") == 6
    broker.delete("celery")


def test_disabled_prefetch_holds_no_more_than_runs(start_worker, client, broker):
    """Takes effect from Celery 5.6 on; before, the tier works as without it."""
    worker = start_worker(**ONE).ready()
    conf = inspect(client, worker, "conf", with_defaults=True)
    assert bool(conf.get("worker_disable_prefetch")) == (celery.VERSION[:2] >= (5, 6))
    for _ in range(3):
        client.send_task("orders.tasks.sleep", args=[3])
    wait_for("the process works", lambda: len(inspect(client, worker, "active")) == 1)
    assert broker.hlen("unacked") == 1
    wait_for("all tasks ran", lambda: broker.llen("celery") + broker.hlen("unacked") == 0)


def test_max_tasks_per_child_recycles(start_worker, client):
    start_worker(CELERY_WORKER_MAX_TASKS_PER_CHILD="2", **ONE).ready()
    pids = [run(client, "orders.tasks.describe")["pid"] for _ in range(6)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 2]


def test_max_memory_per_child_recycles(start_worker, client):
    start_worker(CELERY_WORKER_MAX_MEMORY_PER_CHILD="150000", **ONE).ready()
    first = run(client, "orders.tasks.describe")["pid"]
    assert run(client, "orders.tasks.describe")["pid"] == first
    assert run(client, "orders.tasks.grow", 200)[0] == first
    assert run(client, "orders.tasks.describe")["pid"] != first


@pytest.mark.parametrize(("seconds", "runs"), [(60, True), (4, False)])
def test_a_child_that_starts_slowly_is_not_killed(start_worker, client, make_tier, seconds, runs):
    """With recycling, 4 s (Celery's default) end the worker's work for ever; 60 s do not."""
    tier = make_tier({"celery": {"settings": {"worker_proc_alive_timeout": seconds}}}, SHOP_WARM_UP="8")
    worker = start_worker(tier, CELERY_WORKER_MAX_TASKS_PER_CHILD="1", **ONE).ready()
    first = run(client, "orders.tasks.describe")
    again = client.send_task("orders.tasks.describe")
    if runs:
        assert again.get(timeout=PATIENCE)["pid"] != first["pid"]
        assert "Timed out waiting for UP message" not in worker.text()
    else:
        wait_for("the pool gives the child up", lambda: "Timed out waiting for UP message" in worker.text())
        assert not again.ready()


def test_a_worker_of_another_queue_gets_the_routed_task(start_worker, client, make_tier, broker):
    code = """
import json, django
django.setup()
from recommendations.tasks import train_all
from orders.tasks import describe
print(json.dumps([train_all.delay().id, describe.delay().id]))
"""
    tier = make_tier()
    routed, other = tier.python(code, "web")
    assert (broker.llen("ml"), broker.llen("celery")) == (1, 1)
    start_worker(tier, name="ml")
    client.AsyncResult(routed).get(timeout=PATIENCE)
    assert not client.AsyncResult(other).ready()
    assert broker.llen("celery") == 1


def test_a_configured_pool_does_not_keep_ours_from_starting(start_worker, client, make_tier):
    """`prefork` means "the default" to Celery and would lose to the application's setting."""
    tier = make_tier(SHOP_POOL="solo")
    pool = inspect(client, start_worker(tier).ready(), "stats")["pool"]
    assert len(pool["processes"]) == 2


def test_a_pod_that_is_deleted_before_it_works_is_gone_at_once(make_tier, tmp_path):
    """Process 1 of a container ignores SIGTERM unless it handles it; the import of an application may take long."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "slow.py").write_text("import time\nprint('it is imported')\ntime.sleep(3600)\n")
    tier = make_tier(cwd=tmp_path / "slow")
    environment = tier.environment("worker")
    command = tier.command("worker", environment)
    command[command.index("core")] = "slow"
    program = Program(["sh", "-c", "trap '' TERM; exec \"$@\"", "sh", *command], tmp_path / "log", environment, tier.cwd)
    try:
        wait_for("the import", lambda: program.running() and "it is imported" in program.text())
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(PATIENCE) == 128 + signal.SIGTERM
    finally:
        program.stop(signal.SIGKILL)


def test_sigterm_lets_the_running_task_finish(start_worker, client, broker):
    worker = start_worker(**ONE).ready()
    running = client.send_task("orders.tasks.sleep", args=[4])
    wait_for("the task runs", lambda: inspect(client, worker, "active"))
    waiting = client.send_task("orders.tasks.sleep", args=[4])
    assert worker.stop(signal.SIGTERM) == 0
    assert running.get(timeout=5)
    assert not waiting.ready()
    assert broker.llen("celery") + broker.hlen("unacked") == 1


@pytest.mark.parametrize("app", ["plain.namespaceless", "plain.namespaced"])
def test_apps_without_django(start_worker, client, make_tier, app):
    tier = make_tier({"celery": {"app": app}, "django": None}, DJANGO_SETTINGS_MODULE="",
                     CELERY_RESULT_BACKEND=client.conf.result_backend)
    worker = start_worker(tier, app=app).ready()
    conf = inspect(client, worker, "conf", with_defaults=True)
    assert (conf["task_acks_late"], conf["worker_proc_alive_timeout"]) == (True, 60)
