# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Part of ``probe``: reads Django's settings back from the running library."""
import logging
import os
import re
import sys

import django
import memorybudget
from django.apps import apps
from django.conf import settings
from django.core.cache import caches as configured
from django.db import connections
from django.urls import get_resolver


def load_urls():
    """Import all URL patterns, as the first request does."""
    django.setup()
    return get_resolver().url_patterns


def read(report):
    """Read Django's settings back; all that the resource states must be in force."""
    django.setup()
    wanted = memorybudget.shared()
    report.setting("django.settings_module", settings.SETTINGS_MODULE)
    if settings.SETTINGS_MODULE != "memorybudget.settings":
        report.problem("SettingsModuleOverridden")
    elif getattr(settings, "MEMORYBUDGET_APPLIED", None) != os.environ.get("MEMORYBUDGET_HASH", ""):
        report.problem("SettingsNotApplied")
    debugging(report, settings, wanted["django"])
    leftovers(report, settings, wanted["django"])
    databases(report, wanted.get("database") or {})
    caches(report, wanted.get("cache") or {})
    logs(report, wanted["django"])
    probes(report, settings)


def debugging(report, settings, wanted):
    """DEBUG, also as the application has it: other settings may have been computed from that."""
    off = False if wanted.get("debug") == "Disabled" else None
    report.setting("django.debug", bool(settings.DEBUG), off)
    base = sys.modules.get(wanted["settingsModule"])
    report.setting("django.base_debug", bool(getattr(base, "DEBUG", False)))
    if off is False and not getattr(base, "ALLOWED_HOSTS", None):
        report.problem("AllowedHostsEmpty")


def leftovers(report, settings, wanted):
    """Apps and middleware that were to go, and middleware whose app went."""
    names = wanted.get("disableApps") or []
    if any(apps.is_installed(name) for name in names):
        report.problem("DisabledAppInstalled")
    middleware = list(settings.MIDDLEWARE)
    if set(middleware) & set(wanted.get("disableMiddleware") or []):
        report.problem("DisabledMiddlewareActive")
    if any(entry.startswith(tuple(name + "." for name in names)) for entry in middleware):
        report.problem("MiddlewareOfDisabledApp")


def databases(report, wanted):
    """The connection settings of each alias, by what kind of database it really is."""
    from memorybudget import settings as overlay
    for alias in connections:
        connection = connections[alias]
        config = connection.settings_dict
        key = {"sqlite": "timeout", "postgresql": "connect_timeout", "mysql": "connect_timeout"}.get(
            connection.vendor)
        options = config.get("OPTIONS") or {}
        age = wanted.get("connMaxAgeSeconds")
        age = None if age is None else overlay.max_age(config, age)
        prefix = "database." if alias == "default" else "database_other."
        if config.get("ENGINE") == "django.db.backends.dummy":
            continue
        report.setting(prefix + "conn_max_age", config.get("CONN_MAX_AGE"), age)
        report.setting(prefix + "pool", bool(options.get("pool")))
        if key:
            report.setting(prefix + "connect_timeout", options.get(key),
                           wanted.get("connectTimeoutSeconds"))
        elif wanted.get("connectTimeoutSeconds"):
            report.problem("DatabaseTimeoutUnknown")


def redis_pool(cache):
    """Return the connection pool of a Redis cache back end, or None for another back end."""
    if hasattr(cache, "client") and hasattr(cache.client, "get_client"):  # django-redis
        return cache.client.get_client(write=True).connection_pool
    if hasattr(cache, "_cache") and hasattr(cache._cache, "_get_connection_pool"):  # Django's own
        return cache._cache._get_connection_pool(write=True)
    return None


def caches(report, wanted):
    """The limits of the pools of all Redis caches; making a pool opens no connection."""
    for alias in settings.CACHES:
        pool = redis_pool(configured[alias])
        if pool is None:
            if "redis" in settings.CACHES[alias].get("BACKEND", "").lower():
                report.problem("CacheBackendUnknown")
            continue
        prefix = "cache." if alias == "default" else "cache_other."
        options = pool.connection_kwargs
        seconds = wanted.get("socketTimeoutSeconds")
        report.setting(prefix + "max_connections", pool.max_connections, wanted.get("maxConnections"))
        report.setting(prefix + "socket_timeout", options.get("socket_timeout"), seconds)
        report.setting(prefix + "socket_connect_timeout", options.get("socket_connect_timeout"), seconds)


def logs(report, wanted):
    """The effective levels of the loggers that the resource makes quieter."""
    floor = logging.getLevelName(wanted.get("logLevel") or "NOTSET")
    for name, key in ((None, "log.root"), ("django", "log.django")):
        level = logging.getLogger(name).getEffectiveLevel()
        report.setting(key, logging.getLevelName(level))
        if level < floor:
            report.lost(key)


def probes(report, settings):
    """Whether the kubelet's probe would be sent to HTTPS, which the pod does not serve."""
    path = os.environ.get("MEMORYBUDGET_HEALTH_PATH", "").partition("?")[0].lstrip("/")
    exempt = [pattern for pattern in settings.SECURE_REDIRECT_EXEMPT if re.search(pattern, path)]
    if settings.SECURE_SSL_REDIRECT and "MEMORYBUDGET_HEALTH_PATH" in os.environ and not exempt:
        report.problem("HealthCheckRedirected")
