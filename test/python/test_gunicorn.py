# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""The generated gunicorn file, by what running servers do."""
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from programs import SAMPLE, wait_for


def children(pid):
    """Return the process ids of a process's children."""
    return Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()


def at_once(server, count, path):
    """Return the answers to some requests made at the same time."""
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(server.json(path))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def effective_config(environment, cwd=SAMPLE):
    """Return what gunicorn itself prints as its configuration."""
    code = "import sys; from gunicorn.app.wsgiapp import run; sys.argv[0] = 'gunicorn'; run()"
    done = subprocess.run([sys.executable, "-c", code, "--print-config", "core.wsgi:application"],
                          env=environment, cwd=str(cwd), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=60)
    lines = [line.partition("=") for line in done.stdout.decode().splitlines()]
    return {name.strip(): value.strip() for name, _, value in lines}


def test_workers_and_threads(start_gunicorn):
    server = start_gunicorn()
    wait_for("two workers", lambda: len(children(server.pid)) == 2)
    answers = at_once(server, 8, "/slow/2")
    by_worker = {answer["pid"]: set() for answer in answers}
    for answer in answers:
        by_worker[answer["pid"]].add(answer["thread"])
    assert set(by_worker) <= set(map(int, children(server.pid)))
    assert max(len(threads) for threads in by_worker.values()) == 3  # the one with at least four requests


def test_max_requests_recycles(start_gunicorn):
    server = start_gunicorn(workers=1, max_requests=5, max_requests_jitter=0)
    pids = [server.json("/settings")["pid"] for _ in range(14)]
    assert 3 <= len(set(pids)) <= 4  # healthz probes of the start count too


@pytest.mark.parametrize("worker_class", ["gthread", "sync"])
def test_rss_recycles_and_loses_no_request(start_gunicorn, worker_class):
    server = start_gunicorn(worker_class=worker_class, threads=2 if worker_class == "gthread" else 1,
                            workers=1, max_rss_bytes=150 << 20, loglevel="info")
    pids = [server.json("/leak/20")["pid"] for _ in range(16)]
    assert len(set(pids)) >= 3
    assert max(pids.count(pid) for pid in pids) <= 8
    assert "Recycling worker" in server.text()
    assert server.running()


@pytest.mark.parametrize(("share", "path"), [
    (1 << 30, "/settings"),  # imports a good deal more with the first request
    (1 << 20, "/slow/0"),
], ids=["first request", "import"])
def test_a_limit_below_the_baseline_is_no_loop(start_gunicorn, share, path):
    server = start_gunicorn(workers=1, max_rss_bytes=1 << 20, rss_share_bytes=share)
    assert len({server.json(path)["pid"] for _ in range(20)}) == 1


def test_a_first_request_that_leaks_does_not_turn_recycling_off(start_gunicorn):
    server = start_gunicorn(workers=1, worker_class="sync", threads=1, max_rss_bytes=150 << 20,
                            rss_share_bytes=180 << 20)
    pids = [server.json("/leak/200")["pid"] for _ in range(4)]  # the first request of all but the first of them
    assert len(set(pids)) == 4


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists() or not Path("/proc/net/if_inet6").read_text(),
                    reason="this machine has no IPv6")
def test_listens_on_ipv6_where_the_pod_has_such_an_address(start_gunicorn, make_tier):
    server = start_gunicorn(make_tier(MEMORYBUDGET_POD_IP="::1"), address="::1")
    assert server.status("/healthz", host="[::1]:8000") == 200


def test_the_applications_own_file_and_hooks_stay(start_gunicorn, make_tier, tmp_path):
    seen = tmp_path / "seen"
    server = start_gunicorn(make_tier(SHOP_SEEN=str(seen)), config="gunicorn_app.py", preload_app=False,
                            max_rss_bytes=1 << 30)
    effective = server.json("/settings")
    assert effective["module"] == "memorybudget.settings"  # its raw_env would have taken that away
    wait_for("both hooks", lambda: {"when_ready", "post_request /settings"} <= set(seen.read_text().split("\n")))
    environment = Path("/proc/%d/environ" % server.pid).read_bytes().split(b"\0")
    assert b"DJANGO_SETTINGS_MODULE=core.settings.production" not in environment
    assert server.running()  # its "daemon = True" would have ended the container


def test_who_wins(make_tier):
    tier = make_tier()
    environment = tier.environment("web", WEB_CONCURRENCY="9")
    environment["MEMORYBUDGET_GUNICORN"] = (
        '{"workers": 2, "threads": null, "worker_class": "gthread", "max_requests": 1000, '
        '"max_requests_jitter": 100, "loglevel": "warning", "preload_app": false, "config": "gunicorn_app.py"}')
    config = effective_config(environment)
    assert config["workers"] == "2"
    assert config["threads"] == "16"  # not stated: the application's
    assert config["keepalive"] == "11"
    assert config["loglevel"] == "warning"
    assert (config["max_requests"], config["max_requests_jitter"]) == ("1000", "100")
    assert config["worker_class"].endswith(("ThreadWorker", "'gthread'", "gthread"))
    assert (config["preload_app"], config["daemon"], config["reload"]) == ("False", "False", "False")
    assert config["worker_tmp_dir"] == "/dev/shm"
    assert config["raw_env"] == "['SHOP_RAW=1']"


def test_the_default_file_is_found_and_a_namesake_is_not(make_tier, tmp_path):
    directory = tmp_path / "application"
    directory.mkdir()
    (directory / "gunicorn.conf.py").write_text("keepalive = 23\nworkers = 9\n")
    (directory / "gunicorn_conf.py").write_text("raise SystemExit('the wrong file')\n")
    (directory / "memorybudget_application_config.py").write_text("raise SystemExit('the wrong file')\n")
    tier = make_tier()
    environment = tier.environment("web", MEMORYBUDGET_GUNICORN='{"workers": 2}')
    environment["PYTHONPATH"] += os.pathsep + str(SAMPLE)
    config = effective_config(environment, directory)
    assert (config["keepalive"], config["workers"]) == ("23", "2")


def test_preload_shares_a_frozen_heap_with_one_thread(start_gunicorn, make_tier, tmp_path):
    seen, config = tmp_path / "seen", tmp_path / "own.py"
    config.write_text(
        "import gc, sys\n"
        "def when_ready(server):\n"
        "    sys.modules['django.db'].connections['default'].ensure_connection()\n"
        "def post_fork(server, worker):\n"
        "    connection = sys.modules['django.db'].connections['default']\n"
        "    with open(%r, 'w') as file:\n"
        "        file.write('%%d %%s' %% (gc.get_freeze_count(), connection.connection))\n" % str(seen))
    tier = make_tier(OMP_NUM_THREADS="4", SHOP_DATABASE=str(tmp_path / "shop.sqlite3"))
    server = start_gunicorn(tier, workers=1, preload_app=True, config=str(config))
    frozen, _, connection = seen.read_text().partition(" ")
    assert int(frozen) > 10000
    assert connection == "None"
    assert server.json("/settings")["threads"] == "1"


def test_an_error_in_the_applications_file_stops_the_start_and_says_so(make_tier, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("workers = 1 / 0\n")
    tier = make_tier()
    environment = tier.environment("web", MEMORYBUDGET_GUNICORN='{"config": "%s"}' % broken)
    done = tier.run(tier.command("web", environment), environment, stderr=subprocess.STDOUT)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout.decode()


def test_hooks_of_every_arity(start_gunicorn, tmp_path):
    for arity in (2, 3, 4):
        seen, config = tmp_path / ("seen%d" % arity), tmp_path / ("own%d.py" % arity)
        config.write_text("def post_request(%s):\n    open(%r, 'w').close()\n" % (
            ", ".join("abcd"[:arity]), str(seen)))
        start_gunicorn(config=str(config), max_rss_bytes=1 << 30)
        wait_for("the hook with %d arguments" % arity, seen.exists)


@pytest.mark.parametrize("told", [{"max_requests": 10}, {"max_rss_bytes": 1 << 20}], ids=["requests", "rss"])
def test_recycling_under_load_loses_no_request(start_gunicorn, told):
    server = start_gunicorn(threads=2, max_requests_jitter=0, loglevel="info", **told)
    path = "/leak/8" if "max_rss_bytes" in told else "/healthz"
    failures, answered = [], []

    def load():
        for _ in range(25):
            try:
                status, _ = server.answer(path, "shop.example")
                assert status == 200
                answered.append(status)
            except Exception as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=load) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(answered) == 250
    assert server.text().count("Booting worker") > 5
