# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Starting the real programs, and waiting for what they do."""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLE = HERE / "sample"
#: Seconds after which something that has not happened will not happen. Generous: machines are slow.
PATIENCE = 90


def wait_for(what, condition, patience=PATIENCE):
    """Return the first true value of `condition()`; fail when it stays false."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "not within %s s: %s" % (patience, what)
        time.sleep(0.1)


def free_port():
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def clean_environment():
    """Return this process's environment without what belongs to a tier."""
    prefixes = ("CELERY", "DJANGO", "GUNICORN", "MEMORYBUDGET", "SHOP", "PYTHON", "WEB_", "PYTEST")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


class Program:
    """A running program with its output in a file."""

    def __init__(self, arguments, log, environment, cwd):
        """Start the program in a process group of its own."""
        self.log = Path(log)
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                arguments, env=environment, cwd=str(cwd), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def pid(self):
        """Return the process id of the program's main process."""
        return self.process.pid

    def text(self):
        """Return what the program has printed."""
        return self.log.read_text(errors="replace")

    def running(self):
        """Tell whether the main process runs; fail with its output if it does not."""
        assert self.process.poll() is None, self.text()
        return True

    def stop(self, number=signal.SIGTERM, patience=PATIENCE):
        """Stop the program and what it started; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass
        return self.process.wait()


class Gunicorn(Program):
    """A web tier."""

    def __init__(self, tier, log, **told):
        """Start gunicorn as the tier's container does and wait until it answers."""
        self.port = free_port()
        told = {"bind": "127.0.0.1:%d" % self.port, "application": "core.wsgi:application",
                "workers": 1, "threads": 2, "worker_class": "gthread", "loglevel": "info", **told}
        environment = {**tier.environment("gunicorn"), "MEMORYBUDGET_GUNICORN": json.dumps(told)}
        environment["GUNICORN_CMD_ARGS"] = "--config %s" % (tier.package / "gunicorn_conf.py")
        super().__init__([sys.executable, "-m", "gunicorn", told["application"]], log, environment, tier.cwd)
        try:
            wait_for("gunicorn answers", lambda: self.running() and self.status("/healthz"))
        except AssertionError as error:
            self.stop()
            raise AssertionError("%s\n%s" % (error, self.text())) from None

    def answer(self, path, host):
        """Return (status, body) of the answer to a GET request; redirects are not followed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Host": host, "Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def status(self, path, host="shop.example"):
        """Return the status of the answer, or None where there is none."""
        try:
            return self.answer(path, host)[0]
        except (OSError, http.client.HTTPException):
            return None

    def json(self, path):
        """Return the JSON answer to a GET request."""
        status, body = self.answer(path, "shop.example")
        assert status == 200, "%s: %s\n%s" % (path, status, self.text())
        return json.loads(body)


class Tier:
    """What the pods of a tier have in common: the copied package, the settings, the environment."""

    def __init__(self, package, redis_url, digest, variables, cwd=SAMPLE):
        """Describe a tier whose package was copied to `package`."""
        self.package, self.redis_url, self.digest, self.cwd = Path(package), redis_url, digest, cwd
        self.variables = variables

    def environment(self, runtime, **variables):
        """Return the environment of a container."""
        return {
            **clean_environment(),
            "PYTHONPATH": str(self.package.parent),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "MEMORYBUDGET_SETTINGS": str(self.package / "settings.json"),
            "MEMORYBUDGET_HASH": self.digest,
            "MEMORYBUDGET_TIER": "shop",
            "MEMORYBUDGET_RUNTIME": runtime,
            "DJANGO_SETTINGS_MODULE": "memorybudget.settings",
            "CELERY_LOADER": "memorybudget.loader:Loader",
            "SHOP_REDIS_URL": self.redis_url,
            **self.variables,
            **variables,
        }

    def python(self, code, runtime="process", **variables):
        """Run some code in the tier's environment and return the JSON that it prints last."""
        done = subprocess.run([sys.executable, "-c", code], env=self.environment(runtime, **variables),
                              cwd=str(self.cwd), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout.decode().splitlines()[-1])


class Worker(Program):
    """A Celery tier."""

    def __init__(self, tier, log, app="core", queues="celery", pool="processes", concurrency=2, **variables):
        """Start a worker as the tier's container does; it may not be ready yet."""
        self.heartbeat = Path(str(log) + ".heartbeat")
        environment = tier.environment(
            "celery", CELERY_WORKER_QUEUES=queues, CELERY_WORKER_POOL=pool,
            CELERY_WORKER_CONCURRENCY=str(concurrency), CELERY_WORKER_PREFETCH_MULTIPLIER="1",
            CELERY_WORKER_INCLUDE="memorybudget.hooks", CELERY_WORKER_HOSTNAME="%s@here" % Path(log).stem,
            MEMORYBUDGET_HEARTBEAT=str(self.heartbeat), **variables)
        super().__init__([sys.executable, "-m", "celery", "-A", app, "worker", "-l", "info"], log,
                         environment, tier.cwd)

    def ready(self):
        """Wait until the worker takes tasks."""
        wait_for("worker ready", lambda: self.running() and " ready." in self.text())
        return self

    def age(self):
        """Return the seconds since the last heartbeat."""
        return time.time() - self.heartbeat.stat().st_mtime

    def beats(self):
        """Wait for the next heartbeat."""
        before = self.heartbeat.stat().st_mtime_ns
        wait_for("a heartbeat", lambda: self.running() and self.heartbeat.stat().st_mtime_ns > before)
