# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Views that tell what the running server sees."""
import logging
import os
import threading
import time

from django.apps import apps
from django.conf import settings
from django.core.cache import caches
from django.db import connections
from django.http import HttpResponse, JsonResponse
from django.template import engines

from core.celery import app

LEAKED = []


def healthz(request):
    """Answer the load balancer."""
    return HttpResponse("ok")


def pool_of(cache):
    """Return a cache's pool as a dict."""
    if hasattr(cache, "client"):
        pool = cache.client.get_client(write=True).connection_pool
    elif hasattr(cache, "_cache") and hasattr(cache._cache, "_get_connection_pool"):
        pool = cache._cache._get_connection_pool(write=True)
    else:
        return None
    kwargs = pool.connection_kwargs
    return {"max_connections": pool.max_connections, "socket_timeout": kwargs.get("socket_timeout"),
            "socket_connect_timeout": kwargs.get("socket_connect_timeout")}


def cursor_timeout():
    """Return the busy timeout that SQLite itself has on this connection, in ms."""
    with connections["default"].cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        return cursor.fetchone()[0]


def effective(request):
    """Return settings as the libraries have them."""
    reports = connections["reports"]
    return JsonResponse({
        "pid": os.getpid(),
        "module": settings.SETTINGS_MODULE,
        "named": {name: getattr(settings, name, None) for name in request.GET.getlist("name")},
        "base_dir": str(settings.BASE_DIR),
        "debug": settings.DEBUG,
        "template_debug": engines["django"].engine.debug,
        "apps": [config.name for config in apps.get_app_configs()],
        "middleware": settings.MIDDLEWARE,
        "toolbar": request.META.get("toolbar", False),
        "hosts": settings.ALLOWED_HOSTS,
        "conn_max_age": connections["default"].settings_dict["CONN_MAX_AGE"],
        "health_checks": connections["default"].settings_dict.get("CONN_HEALTH_CHECKS"),
        "sqlite_busy_timeout": cursor_timeout(),
        "postgresql": {name: value for name, value in reports.get_connection_params().items()
                       if name in ("connect_timeout", "sslmode")},
        "caches": {alias: pool_of(caches[alias]) for alias in settings.CACHES},
        "round_trip": round_trips(),
        "levels": {name: logging.getLogger(None if name == "root" else name).getEffectiveLevel()
                   for name in ("root", "django", "django.db.backends", "django.security", "audit", "gunicorn.error")},
        "root_handlers": len(logging.getLogger().handlers),
        "celery": {name: app.conf.get(name) for name in
                   ("task_acks_late", "worker_proc_alive_timeout", "task_reject_on_worker_lost")},
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "preloaded": os.environ.get("SHOP_PRELOADED"),
    })


def round_trips():
    """Use every cache once."""
    found = {}
    for alias in settings.CACHES:
        caches[alias].set("greeting", "hello", 60)
        found[alias] = caches[alias].get("greeting")
    return found


def publish(request, name):
    """Publish a task by its name."""
    result = app.tasks[name].delay() if name in app.tasks else app.send_task(name)
    return JsonResponse({"id": result.id})


def leak(request, megabytes):
    """Keep some memory for ever."""
    LEAKED.append(bytearray(os.urandom(1024) * 1024 * megabytes))
    return JsonResponse({"pid": os.getpid()})


def slow(request, seconds):
    """Take some time; tell which process and thread did."""
    started = time.monotonic()
    time.sleep(seconds)
    return JsonResponse({"pid": os.getpid(), "thread": threading.get_ident(), "started": started,
                         "ended": time.monotonic()})
