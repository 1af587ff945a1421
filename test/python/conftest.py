# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a Redis server, and tiers whose package was copied by the container that does so in a pod."""
import json
import os
import subprocess
import sys

import celery.result
import django
import gunicorn
import pytest
import redis
from programs import SAMPLE, Gunicorn, Program, Tier, Worker, clean_environment, free_port, wait_for
from rendered import SHARED, SOURCE, digest

# What it unsubscribes from does not matter here, and where the garbage collector calls it while the same
# client subscribes, it waits for ever for the lock that the client holds.
del celery.result.AsyncResult.__del__

#: Variables that every tier gets; for tests to add to.
TIER_VARIABLES = {}


def pytest_report_header(config):
    """Say what is under test."""
    server = subprocess.run(["redis-server", "--version"], stdout=subprocess.PIPE, check=True)
    return "environment: %s; Python %s, Django %s, Celery %s, gunicorn %s, redis-py %s, Redis %s" % (
        os.environ.get("MEMORYBUDGET_PYTHON_ENVIRONMENT", "as called"), sys.version.split()[0],
        django.get_version(), celery.__version__, gunicorn.__version__, redis.__version__,
        server.stdout.decode().split()[2].partition("=")[2])


def changed(base, **changes):
    """Return a deep copy of the shared settings with whole sections merged or replaced."""
    copy = json.loads(json.dumps(base))
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(copy.get(name), dict):
            copy[name].update(value)
        elif value is None:
            copy.pop(name)
        else:
            copy[name] = value
    return copy


def digests(source):
    """Return NAME=SHA256 for every file in a directory."""
    return [digest(path) for path in sorted(source.iterdir()) if path.is_file()]


def make_source(directory, shared):
    """Make a directory as the ConfigMap's volume looks: the package's files and settings.json."""
    directory.mkdir()
    for path in SOURCE.iterdir():
        if path.suffix == ".py" and path.name != "bootstrap.py":
            (directory / path.name).write_bytes(path.read_bytes())
    (directory / "settings.json").write_text(json.dumps(shared))
    return directory


def bootstrap(source, target, verify="0", files=None, environment=None, cwd=SAMPLE):
    """Run the code of the init container by itself."""
    code = (SOURCE / "bootstrap.py").read_text()
    return subprocess.run(
        [sys.executable, "-I", "-c", code, str(source), str(target), verify, *(files or digests(source))],
        env=environment or clean_environment(), cwd=str(cwd), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """Start a Redis server for the whole run; yield a client."""
    directory = tmp_path_factory.mktemp("redis")
    port = free_port()
    program = Program(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                       "--dir", str(directory)], directory / "log", clean_environment(), directory)
    client = redis.Redis(host="127.0.0.1", port=port)

    def answers():
        program.running()
        try:
            return client.ping()
        except redis.ConnectionError:
            return False

    try:
        wait_for("Redis answers", answers)
        yield client
    finally:
        program.stop()


@pytest.fixture
def broker(redis_server):
    """Return a client of an empty Redis."""
    redis_server.flushall()
    return redis_server


def url_of(client):
    """Return the URL of a Redis client's server."""
    return "redis://127.0.0.1:%d/0" % client.connection_pool.connection_kwargs["port"]


@pytest.fixture
def make_tier(tmp_path, broker):
    """Return a function that makes a tier from changes to the shared settings and variables."""
    made = []

    def make(shared=None, cwd=SAMPLE, redis_url=None, env_from=(), **variables):
        home = tmp_path / ("tier%d" % len(made))
        (home / "run").mkdir(parents=True)
        make_source(home / "source", changed(SHARED, **(shared or {})))
        made.append(Tier(home, redis_url or url_of(broker), {**TIER_VARIABLES, **variables}, cwd, env_from))
        done = made[-1].verify("job", made[-1].environment("job", init=True), check=False)
        assert done.returncode == 0, done.stdout.decode()
        return made[-1]

    return make


@pytest.fixture
def start_gunicorn(make_tier, tmp_path):
    """Return a function that starts a web tier; all are stopped after the test."""
    started = []

    def start(tier=None, **told):
        started.append(Gunicorn(tier or make_tier(), tmp_path / ("gunicorn%d.log" % len(started)), **told))
        return started[-1]

    yield start
    for program in started:
        program.stop()


@pytest.fixture
def start_worker(make_tier, tmp_path):
    """Return a function that starts a Celery worker; all are stopped after the test."""
    started = []

    def start(tier=None, **options):
        started.append(Worker(tier or make_tier(), tmp_path / ("worker%d" % len(started)), **options))
        return started[-1]

    yield start
    for program in started:
        program.stop(patience=15)


@pytest.fixture
def client(broker):
    """Return a Celery client that is no part of the application."""
    return celery.Celery("client", broker=url_of(broker), backend=url_of(broker), set_as_current=False,
                         loader="app", fixups=[])
