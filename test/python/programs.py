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

from rendered import HERE, Container

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
    """The web tier."""

    def __init__(self, tier, log, address="127.0.0.1", **told):
        """Start gunicorn as the tier's container does and wait until it answers; `told` is told besides."""
        self.address, self.port = address, free_port()
        environment = tier.environment("web")
        environment["MEMORYBUDGET_GUNICORN"] = json.dumps(
            {**json.loads(environment["MEMORYBUDGET_GUNICORN"]), "port": self.port, **told})
        super().__init__(tier.command("web", environment), log, environment, tier.cwd)
        try:
            wait_for("gunicorn answers", lambda: self.running() and self.status("/healthz"))
        except AssertionError as error:
            self.stop()
            raise AssertionError("%s\n%s" % (error, self.text())) from None

    def answer(self, path, host):
        """Return (status, body) of the answer to a GET request; redirects are not followed."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=PATIENCE)
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
    """What the pods of the shop's tiers have in common: the operator's directory, the broker, the image."""

    def __init__(self, home, redis_url, variables, cwd=SAMPLE, env_from=()):
        """Describe pods with their directory /memorybudget in `home` and the image's files in `cwd`."""
        self.home, self.redis_url, self.variables, self.cwd = Path(home), redis_url, variables, cwd
        self.env_from = dict(env_from)
        self.package = self.home / "lib" / "memorybudget"

    def environment(self, tier, init=False, **variables):
        """Return the environment of a tier's container, with some variables for the test's sake."""
        container = Container(tier, self.home, init)
        return {
            **clean_environment(),
            **container.environment(self.redis_url, "127.0.0.1", self.env_from),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.variables,
            **variables,
        }

    def command(self, tier, environment, init=False):
        """Return the command line of a tier's container."""
        return Container(tier, self.home, init).command(environment)

    def verify(self, tier, environment, check=True):
        """Run the init container of a tier, with or without the check."""
        command = self.command(tier, environment, init=True)
        if not check:
            command[command.index("1")] = "0"
        return self.run(command, environment, stderr=subprocess.STDOUT)

    def run(self, command, environment, stderr=subprocess.PIPE):
        """Run a command to its end and return what became of it."""
        return subprocess.run(command, env=environment, cwd=str(self.cwd), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=stderr, timeout=2 * PATIENCE)

    def python(self, code, tier="job", **variables):
        """Run some code in a tier's environment and return the JSON that it prints last."""
        done = self.run([sys.executable, "-c", code], self.environment(tier, **variables))
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout.decode().splitlines()[-1])


class Worker(Program):
    """A Celery tier."""

    def __init__(self, tier, log, name="worker", app=None, **variables):
        """Start a worker as the tier's container does; it may not be ready yet."""
        self.node = "%s@here" % Path(log).stem
        self.environment = tier.environment(name, CELERY_WORKER_HOSTNAME=self.node, **variables)
        self.heartbeat = Path(self.environment["MEMORYBUDGET_HEARTBEAT"])
        command = tier.command(name, self.environment)
        if app:
            command[command.index("core")] = app
        super().__init__(command, log, self.environment, tier.cwd)

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
