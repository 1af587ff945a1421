# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Django's settings, read back over HTTP from a running gunicorn."""
import json
import logging
import time

import django
import pytest
from programs import SAMPLE, wait_for

POOL = {"max_connections": 50, "socket_timeout": 5, "socket_connect_timeout": 5}


@pytest.fixture
def effective(start_gunicorn):
    """Return what a server of the sample sees."""
    return start_gunicorn().json("/settings?name=MEMORYBUDGET_APPLIED")


def test_all_rows_of_the_overlay(effective):
    assert effective["module"] == "memorybudget.settings"
    assert effective["named"] == {"MEMORYBUDGET_APPLIED": "HASH"}
    assert effective["base_dir"] == str(SAMPLE)
    assert (effective["debug"], effective["template_debug"]) == (False, False)
    assert "toolbar" not in effective["apps"] and "orders" in effective["apps"]
    assert effective["middleware"] == ["django.middleware.security.SecurityMiddleware",
                                       "django.middleware.common.CommonMiddleware"]
    assert effective["toolbar"] is False
    assert effective["hosts"] == ["shop.example", "127.0.0.1"]
    assert effective["conn_max_age"] == 300
    assert effective["health_checks"] is True
    assert effective["sqlite_busy_timeout"] == 10000
    assert effective["postgresql"] == {"connect_timeout": 10, "sslmode": "prefer"}
    caches = {"default": POOL, "pages": None}
    if django.VERSION >= (4, 0):
        caches["native"] = POOL
    assert effective["caches"] == caches
    assert effective["round_trip"] == dict.fromkeys(caches, "hello")
    assert effective["levels"] == {"root": logging.WARNING, "django": logging.WARNING,
                                   "django.db.backends": logging.WARNING,
                                   "django.security": logging.ERROR, "audit": logging.INFO,
                                   "gunicorn.error": logging.WARNING}
    assert effective["root_handlers"] == 1
    assert effective["celery"] == {"task_acks_late": False, "worker_proc_alive_timeout": 60,
                                   "task_reject_on_worker_lost": None}  # late acks are the workers'


def test_nothing_changes_where_nothing_is_stated(start_gunicorn, make_tier):
    quiet = {"settingsModule": "core.settings.production", "debug": "Unmanaged", "logLevel": None,
             "disableApps": [], "disableMiddleware": []}
    tier = make_tier({"django": quiet, "database": None, "cache": None})
    effective = start_gunicorn(tier).json("/settings")
    assert (effective["debug"], effective["template_debug"]) == (True, True)
    assert "toolbar" in effective["apps"] and effective["toolbar"] is True
    assert (effective["conn_max_age"], effective["sqlite_busy_timeout"]) == (0, 5000)
    assert effective["postgresql"]["connect_timeout"] == 60
    assert effective["caches"]["default"]["max_connections"] == 7
    assert effective["levels"]["root"] == logging.INFO
    assert effective["hosts"] == ["shop.example", "127.0.0.1"]  # the pod's address is not the resource's to leave out


def test_the_probe_by_address_is_answered(start_gunicorn, make_tier):
    server = start_gunicorn(make_tier(MEMORYBUDGET_POD_IP="10.1.2.3"))
    assert server.status("/healthz", host="10.1.2.3:8000") == 200
    assert server.status("/healthz", host="10.9.9.9") == 400


def test_the_probe_is_not_redirected_to_https(start_gunicorn, make_tier):
    tier = make_tier(MEMORYBUDGET_POD_IP="10.1.2.3", SHOP_SSL="1")
    server = start_gunicorn(tier)
    assert server.status("/healthz", host="10.1.2.3") == 200
    assert server.status("/settings") == 301


def test_debug_off_keeps_localhost_where_no_host_was_allowed(start_gunicorn, make_tier):
    server = start_gunicorn(make_tier(SHOP_ALLOWED_HOSTS=""))
    assert server.status("/healthz", host="localhost") == 200
    assert server.status("/healthz", host="elsewhere.example") == 400


def test_log_floor_never_makes_a_logger_louder(start_gunicorn, make_tier):
    effective = start_gunicorn(make_tier({"django": {"logLevel": "DEBUG"}})).json("/settings")
    assert effective["levels"]["root"] == logging.INFO
    assert effective["levels"]["django"] == logging.DEBUG


def test_a_task_published_by_the_web_tier_lands_in_the_queue_of_the_ml_tier(start_gunicorn, broker):
    server, before = start_gunicorn(), time.time()
    server.json("/publish/recommendations.tasks.train_all")
    server.json("/publish/recommendations.tasks.train_model")  # the sample itself says "slow"
    server.json("/publish/orders.tasks.bill")  # not ours: the sample's own route stays
    server.json("/publish/orders.tasks.describe")
    depth = {queue: broker.llen(queue) for queue in ("ml", "slow", "bills", "celery")}
    assert depth == {"ml": 2, "slow": 0, "bills": 1, "celery": 1}
    message = json.loads(broker.lindex("ml", -1))
    assert message["headers"]["task"] == "recommendations.tasks.train_all"
    assert before <= message["headers"]["memorybudget_published"] <= time.time()


def test_without_the_loader_the_same_task_goes_elsewhere(start_gunicorn, make_tier, broker):
    server = start_gunicorn(make_tier(CELERY_LOADER=""))
    server.json("/publish/recommendations.tasks.train_model")
    wait_for("the message", lambda: broker.llen("slow") == 1)
    assert broker.llen("ml") == 0
