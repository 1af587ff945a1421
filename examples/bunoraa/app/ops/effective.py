"""The settings in force in this process."""

import logging
import re

from core.celery import app
from django.conf import settings

from .server import plain

LOGGERS = ("", "django", "django.request", "django.db.backends", "celery", "gunicorn.error", "shop")

CELERY = (
    "task_acks_late",
    "task_reject_on_worker_lost",
    "task_annotations",
    "task_default_queue",
    "task_ignore_result",
    "task_queues",
    "task_routes",
    "task_soft_time_limit",
    "task_time_limit",
    "broker_transport_options",
    "worker_concurrency",
    "worker_disable_prefetch",
    "worker_max_memory_per_child",
    "worker_max_tasks_per_child",
    "worker_pool",
    "worker_prefetch_multiplier",
    "worker_proc_alive_timeout",
    "worker_soft_shutdown_timeout",
)

DATABASE = ("ENGINE", "HOST", "PORT", "NAME", "USER", "CONN_MAX_AGE", "CONN_HEALTH_CHECKS", "OPTIONS")


def without_password(value):
    if isinstance(value, dict):
        return {key: without_password(item) for key, item in value.items() if "password" not in key.lower()}
    if isinstance(value, list):
        return [without_password(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", value)
    return value


def log_levels():
    return {
        name or "root": logging.getLevelName(logging.getLogger(name).getEffectiveLevel())
        for name in LOGGERS
    }


def celery_settings():
    found = {key: plain(app.conf.get(key)) for key in CELERY}
    found["broker"] = app.connection().as_uri()
    found["loader"] = plain(type(app.loader))
    return found


def redis_pool():
    """Returns the limits of the cache's connection pool as they came to be, or None without django-redis."""
    try:
        from django_redis import get_redis_connection

        pool = get_redis_connection("default").connection_pool
    except NotImplementedError:
        return None
    return {
        "class": type(pool).__name__,
        "max_connections": pool.max_connections,
        "socket_timeout": pool.connection_kwargs.get("socket_timeout"),
        "socket_connect_timeout": pool.connection_kwargs.get("socket_connect_timeout"),
    }


def facts():
    return without_password(
        {
            "settings_module": settings.SETTINGS_MODULE,
            "debug": settings.DEBUG,
            "installed_apps": list(settings.INSTALLED_APPS),
            "middleware": list(settings.MIDDLEWARE),
            "databases": {
                alias: {key: plain(database.get(key)) for key in DATABASE}
                for alias, database in settings.DATABASES.items()
            },
            "caches": plain(settings.CACHES),
            "cache_pool": redis_pool(),
            "logging": log_levels(),
            "celery": celery_settings(),
        }
    )
