# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Celery's settings in apps of every make: what a process that made the app sees."""
import json

import celery
import pytest
from conftest import TIER_VARIABLES

READ = """
import json
from celery.app.utils import find_app
app = find_app("%s")
app.finalize()
tasks = {name: task.acks_late for name, task in app.tasks.items() if not name.startswith("celery.")}
def queue(name):
    return app.amqp.router.route({}, name)["queue"].name
print(json.dumps({
    "acks_late": app.conf.task_acks_late, "item": app.conf["task_acks_late"], "get": app.conf.get("task_acks_late"),
    "alive": app.conf.worker_proc_alive_timeout, "lost": app.conf.task_reject_on_worker_lost,
    "prefetch": app.conf.worker_prefetch_multiplier, "disable": app.conf.get("worker_disable_prefetch"),
    "broker": app.conf.broker_url, "ml": queue("ml.train"), "plain": queue("plain.work"),
    "tasks": tasks, "loader": [c.__name__ for c in type(app.loader).__mro__],
    "table": app.conf.table(with_defaults=False).get("task_acks_late"),
    "old_name": app.conf.get("CELERY_ACKS_LATE"), "contains": "task_acks_late" in app.conf}))
"""

CELERY = {"celery": {"app": "plain", "settings": {"task_acks_late": True, "worker_proc_alive_timeout": 60,
                                                  "task_reject_on_worker_lost": True,
                                                  "worker_disable_prefetch": True},
                     "taskRoutes": [{"pattern": "ml.*", "queue": "ml"},
                                    {"pattern": "jobs.step_?", "queue": "steps"}]},
          "django": None}


@pytest.fixture(autouse=True)
def no_django_and_no_broker(monkeypatch):
    """Let the apps of this module run without Django, each with the broker that it names."""
    monkeypatch.setitem(TIER_VARIABLES, "DJANGO_SETTINGS_MODULE", "")
    monkeypatch.setitem(TIER_VARIABLES, "CELERY_BROKER_URL", "")


@pytest.fixture
def read(make_tier):
    """Return a function that reads an app's settings in a fresh process."""
    def reader(module, **variables):
        return make_tier(CELERY).python(READ % module, **variables)
    return reader


@pytest.mark.parametrize("module", ["plain.namespaceless", "plain.old_names", "plain.namespaced", "plain.subclassed"])
def test_the_resource_wins_in_every_app(read, module):
    found = read(module)
    assert (found["acks_late"], found["item"], found["get"], found["table"]) == (True, True, True, True)
    assert found["contains"] is True
    assert found["alive"] == 60
    assert set(found["tasks"].values()) == {True}
    assert found["ml"] == "ml"
    assert not found["lost"]  # never turned on by us, whatever we are told
    assert not found["disable"]  # not a Redis broker
    assert found["broker"].startswith("memory://")


@pytest.mark.parametrize(("module", "queue"), [
    ("plain.namespaceless", "plain"), ("plain.namespaced", "everything"), ("plain.old_names", "celery")])
def test_the_applications_own_routes_stay_behind_ours(read, module, queue):
    assert read(module)["plain"] == queue


def test_settings_that_are_not_stated_stay(read):
    assert read("plain.old_names")["prefetch"] == 8
    assert read("plain.old_names")["old_name"] is True  # code that reads a stated one by its old name
    assert read("plain.namespaceless")["prefetch"] == 4


def test_a_loader_of_the_apps_class_stays(read):
    assert "TracingLoader" in read("plain.subclassed")["loader"]


def test_the_tier_wins_over_what_all_share(read):
    found = read("plain.namespaceless", MEMORYBUDGET_CELERY='{"worker_proc_alive_timeout": 90}')
    assert (found["alive"], found["acks_late"]) == (90, True)


def test_the_broker_that_is_stated_is_read_from_and_written_to(make_tier):
    """Celery prefers these two settings to CELERY_BROKER_URL; the resource's broker is for both."""
    code = """
import json
from celery import Celery
class Config:
    CELERY_BROKER_READ_URL = "memory://read"
    CELERY_BROKER_WRITE_URL = "memory://write"
app = Celery("x")
app.config_from_object(Config, namespace="CELERY")
app.conf.broker_read_url
app.conf.update(broker_write_url="memory://again")
print(json.dumps([app.connection_for_read().hostname, app.connection_for_write().hostname]))
"""
    assert make_tier().python(code, CELERY_BROKER_URL="memory://stated") == ["stated", "stated"]
    no_broker = make_tier({"celery": {"settings": {}}})
    assert no_broker.python(code, CELERY_BROKER_URL="memory://stated") == ["read", "write"]


def test_without_the_loader_the_app_is_as_it_was(read):
    found = read("plain.namespaceless", CELERY_LOADER="")
    assert (found["acks_late"], found["ml"]) == (False, "wrong")


def test_the_default_app_reads_its_celeryconfig(make_tier, tmp_path):
    (tmp_path / "celeryconfig.py").write_text("broker_url = 'memory://'\ntask_acks_late = False\n"
                                              "worker_prefetch_multiplier = 3\n")
    code = """
import json
from celery import current_app
print(json.dumps([current_app.conf.task_acks_late, current_app.conf.worker_prefetch_multiplier]))
"""
    assert make_tier(CELERY, cwd=tmp_path).python(code) == [True, 3]


def test_disable_prefetch_only_on_redis_from_5_6(make_tier):
    code = """
import json, celery
from celery import Celery
app = Celery("x", broker="%s")
found = [app.conf.get("worker_disable_prefetch")]
import memorybudget.loader as loader
loader.VERSION = celery.VERSION._replace(major=5, minor=6)
found.append(app.conf.get("worker_disable_prefetch"))
print(json.dumps(found))
"""
    real = celery.VERSION[:2] >= (5, 6)
    tier = make_tier(CELERY)
    assert tier.python(code % "redis://localhost/0") == [True if real else None, True]
    assert not any(tier.python(code % "amqp://localhost//"))


def test_routes_keep_the_kind_that_code_expects(make_tier):
    """Code that adds to the routes it has set finds a dict, and is not ignored."""
    code = """
import json
from celery import Celery
app = Celery("x", broker="memory://")
app.conf.task_routes = {"a.b": {"queue": "own"}}
app.conf.broker_url
app.conf.task_routes["c.d"] = {"queue": "added"}
app.conf.task_routes.update({"e.f": "short"})
print(json.dumps([app.amqp.router.route({}, name)["queue"].name for name in ("a.b", "c.d", "e.f", "ml.x")]))
"""
    assert make_tier(CELERY).python(code) == ["own", "added", "short", "ml"]


def test_a_question_mark_makes_a_pattern_and_the_conf_stays_printable(make_tier):
    code = """
import json
from celery import Celery
app = Celery("x", broker="memory://")
app.conf.task_routes = {"jobs.*": {"queue": "jobs"}, "jobs.step_1": {"queue": "wrong"}}
found = [app.amqp.router.route({}, name)["queue"].name for name in ("jobs.step_1", "jobs.step_22")]
print(json.dumps([found, sorted(json.loads(json.dumps(app.conf.task_routes)))]))
"""
    assert make_tier(CELERY).python(code) == [
        ["steps", "jobs"], ["jobs.*", "jobs.step_?", "ml.*"]]


def test_changes_after_a_second_configuration(make_tier):
    code = """
import json
from celery import Celery
app = Celery("x", broker="memory://")
found = [app.conf.task_acks_late]
app.config_from_object({"task_acks_late": False, "worker_prefetch_multiplier": 2}, force=True)
found += [app.conf.task_acks_late, app.conf.worker_prefetch_multiplier]
app.add_defaults({"task_acks_late": False, "task_time_limit": 7})
app.conf.clear()
found += [app.conf.task_acks_late, app.conf.task_time_limit]
print(json.dumps(found))
"""
    assert make_tier(CELERY).python(code) == [True, True, 2, True, 7]


def test_an_app_survives_pickling(make_tier):
    code = """
import json, pickle
from celery import Celery
app = Celery("x", broker="memory://")
app.conf.update(task_acks_late=False, task_time_limit=7)
other = pickle.loads(pickle.dumps(app))
app.conf.finalize()
changes = pickle.loads(pickle.dumps(app.conf.changes))
print(json.dumps([other.conf.task_acks_late, other.conf.task_time_limit, type(changes).__name__,
                  changes["task_acks_late"]]))
"""
    assert make_tier(CELERY).python(code) == [True, 7, "dict", False]


def test_nothing_is_touched_where_nothing_is_stated(make_tier):
    code = """
import json
from celery import Celery
import memorybudget.loader as loader
app = Celery("x", broker="memory://")
print(json.dumps([app.conf.task_acks_late, loader.in_force(app), type(app.conf.changes).__name__]))
"""
    tier = make_tier({"celery": None, "django": None})
    assert tier.python(code) == [False, False, "dict"]
    assert json.loads((tier.package / "settings.json").read_text()).get("celery") is None
