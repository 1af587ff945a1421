# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Rules of the overlay for engines and back ends that cannot be run here, called one by one."""
import importlib
import json

import pytest
from conftest import bootstrap, changed, make_source
from rendered import SHARED

DATABASE = {"connMaxAgeSeconds": 300, "connectTimeoutSeconds": 10}
CACHE = {"maxConnections": 50, "socketTimeoutSeconds": 5}


@pytest.fixture(scope="session")
def overlay(tmp_path_factory):
    """Import the overlay into this process, over a settings module that says nothing."""
    directory = tmp_path_factory.mktemp("overlay")
    shared = changed(SHARED, django={"settingsModule": "this_says_nothing", "logLevel": None})
    source = make_source(directory / "source", shared)
    (directory / "this_says_nothing.py").write_text("")
    assert bootstrap(source, directory / "memorybudget").returncode == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMORYBUDGET_SETTINGS", str(directory / "memorybudget" / "settings.json"))
        patch.syspath_prepend(str(directory))
        yield importlib.import_module("memorybudget.settings")


@pytest.fixture
def call(overlay, monkeypatch):
    """Return a function that calls one function of the overlay under some variables."""
    def caller(function, *arguments, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return getattr(overlay, function)(*arguments)
    return caller


@pytest.mark.parametrize(("engine", "key"), [
    ("django.db.backends.postgresql", "connect_timeout"),
    ("django.db.backends.postgresql_psycopg2", "connect_timeout"),
    ("django.contrib.gis.db.backends.postgis", "connect_timeout"),
    ("django_tenants.postgresql_backend", "connect_timeout"),
    ("psqlextra.backend", "connect_timeout"),
    ("django_cockroachdb", "connect_timeout"),
    ("django.db.backends.mysql", "connect_timeout"),
    ("django_prometheus.db.backends.mysql", "connect_timeout"),
    ("django.db.backends.sqlite3", "timeout"),
    ("django.contrib.gis.db.backends.spatialite", "timeout"),
    ("django.db.backends.oracle", None),
    ("mssql", None),
    ("shop.db.special", None),
])
def test_the_timeout_follows_the_engine(call, engine, key):
    assert call("timeout_key", engine) == key
    options = call("database", {"ENGINE": engine, "OPTIONS": {"own": 1}}, DATABASE)["OPTIONS"]
    assert options == ({"own": 1, key: 10} if key else {"own": 1})


@pytest.mark.parametrize(("config", "told", "age"), [
    ({"ENGINE": "django.db.backends.postgresql"}, {}, 300),
    ({"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": None}, {}, 300),
    ({"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"pool": True}}, {}, 0),
    ({"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"pool": {"min_size": 2}}}, {}, 0),
    ({"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"pool": False}}, {}, 300),
    ({"ENGINE": "django_db_geventpool.backends.postgresql_psycopg2"}, {}, 0),
    ({"ENGINE": "dj_db_conn_pool.backends.mysql", "CONN_MAX_AGE": 7}, {}, 7),
    ({"ENGINE": "django.db.backends.postgresql"}, {"worker_class": "sync"}, 300),
    ({"ENGINE": "django.db.backends.postgresql"}, {"worker_class": "uvicorn.workers.UvicornWorker"}, 0),
    ({"ENGINE": "django.db.backends.postgresql"}, {"worker_class": "gevent"}, 0),
    ({}, {}, None),
])
def test_persistent_connections_only_where_they_are_right(call, config, told, age):
    found = call("database", config, DATABASE, MEMORYBUDGET_GUNICORN=json.dumps(told))
    assert found.get("CONN_MAX_AGE") == age


@pytest.mark.parametrize("backend", [
    "django.core.cache.backends.redis.RedisCache", "django_prometheus.cache.backends.redis.NativeRedisCache"])
def test_caches_with_the_options_of_redis_py(call, backend):
    found = call("cache", {"BACKEND": backend, "OPTIONS": {"db": 3, "socket_timeout": 60}}, CACHE)
    assert found["OPTIONS"] == {"db": 3, "socket_timeout": 5, "socket_connect_timeout": 5, "max_connections": 50}


@pytest.mark.parametrize("backend", [
    "django_redis.cache.RedisCache", "django_valkey.cache.ValkeyCache",
    "django_prometheus.cache.backends.redis.RedisCache"])
def test_caches_with_the_options_of_django_redis(call, backend):
    found = call("cache", {"BACKEND": backend, "OPTIONS": {"CONNECTION_POOL_KWARGS": {"own": 1}}}, CACHE)
    assert found["OPTIONS"] == {"SOCKET_TIMEOUT": 5, "SOCKET_CONNECT_TIMEOUT": 5,
                                "CONNECTION_POOL_KWARGS": {"own": 1, "max_connections": 50}}


@pytest.mark.parametrize("backend", [
    "django.core.cache.backends.locmem.LocMemCache", "django.core.cache.backends.memcached.PyMemcacheCache",
    "shop.cache.RedisCache"])
def test_other_caches_stay_as_they_are(call, backend):
    config = {"BACKEND": backend, "OPTIONS": {"own": 1}}
    assert call("cache", config, CACHE) == config


@pytest.mark.parametrize(("entry", "name", "same"), [
    ("debug_toolbar", "debug_toolbar", True),
    ("debug_toolbar.apps.DebugToolbarConfig", "debug_toolbar", True),
    ("silk.Config", "silk", True),
    ("debug_toolbar_extra", "debug_toolbar", False),
    ("django.contrib.admin", "django", False),
    ("django.contrib.admin.apps.AdminConfig", "django", False),
    ("django.contrib.admin.apps.AdminConfig", "django.contrib.admin", True),
    ("shop.toolbar", "shop", False),
])
def test_an_app_by_each_of_its_names(call, entry, name, same):
    assert call("same_app", entry, name) is same


def test_a_pod_address_of_version_6(call):
    found = call("reachable", {"ALLOWED_HOSTS": ["a"]}, MEMORYBUDGET_POD_IP="fd00::7")
    assert found == {"ALLOWED_HOSTS": ["a", "[fd00::7]"]}
    assert call("reachable", {"ALLOWED_HOSTS": ["*"]}, MEMORYBUDGET_POD_IP="fd00::7") == {}


def test_what_cannot_be_copied_and_what_all_hides(make_tier, tmp_path):
    (tmp_path / "odd.py").write_text(
        "import ssl\n__all__ = ['DEBUG']\nDEBUG = False\nSECRET_KEY = 'x'\n"
        "CONTEXT = ssl.create_default_context()\nINSTALLED_APPS = ('a', 'toolbar')\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'OPTIONS': {'ssl': CONTEXT}}}\n"
        "LOGGING_CONFIG = None\nimport logging\nlogging.basicConfig(level='DEBUG')\n"
        "logging.getLogger('django').setLevel('ERROR')\n")
    code = """
import json, logging
from django.conf import settings
options = settings.DATABASES["default"]["OPTIONS"]
print(json.dumps([settings.SECRET_KEY, options["ssl"] is settings.CONTEXT, options["connect_timeout"],
                  settings.INSTALLED_APPS, logging.getLogger().level, logging.getLogger("django").level]))
"""
    tier = make_tier({"django": {"settingsModule": "odd"}}, cwd=tmp_path)
    assert tier.python(code) == ["x", True, 10, ["a"], 30, 40]


def test_an_empty_logging_gets_the_floor_too(make_tier, tmp_path):
    (tmp_path / "bare.py").write_text("SECRET_KEY = 'x'\n")
    code = """
import json, logging, django
django.setup()
django = logging.getLogger("django")
print(json.dumps([logging.getLogger().level, django.level, len(django.handlers)]))
"""
    tier = make_tier({"django": {"settingsModule": "bare", "logLevel": "ERROR"}}, cwd=tmp_path)
    assert tier.python(code) == [40, 40, 2]  # Django's own two handlers stay
