# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Imports the application the way the tier will, and reads back what is in force.

Run by ``verify`` as ``python3 -m memorybudget.probe DESCRIPTOR`` with the tier's environment. Writes
one JSON line per stage to the descriptor, each complete in itself, and ``done`` at the end. Values
come from the running libraries: ``django.conf.settings`` after ``django.setup()``, the Celery app's
``conf``, gunicorn's own ``Config``; never from our own files. No URL, credential or exception text
is ever reported: a traceback goes to the container's log, a code into ``problems``.

The size of the process is reported only where the whole application was imported. Of what the tier is
told, ``RecycleLoop`` says that a worker process would be replaced at a size below which it starts.
"""
import importlib
import json
import os
import platform
import re
import sys
import traceback

import memorybudget

#: Modules whose import is worth knowing when a tier's memory is planned.
HEAVY = ("torch", "tensorflow", "transformers", "sklearn", "pandas", "numpy", "scipy", "keras",
         "jax", "onnxruntime", "spacy", "xgboost", "lightgbm", "cv2", "sentence_transformers")
#: Worker classes that call post_request, by which RSS recycling works.
RECYCLING = ("sync", "gthread", "gevent", "eventlet")
#: Least distance between the size of a process that has done nothing yet and that of its replacement.
HEADROOM = 1.25


def clean(value):
    """Return a value as a scalar that is safe to report: numbers as they are, text short and plain."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return re.sub(r"[^A-Za-z0-9._+:-]", "", str(value))[:64]


def resident():
    """Return VmRSS of this process in bytes."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


class Report:
    """What is known so far."""

    def __init__(self, descriptor):
        """Report to a file descriptor that the application does not pass on to others."""
        os.set_inheritable(descriptor, False)
        self.descriptor, self.failed = descriptor, False
        self.data = {"python": platform.python_version(), "settings": {}, "lost": [], "imports": [],
                     "problems": []}

    def problem(self, code):
        """Note a problem, once."""
        if code not in self.data["problems"]:
            self.data["problems"].append(code)

    def setting(self, name, value, want=None):
        """Note an effective setting; where it is not the one wanted, note that it was lost."""
        self.data["settings"][name] = clean(value)
        if want is not None and value != want:
            self.lost(name)

    def lost(self, name):
        """Note that a setting of the resource is not in force."""
        self.problem("SettingLost")
        if name not in self.data["lost"]:
            self.data["lost"].append(name)

    def stage(self, text=None):
        """Write what is known, so that it survives whatever the next stage does."""
        self.data["imports"] = [name for name in HEAVY if name in sys.modules]
        for name in ("django", "celery", "gunicorn"):
            if name in sys.modules:
                self.data[name] = clean(version(sys.modules[name]))
        line = text or json.dumps(self.data, separators=(",", ":"))
        os.write(self.descriptor, (line + "\n").encode("ascii"))

    def imported(self, threshold=0):
        """Note the size of this process, unless something of the application was not imported."""
        if not self.failed:
            self.data["baselineBytes"] = resident()
            if 0 < threshold < self.data["baselineBytes"] * HEADROOM:
                self.problem("RecycleLoop")

    def attempt(self, code, function, *arguments):
        """Call something that runs the application's code; a failure becomes a problem code."""
        try:
            return function(*arguments)
        except BaseException as error:  # noqa: BLE001 - SystemExit of the application included
            traceback.print_exc()
            self.failed = True
            self.problem("ImportExited" if isinstance(error, SystemExit) else code)
            return None


def version(module):
    """Return the version that a library states of itself."""
    found = getattr(module, "__version__", None)
    return found if found else ".".join(str(part) for part in getattr(module, "VERSION", ())[:3])


def part(name, function, *arguments):
    """Call a function of one of the probe's parts, which need a library that may not be there."""
    return getattr(importlib.import_module("memorybudget.probe_" + name), function)(*arguments)


def gunicorn_config(report):
    """Return gunicorn's application object, with its configuration as the server computes it."""
    told = memorybudget.tier("GUNICORN")
    sys.argv = ["gunicorn", *([told["application"]] if told.get("application") else [])]
    from gunicorn.app.wsgiapp import WSGIApplication
    server = WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn")
    config = server.cfg
    for name in ("workers", "threads", "max_requests", "max_requests_jitter", "timeout",
                 "graceful_timeout", "preload_app", "loglevel"):
        report.setting("gunicorn." + name, getattr(config, name), told.get(name))
    worker_class = str(config.worker_class_str).rsplit(".", 1)[-1]
    report.setting("gunicorn.worker_class", worker_class)
    same_class(report, told, config)
    if told.get("max_rss_bytes") and not worker_class.lower().startswith(RECYCLING):
        report.problem("RssRecyclingUnsupported")
    return server


def same_class(report, told, config):
    """Compare worker classes: `sync` with more than one thread is run as `gthread`."""
    want, is_ = told.get("worker_class"), config.worker_class_str
    if want and want != is_ and not (want == "sync" and is_ == "gthread" and config.threads > 1):
        report.lost("gunicorn.worker_class")


def load_wsgi(server):
    """Import the application as a worker does."""
    os.environ.update(server.cfg.env)
    server.chdir()
    return server.wsgi()


def web(report):
    """Gunicorn: configuration, application, URLs; the Celery app too, since it publishes."""
    server = report.attempt("GunicornConfigFailed", gunicorn_config, report)
    report.stage()
    if server:
        report.attempt("ImportFailed", load_wsgi, server)
    if memorybudget.shared().get("django"):
        report.attempt("UrlsImportFailed", part, "django", "load_urls")
    report.imported(int(memorybudget.tier("GUNICORN").get("max_rss_bytes") or 0))
    report.stage()
    app = memorybudget.shared().get("celery") and report.attempt("CeleryAppNotFound", part, "celery", "find")
    if app:
        report.attempt("CelerySettingsUnreadable", part, "celery", "read", report, app)


def worker(report):
    """Celery worker or beat: the app and all task modules, as the worker imports them."""
    app = report.attempt("ImportFailed", part, "celery", "find")
    if app:
        report.attempt("ImportFailed", part, "celery", "load_tasks", app)
        report.imported(int(os.environ.get("CELERY_WORKER_MAX_MEMORY_PER_CHILD") or 0) * 1024)
    report.stage()
    if app:
        report.attempt("CelerySettingsUnreadable", part, "celery", "read", report, app)


def genuine():
    """Tell whether the package that the tier would import is the copy that was checked."""
    home = os.path.dirname(os.path.abspath(os.environ.get("MEMORYBUDGET_SETTINGS", __file__)))
    return os.path.realpath(os.path.dirname(memorybudget.__file__)) == os.path.realpath(home)


def run(report):
    """Import and read back, by the tier's runtime."""
    if not genuine():
        report.problem("OverlayNotImportable")
        return
    if os.environ.get("DJANGO_CONFIGURATION"):
        report.problem("DjangoConfigurationsUnsupported")
    kind = {"gunicorn": web, "celery": worker, "beat": worker}.get(os.environ.get("MEMORYBUDGET_RUNTIME"))
    if kind:
        kind(report)
    if memorybudget.shared().get("django"):
        report.attempt("DjangoSettingsUnreadable", part, "django", "read", report)
        if not kind:
            report.imported()


def main():
    """Report, and leave at once: threads and exit handlers of the application do not matter."""
    report = Report(int(sys.argv[1]))
    report.stage()
    report.attempt("VerificationFailed", run, report)
    report.stage()
    report.stage("done")
    os._exit(0)


if __name__ == "__main__":
    main()
