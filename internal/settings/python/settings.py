# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Django settings: those of the application, with what the resource states laid over them.

The application's own module is imported, not copied, so that ``BASE_DIR`` and ``__file__`` keep
their meaning. Who wins, setting by setting:

* ``CONN_MAX_AGE``, ``CONN_HEALTH_CHECKS``, the connect timeout, the limits of Redis caches: the
  resource. The key of the timeout follows ``ENGINE``; an engine that is not known gets none, since
  drivers refuse options that they do not know. ``CONN_MAX_AGE`` is 0 where ``OPTIONS['pool']`` is
  set (Django refuses anything else) and under workers that are not one thread per request (ASGI,
  gevent), and stays as it is for engines that bring a pool of their own.
* ``DEBUG`` and the templates' ``debug`` option: off, unless ``debug: Unmanaged``. The host names
  that ``DEBUG`` allows on its own (localhost) stay allowed where ``ALLOWED_HOSTS`` is empty.
* ``INSTALLED_APPS`` and ``MIDDLEWARE``: what is named in the resource is taken out.
* Log levels: a floor for the root logger, ``django`` and ``django.*``. It makes a logger quieter,
  never louder. Other loggers with a level of their own (an audit log) keep it.
* ``ALLOWED_HOSTS`` gets the address of the pod and ``SECURE_REDIRECT_EXEMPT`` the health path, so
  that the kubelet's probe is not answered 400 or sent to a port that does not exist.

Settings that the application computes from others (``if DEBUG: ...``) are computed before.
"""
import importlib
import logging
import os
import re

from memorybudget import shared, tier

#: Part of ENGINE -> the OPTIONS key that holds the connect timeout in seconds. First match wins.
_TIMEOUT_KEYS = (
    (("sqlite", "spatialite"), "timeout"),
    (("postgres", "postgis", "psqlextra", "cockroach"), "connect_timeout"),
    (("mysql", "mariadb", "tidb"), "connect_timeout"),
)
#: Cache back ends that hand OPTIONS to redis-py as they are.
_NATIVE_REDIS = (
    "django.core.cache.backends.redis.",
    "django_prometheus.cache.backends.redis.NativeRedisCache",
)
#: Cache back ends with the options of django-redis.
_DJANGO_REDIS = (
    "django_redis.",
    "django_valkey.",
    "django_prometheus.cache.backends.redis.RedisCache",
)
#: Gunicorn workers in which a thread serves one request after the other.
_THREADED_WORKERS = ("", "sync", "gthread")
_debug_hosts = ["localhost", ".localhost", "127.0.0.1", "[::1]"]
_state = {"configure": None, "level": logging.NOTSET}


def timeout_key(engine):
    """Return the OPTIONS key of the connect timeout for an ENGINE, or None where it is unknown."""
    engine = engine.lower()
    for parts, key in _TIMEOUT_KEYS:
        if any(part in engine for part in parts):
            return key
    return None


def one_thread_per_request():
    """Tell whether this tier's workers keep a request on one long-lived thread."""
    worker_class = str(tier("GUNICORN").get("worker_class") or "")
    return worker_class in _THREADED_WORKERS


def max_age(config, seconds):
    """Return CONN_MAX_AGE for one database; see the module's text for the exceptions."""
    if (config.get("OPTIONS") or {}).get("pool") or not one_thread_per_request():
        return 0
    if "pool" in config.get("ENGINE", "").lower():
        return config.get("CONN_MAX_AGE", 0)
    return seconds


def database(config, want):
    """Return one entry of DATABASES with the connection settings of the resource."""
    config = dict(config)
    if not config.get("ENGINE"):
        return config
    if want.get("connMaxAgeSeconds") is not None:
        config["CONN_MAX_AGE"] = max_age(config, want["connMaxAgeSeconds"])
        config["CONN_HEALTH_CHECKS"] = True
    key = timeout_key(config["ENGINE"])
    if key and want.get("connectTimeoutSeconds") is not None:
        config["OPTIONS"] = {**(config.get("OPTIONS") or {}), key: want["connectTimeoutSeconds"]}
    return config


def redis_options(want, upper):
    """Return the option names and values of one family of Redis back ends."""
    names = {"socket_timeout": want.get("socketTimeoutSeconds"),
             "socket_connect_timeout": want.get("socketTimeoutSeconds")}
    return {(name.upper() if upper else name): value
            for name, value in names.items() if value is not None}


def cache(config, want):
    """Return one entry of CACHES with the pool size and the timeouts of the resource."""
    config = dict(config)
    backend, options = config.get("BACKEND", ""), dict(config.get("OPTIONS") or {})
    connections = want.get("maxConnections")
    if backend.startswith(_NATIVE_REDIS):
        options.update(redis_options(want, upper=False))
        if connections is not None:
            options["max_connections"] = connections
    elif backend.startswith(_DJANGO_REDIS):
        options.update(redis_options(want, upper=True))
        if connections is not None:
            pool = options.get("CONNECTION_POOL_KWARGS") or {}
            options["CONNECTION_POOL_KWARGS"] = {**pool, "max_connections": connections}
    else:
        return config
    config["OPTIONS"] = options
    return config


def same_app(entry, name):
    """Tell whether an entry of INSTALLED_APPS is the app `name`, also by `name.apps.SomeConfig`."""
    if entry == name:
        return True
    rest = entry[len(name) + 1:].split(".") if entry.startswith(name + ".") else []
    return 1 <= len(rest) <= 2 and rest[-1][:1].isupper()


def without_debug(base):
    """Return DEBUG, TEMPLATES and ALLOWED_HOSTS as they are in production."""
    changed = {"DEBUG": False}
    templates = []
    for config in base.get("TEMPLATES") or []:
        options = config.get("OPTIONS") or {}
        if "debug" in options:
            config = {**config, "OPTIONS": {**options, "debug": False}}
        templates.append(config)
    if templates:
        changed["TEMPLATES"] = templates
    if base.get("DEBUG") and not base.get("ALLOWED_HOSTS"):
        changed["ALLOWED_HOSTS"] = list(_debug_hosts)
    return changed


def reachable(base):
    """Return what lets the kubelet's HTTP probe through: the pod's address and the health path."""
    changed = {}
    address = os.environ.get("MEMORYBUDGET_POD_IP")
    hosts = base.get("ALLOWED_HOSTS") or []
    if address and isinstance(hosts, (list, tuple)) and "*" not in hosts:
        changed["ALLOWED_HOSTS"] = [*hosts, "[%s]" % address if ":" in address else address]
    path = os.environ.get("MEMORYBUDGET_HEALTH_PATH")
    if path:
        exempt = "^%s$" % re.escape(path.partition("?")[0].lstrip("/"))
        changed["SECURE_REDIRECT_EXEMPT"] = [*(base.get("SECURE_REDIRECT_EXEMPT") or []), exempt]
    return changed


def quiet(logger, level):
    """Raise the threshold of one logger to `level`, never lower it."""
    if logger.level < level:
        logger.setLevel(level)


def quiet_all():
    """Apply the floor to the root logger, `django` and the `django.*` loggers with a level."""
    level = _state["level"]
    quiet(logging.getLogger(), level)
    quiet(logging.getLogger("django"), level)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("django.") and logging.getLogger(name).level != logging.NOTSET:
            quiet(logging.getLogger(name), level)


def configure_logging(config):
    """Run the application's own LOGGING_CONFIG, then apply the floor. Handlers stay as they are."""
    importlib.import_module("django.utils.module_loading").import_string(_state["configure"])(config)
    quiet_all()


def logs(base, level):
    """Return LOGGING and LOGGING_CONFIG such that the floor is applied after the application's."""
    level = logging.getLevelName(level or "")
    if not isinstance(level, int):
        return {}
    _state["level"] = level
    _state["configure"] = base.get("LOGGING_CONFIG", "logging.config.dictConfig")
    if not _state["configure"]:
        quiet_all()
        return {}
    # An empty LOGGING would not be handed to LOGGING_CONFIG at all.
    return {"LOGGING_CONFIG": "memorybudget.settings.configure_logging",
            "LOGGING": base.get("LOGGING") or {"version": 1, "incremental": True}}


def overlay(base, options):
    """Return the settings that differ from the application's `base` under the given options."""
    django = options["django"]
    changed = {"MEMORYBUDGET_APPLIED": os.environ.get("MEMORYBUDGET_HASH", "")}
    wanted_database, wanted_cache = options.get("database") or {}, options.get("cache") or {}
    changed["DATABASES"] = {alias: database(config, wanted_database)
                            for alias, config in (base.get("DATABASES") or {}).items()}
    if base.get("CACHES"):
        changed["CACHES"] = {alias: cache(config, wanted_cache)
                             for alias, config in base["CACHES"].items()}
    if django.get("debug") == "Disabled":
        changed.update(without_debug(base))
    changed.update(reachable({**base, **changed}))
    gone = django.get("disableApps") or []
    changed["INSTALLED_APPS"] = [entry for entry in base.get("INSTALLED_APPS") or []
                                 if not any(same_app(entry, name) for name in gone)]
    gone = django.get("disableMiddleware") or []
    changed["MIDDLEWARE"] = [entry for entry in base.get("MIDDLEWARE") or [] if entry not in gone]
    changed.update(logs(base, django.get("logLevel")))
    return changed


def application(module):
    """Return the upper-case names of the application's settings module."""
    module = importlib.import_module(module)
    return {name: getattr(module, name) for name in dir(module) if name.isupper()}


_options = shared()
_base = application(_options["django"]["settingsModule"])
globals().update(_base)
globals().update(overlay(_base, _options))
