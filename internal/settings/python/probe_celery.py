# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Part of ``probe``: reads a Celery app's configuration back from the running library."""
import fnmatch
import os

import memorybudget
from celery import VERSION
from celery.app.utils import find_app
from celery.exceptions import QueueNotFound
from kombu.transport import TRANSPORT_ALIASES
from memorybudget import loader


def find():
    """Return the Celery app by the name given to `celery -A`, or None where there is none."""
    name = (memorybudget.shared().get("celery") or {}).get("app")
    if not name:
        return None
    return find_app(name)


def load_tasks(app):
    """Import all modules that a worker imports, and bind all tasks."""
    app.loader.import_default_modules()
    app.finalize()


def read(report, app):
    """Read the Celery app's configuration back; all that the resource states must be in force."""
    settings, routes = loader.wanted()
    if (settings or routes) and not loader.in_force(app):
        report.problem("CeleryLoaderBypassed")
    conf = app.conf
    for name in ("task_acks_late", "task_reject_on_worker_lost", "task_time_limit",
                 "task_soft_time_limit", "worker_proc_alive_timeout", "worker_eta_task_limit",
                 "worker_soft_shutdown_timeout", "worker_disable_prefetch",
                 "worker_prefetch_multiplier", "worker_cancel_long_running_tasks_on_connection_loss",
                 "broker_pool_limit", "task_create_missing_queues"):
        report.setting("celery." + name, conf.get(name))
    for name, value in settings.items():
        if conf.get(name) != value and name != "worker_disable_prefetch":
            report.lost("celery." + name[:64])
    broker(report, app)
    acknowledgement(report, app, settings)
    routing(report, app, routes)


def kind_of_broker(conf):
    """Return the transport's name, or "unknown": a text that is no URL may be a password."""
    url = conf.broker_read_url or conf.get("broker_transport") or "amqp"
    first = url[0] if isinstance(url, (list, tuple)) else url
    found = str(first).partition("://")[0].partition("+")[0]
    return found if found in TRANSPORT_ALIASES else "unknown"


def broker(report, app):
    """Kind of broker, and how it gets on with long tasks."""
    conf, transport = app.conf, kind_of_broker(app.conf)
    report.setting("celery.broker_transport", transport)
    if transport == "unknown":
        report.problem("BrokerTransportUnknown")
    if older_than((5, 5)) and conf.get("worker_soft_shutdown_timeout"):
        report.problem("SoftShutdownUnsupported")
    if transport not in ("redis", "rediss", "sentinel"):
        return
    visible = (conf.broker_transport_options or {}).get("visibility_timeout", 3600)
    report.setting("celery.visibility_timeout", visible)
    if os.environ.get("MEMORYBUDGET_RUNTIME") == "celery" and longest(app) >= visible:
        report.problem("VisibilityTimeoutTooShort")


def longest(app):
    """Return how many seconds a task may stay unacknowledged: by default there is no limit."""
    default = float(os.environ.get("CELERY_WORKER_TIME_LIMIT") or app.conf.task_time_limit or 0)
    limits = [float(task.time_limit or default) for task in own_tasks(app) if task.acks_late]
    return max((limit or float("inf") for limit in limits), default=0.0)


def older_than(release):
    """Tell whether this Celery is older than the release."""
    return VERSION[:2] < release


def own_tasks(app):
    """Return the application's tasks."""
    return [task for name, task in app.tasks.items() if not name.startswith("celery.")]


def acknowledgement(report, app, settings):
    """Tasks that decide for themselves when they are acknowledged."""
    tasks = own_tasks(app)
    report.setting("celery.tasks", len(tasks))
    if settings.get("task_acks_late") and any(not task.acks_late for task in tasks):
        report.problem("TaskAcksEarly")
    if app.conf.task_reject_on_worker_lost or any(task.reject_on_worker_lost for task in tasks):
        report.problem("RejectOnWorkerLost")


def destination(app, name):
    """Return the queue to which a task of this name is published, or "" where there is none."""
    try:
        return app.amqp.router.route({}, name)["queue"].name
    except QueueNotFound:
        return ""


def routing(report, app, routes):
    """Whether the tasks named in the resource go to its queues, for tasks known here and others."""
    for pattern, route in routes.items():
        name = pattern.replace("*", "x").replace("?", "x")
        tasks = [task for task in own_tasks(app) if fnmatch.fnmatchcase(task.name, pattern)]
        found = {destination(app, name) for name in [name, *[task.name for task in tasks]]}
        if "" in found:
            report.problem("QueueUndefined")
        elif found != {route["queue"]}:
            report.problem("TaskRoutesNotEffective")
        if any(getattr(task, "queue", None) not in (None, route["queue"]) for task in tasks):
            report.problem("QueueSetInCode")
