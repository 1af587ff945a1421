# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Gunicorn's configuration file: the application's own, with what the resource states laid over it.

Given by absolute path in ``GUNICORN_CMD_ARGS``, since a module name would be looked up in the
application's directory first. Gunicorn reads exactly one file, so the application's own (``config``
of ``MEMORYBUDGET_GUNICORN``, else ``./gunicorn.conf.py``) is loaded from here, and its hooks stay.

* Values in ``MEMORYBUDGET_GUNICORN`` win over the application's file; ``null`` leaves a setting alone.
* Always: no control socket (it lets a client add workers; unknown before 25.1 and then ignored),
  worker heartbeat files in memory, no daemon and no reloader, and no ``raw_env`` that would take
  the settings away again.
* ``port``: listens on all addresses of the pod, IPv6 ones where the pod's own is one.
* ``max_rss_bytes``: a worker whose RSS is above it after a request ends once that request is
  answered. Works where the worker class calls ``post_request``: sync, gthread, gevent. Uvicorn's
  workers do not, they only know ``max_requests``. A worker that takes more before it has done
  anything would be replaced for ever, so the limit is at least 1.25 times its size after the import,
  and 1.25 times that after the first request, which imports the rest. That request may also leak:
  what it leaves counts up to the worker's share of the pod, ``rss_share_bytes``.
* Threaded workers of gunicorn 21 to 23 drop connections that they have accepted when they recycle
  (the next one always, more under load): they are told to answer those and to accept no more.
* ``preload_app``: one thread for OpenMP and MKL (they deadlock after a fork), and before the first
  fork database connections are closed and the heap is frozen, so that it stays shared.
"""
import gc as _gc
import importlib as _importlib
import importlib.machinery as _machinery
import importlib.util as _util
import json as _json
import os as _os
import sys as _sys
import time as _time

from gunicorn import config as _config

#: Least distance between the RSS of a worker that has done nothing yet and the recycle limit.
_HEADROOM = 1.25
#: Seconds that an ending worker waits for the requests of connections that it has accepted.
_DRAIN = 1.0
#: Keys of MEMORYBUDGET_GUNICORN that are not settings of gunicorn.
_OURS = ("application", "config", "max_rss_bytes", "port", "rss_share_bytes")
#: Variables that the application's `raw_env` must not set.
_PROTECTED = ("DJANGO_SETTINGS_MODULE", "CELERY_LOADER", "MEMORYBUDGET_", "PYTHONPATH")
_names = {setting.name for setting in _config.KNOWN_SETTINGS}
#: Sizes of this worker process: "imported", and the "bound" above which it ends.
_sizes = {}


def _module(location):
    """Load a configuration by `path`, `file:path` or `python:module`, as gunicorn does."""
    if location.startswith("python:"):
        return _importlib.import_module(location[len("python:"):])
    path = location[len("file:"):] if location.startswith("file:") else location
    loader = _machinery.SourceFileLoader("memorybudget_application_config", _os.path.abspath(path))
    module = _util.module_from_spec(_util.spec_from_loader(loader.name, loader))
    _sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


def _application(location):
    """Return the gunicorn settings in the application's own file, if there is one."""
    if not location and not _os.path.exists("./gunicorn.conf.py"):
        return {}
    found = vars(_module(location or "./gunicorn.conf.py"))
    return {name: found[name] for name in found if name in _names}


def _rss():
    """Return the resident set of this process in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _os.sysconf("SC_PAGE_SIZE")


def _recycling(previous, limit, share):
    """Return a `post_request` that calls the application's and ends a worker that is too large."""

    def post_request(worker, req, environ, resp):
        """Recycle this worker when it has grown too large."""
        if previous:
            previous(worker, req, environ, resp)
        rss = _rss()
        if "bound" not in _sizes:
            _sizes["bound"] = max(limit, _sizes["imported"] * _HEADROOM, min(rss * _HEADROOM, share))
        if worker.alive and rss > _sizes["bound"]:
            worker.log.info("Recycling worker (pid:%s): RSS of %s bytes", worker.pid, rss)
            worker.alive = False

    return post_request


def _shareable(previous):
    """Return a `when_ready` that calls the application's and makes the master's memory safe to share."""

    def when_ready(server):
        """Close what must not be inherited, freeze what shall stay shared."""
        if previous:
            previous(server)
        database = _sys.modules.get("django.db")
        if database:
            database.connections.close_all()
        _gc.collect()
        _gc.freeze()

    return when_ready


def _unanswered(worker):
    """Tell whether the worker has accepted connections that have not sent their request yet."""
    return any(key.fileobj not in worker.sockets and not key.data.args[0].initialized
               for key in worker.poller.get_map().values())


def _drain(worker):
    """Hand requests of accepted connections to the threads; take no new connections."""
    for listener in worker.sockets:
        worker.poller.unregister(listener)
    deadline = _time.monotonic() + _DRAIN
    while _unanswered(worker) and _time.monotonic() < deadline:
        for key, _ in worker.poller.select(0.05):
            key.data(key.fileobj)


def _gentle(worker):
    """Make a threaded worker answer what it has accepted before it ends."""
    accept, shutdown = worker.accept, worker.tpool.shutdown

    def accept_while_alive(*arguments):
        """Leave connections to the other workers once this one ends."""
        if worker.alive:
            accept(*arguments)

    def drain_and_shut_down(*arguments, **named):
        """Answer first: this is the first thing that an ending worker calls."""
        _drain(worker)
        return shutdown(*arguments, **named)

    worker.accept, worker.tpool.shutdown = accept_while_alive, drain_and_shut_down


def _starting(previous):
    """Return a `post_worker_init` that calls the application's, measures, and mends threaded workers."""

    def post_worker_init(worker):
        """Mend gunicorn 21 to 23, told by their methods; later ones end gently by themselves."""
        if previous:
            previous(worker)
        _sizes["imported"] = _rss()
        if hasattr(worker, "on_client_socket_readable") and not hasattr(worker, "set_accept_enabled"):
            _gentle(worker)

    return post_worker_init


def _hooks(settings, limit, share):
    """Return the hooks, with the application's own inside (gunicorn itself adapts their arity)."""
    own = settings.get("post_worker_init")
    hooks = {"post_worker_init": _starting(own and _config.PostWorkerInit.validator(own))}
    if limit:
        own = settings.get("post_request")
        hooks["post_request"] = _recycling(own and _config.PostRequest.validator(own), limit, share)
    if settings.get("preload_app"):
        own = settings.get("when_ready")
        hooks["when_ready"] = _shareable(own and _config.WhenReady.validator(own))
    return hooks


def _bind(port):
    """Return what to listen on: all addresses, of the family that the pod's own is of."""
    return ("[::]:%d" if ":" in _os.environ.get("MEMORYBUDGET_POD_IP", "") else "0.0.0.0:%d") % port


def _settings(told):
    """Return all settings: the application's, then the resource's, then what always holds."""
    settings = _application(told.get("config"))
    settings.update({name: value for name, value in told.items()
                     if name not in _OURS and value is not None})
    settings.update(control_socket_disable=True, daemon=False, reload=False)
    if told.get("port"):
        settings["bind"] = _bind(told["port"])
    if _os.access("/dev/shm", _os.W_OK):
        settings["worker_tmp_dir"] = "/dev/shm"
    raw_env = settings.get("raw_env") or []
    settings["raw_env"] = [item for item in ([raw_env] if isinstance(raw_env, str) else raw_env)
                           if not item.startswith(_PROTECTED)]
    limit = int(told.get("max_rss_bytes") or 0)
    settings.update(_hooks(settings, limit, int(told.get("rss_share_bytes") or limit)))
    if settings.get("preload_app"):
        _os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    return settings


globals().update(_settings(_json.loads(_os.environ.get("MEMORYBUDGET_GUNICORN") or "{}")))
