# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""The init container: what it reports about real applications, and that it never stands in the way."""
import json
import signal
from pathlib import Path

import celery
import django
import gunicorn
import pytest
from programs import PATIENCE, SAMPLE, Program, wait_for

#: Codes of what keeps the application from being imported.
NOT_IMPORTED = {"ImportFailed", "ImportExited", "ImportTimedOut", "OutOfMemory", "OverlayNotImportable"}


@pytest.fixture
def verify(make_tier, tmp_path):
    """Return a function that runs a tier's init container and returns its report."""
    def run(name="web", shared=None, told=None, cwd=SAMPLE, again=False, env_from=(), **variables):
        if not again:
            run.tier = make_tier(shared, cwd, env_from=env_from)
        log = tmp_path / "termination-log"
        environment = run.tier.environment(name, init=True, MEMORYBUDGET_TERMINATION_LOG=str(log), **variables)
        if told:
            environment["MEMORYBUDGET_GUNICORN"] = json.dumps(
                {**json.loads(environment["MEMORYBUDGET_GUNICORN"]), **told})
        done = run.tier.verify(name, environment)
        run.output = done.stdout.decode()
        assert done.returncode == 0, run.output
        text = log.read_text()
        assert len(text) <= 4096
        assert "secret" not in text and "redis://" not in text
        assert not (run.tier.package / ".probing").exists()
        report = json.loads(text)
        assert (report["v"], report["hash"], report["tier"]) == (1, "HASH", name)
        assert not (NOT_IMPORTED & set(report["problems"]) and "baselineBytes" in report)
        assert set(report) <= {"v", "hash", "tier", "python", "django", "celery", "gunicorn", "baselineBytes",
                               "settings", "lost", "imports", "problems"}
        return report
    return run


def test_a_web_tier(verify):
    report = verify()
    assert report["problems"] == []
    assert (report["django"], report["celery"]) == (django.get_version(), celery.__version__)
    assert report["gunicorn"] == gunicorn.__version__
    assert 20 << 20 < report["baselineBytes"] < 300 << 20
    settings = report["settings"]
    assert settings["django.settings_module"] == "memorybudget.settings"
    assert (settings["django.debug"], settings["django.base_debug"]) == (False, True)
    assert settings["database.conn_max_age"] == 300
    assert settings["database.connect_timeout"] == 10
    assert settings["database_other.connect_timeout"] == 10
    assert settings["cache.max_connections"] == 50
    assert settings["cache.socket_timeout"] == 5
    assert settings["log.root"] == "WARNING"
    assert settings["celery.task_acks_late"] is False  # late acks are the workers'
    assert settings["gunicorn.workers"] == 2
    assert settings["gunicorn.threads"] == 3
    assert settings["gunicorn.worker_class"] == "gthread"
    assert report["lost"] == [] and report["imports"] == []
    assert "the shop opens" in verify.output  # what the application prints is in the log, and only there


@pytest.mark.parametrize("tier", ["worker", "ml", "batch", "beat"])
def test_a_celery_tier(verify, tier):
    report = verify(tier)
    expected = [] if tier == "beat" else ["TaskAcksEarly"]  # orders.tasks.early
    if tier == "batch" and celery.VERSION[:2] < (5, 5):
        expected.insert(0, "SoftShutdownUnsupported")
    assert report["problems"] == expected
    assert report["settings"]["celery.task_acks_late"] is (tier != "beat")
    assert report["settings"]["celery.tasks"] == 8
    assert report["settings"]["celery.worker_proc_alive_timeout"] == 60
    assert report["settings"]["celery.visibility_timeout"] == 3600
    assert report["settings"]["celery.broker_transport"] == "redis"
    assert "gunicorn" not in report
    assert report["baselineBytes"] > 20 << 20


def test_a_process_tier(verify):
    report = verify("job", {"django": None, "celery": None}, DJANGO_SETTINGS_MODULE="")
    assert report["problems"] == [] and "django" not in report
    assert "baselineBytes" not in report  # nothing of the application was imported
    assert verify("job")["baselineBytes"] > 20 << 20


@pytest.mark.parametrize(("variables", "problem"), [
    ({"SHOP_IMPORT": "raise"}, "ImportFailed"),
    ({"SHOP_IMPORT": "exit"}, "ImportExited"),
    ({"SHOP_IMPORT": "vanish"}, "ImportExited"),
    ({"SHOP_IMPORT": "killed"}, "OutOfMemory"),
    ({"SHOP_IMPORT": "hang", "MEMORYBUDGET_VERIFY_TIMEOUT": "10"}, "ImportTimedOut"),
    ({"SHOP_HARD_SETTINGS": "1", "DJANGO_SETTINGS_MODULE": ""}, "SettingsModuleOverridden"),
    ({"SHOP_OWN_LOADER": "1"}, "CeleryLoaderBypassed"),
    ({"CELERY_LOADER": ""}, "CeleryLoaderBypassed"),
    ({"PYTHONPATH": ""}, "OverlayNotImportable"),
    ({"SHOP_ALLOWED_HOSTS": ""}, "AllowedHostsEmpty"),
    ({"CELERY_BROKER_URL": "s3cr3t-of-the-broker"}, "BrokerTransportUnknown"),
    ({"CELERY_BROKER_URL": "s3cr3t:of@the/broker"}, "BrokerTransportUnknown"),
    ({"DJANGO_CONFIGURATION": "Production"}, "DjangoConfigurationsUnsupported"),
])
def test_problems_of_a_web_tier(verify, variables, problem):
    report = verify(**variables)
    assert problem in report["problems"]
    assert "s3cr3t" not in json.dumps(report)
    if "SHOP_IMPORT" in variables:
        assert report["gunicorn"] == gunicorn.__version__  # what was known before is kept


@pytest.mark.parametrize(("shared", "told", "problem"), [
    ({}, {"application": "core.nowhere:application"}, "ImportFailed"),
    ({}, {"config": "/nowhere.py"}, "ImportExited"),
    ({}, {"worker_class": "tornado"}, "RssRecyclingUnsupported"),
    ({}, {"max_rss_bytes": 30 << 20}, "RecycleLoop"),
    ({"celery": {"app": "nowhere"}}, {}, "CeleryAppNotFound"),
    ({"django": {"disableMiddleware": []}}, {}, "MiddlewareOfDisabledApp"),
    ({"django": {"disableApps": ["toolbar", "orders"], "settingsModule": "core.settings.production"}}, {}, None),
    ({"django": {"settingsModule": "core.settings.nowhere"}}, {}, "ImportFailed"),
])
def test_problems_of_what_is_stated(verify, shared, told, problem):
    problems = verify(shared=shared, told=told)["problems"]
    assert problem in problems if problem else problems == []


@pytest.mark.parametrize(("shared", "variables", "problem"), [
    ({"celery": {"taskRoutes": [{"pattern": "recommendations.tasks.score_*", "queue": "ml"}]}}, {}, "QueueSetInCode"),
    ({}, {"SHOP_TIME_LIMIT": "3600"}, "VisibilityTimeoutTooShort"),
    ({}, {"SHOP_TIME_LIMIT": "0"}, "VisibilityTimeoutTooShort"),
    ({}, {"SHOP_TIME_LIMIT": "0", "CELERY_WORKER_TIME_LIMIT": "7200"}, "VisibilityTimeoutTooShort"),
    ({}, {"CELERY_WORKER_MAX_MEMORY_PER_CHILD": "30000"}, "RecycleLoop"),
    ({"celery": {"app": "plain.fixed"}}, {}, "QueueUndefined"),
    ({"celery": {"app": "plain.fixed"}}, {}, "RejectOnWorkerLost"),
    ({"celery": {"app": "plain.rerouted"}}, {}, "TaskRoutesNotEffective"),
    ({"celery": {"app": "plain.nowhere"}}, {}, "ImportFailed"),
])
def test_problems_of_a_celery_tier(verify, shared, variables, problem):
    assert problem in verify("worker", shared, **variables)["problems"]


@pytest.mark.parametrize(("tier", "variables"), [
    ("worker", {"SHOP_TIME_LIMIT": "3599"}),
    ("worker", {"SHOP_TIME_LIMIT": "0", "CELERY_WORKER_TIME_LIMIT": "60"}),
    ("worker", {"SHOP_TIME_LIMIT": "0", "CELERY_BROKER_URL": "amqp://localhost//"}),
    ("worker", {"SHOP_TIME_LIMIT": "0", "MEMORYBUDGET_CELERY": '{"task_acks_late": false}'}),
    ("beat", {"SHOP_TIME_LIMIT": "0"}),
    ("web", {"SHOP_TIME_LIMIT": "0"}),
], ids=["a limit", "a limit of the worker", "another broker", "early acks", "beat", "web"])
def test_the_visibility_timeout_is_long_enough(verify, tier, variables):
    assert "VisibilityTimeoutTooShort" not in verify(tier, **variables)["problems"]


@pytest.mark.parametrize(("url", "kind"), [
    ("redis://:secret@broker:6379/0", "redis"),
    ("rediss://:secret@broker/0", "rediss"),
    ("sentinel://a:1;sentinel://b:1", "sentinel"),
    ("amqp://user:secret@broker//", "amqp"),
    ("sqla+sqlite:///broker.sqlite", "sqla"),
    ("", "redis"),  # the sample's own setting
])
def test_the_kind_of_broker(verify, url, kind):
    report = verify("worker", CELERY_BROKER_URL=url)
    assert report["settings"]["celery.broker_transport"] == kind
    assert "BrokerTransportUnknown" not in report["problems"]


def test_a_lost_setting_is_named(verify):
    report = verify("worker", CELERY_LOADER="")
    assert "SettingLost" in report["problems"]
    assert {"celery.task_acks_late", "celery.worker_proc_alive_timeout"} <= set(report["lost"])
    config = verify.tier.package / "gunicorn_conf.py"
    report = verify(again=True, GUNICORN_CMD_ARGS="--config %s --threads 16 --worker-class gevent" % config)
    assert report["settings"]["gunicorn.threads"] == 16
    assert report["lost"] == ["gunicorn.threads", "gunicorn.worker_class"]


def test_parameters_in_the_url_of_a_cache_are_seen(verify, broker):
    port = broker.connection_pool.connection_kwargs["port"]
    report = verify(SHOP_REDIS_URL="redis://127.0.0.1:%d/0?max_connections=3" % port)
    assert report["settings"]["cache.max_connections"] == 3
    assert "cache.max_connections" in report["lost"]


def test_a_package_of_the_same_name_in_the_working_directory(verify, tmp_path):
    shadow = tmp_path / "app" / "memorybudget"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("")
    assert verify(cwd=shadow.parent)["problems"] == ["OverlayNotImportable"]


def test_heavy_imports_are_seen(verify, tmp_path):
    heavy = tmp_path / "app"
    heavy.mkdir()
    (heavy / "torch.py").write_text("weights = bytearray(100 << 20)\n")
    (heavy / "model.py").write_text("import torch\nfrom core.wsgi import application\n")
    report = verify(told={"application": "model:application"}, cwd=heavy, env_from={"PYTHONPATH": str(SAMPLE)})
    assert report["imports"] == ["torch"]
    assert report["baselineBytes"] > 100 << 20


def test_a_try_that_did_not_survive_is_reported_and_not_repeated(verify):
    verify()
    (verify.tier.package / ".probing").touch()
    report = verify(again=True, SHOP_IMPORT="hang")
    assert report["problems"] == ["OutOfMemory"]


def test_a_pod_that_is_deleted_meanwhile_is_gone_at_once(make_tier, tmp_path):
    """Process 1 of a container ignores SIGTERM unless it handles it; the import may hang for long."""
    tier = make_tier(SHOP_IMPORT="hang")
    environment = tier.environment("web", init=True, MEMORYBUDGET_TERMINATION_LOG=str(tmp_path / "report"))
    command = ["sh", "-c", "trap '' TERM; exec \"$@\"", "sh", *tier.command("web", environment, init=True)]
    program = Program(command, tmp_path / "log", environment, tier.cwd)
    try:
        wait_for("the import", lambda: program.running() and "the shop opens" in program.text())
        probes = Path("/proc/%d/task/%d/children" % (program.pid, program.pid)).read_text().split()
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert len(probes) == 1
        wait_for("the probe is gone", lambda: not Path("/proc", probes[0]).exists())
        assert not (tier.package / ".probing").exists()  # else the next try would say OutOfMemory
    finally:
        program.stop()


def test_a_full_report_stays_within_the_limit(verify):
    from importlib.util import module_from_spec, spec_from_file_location
    from rendered import SOURCE
    spec = spec_from_file_location("verify_under_test", SOURCE / "verify.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.compose({"problems": ["P" * 200] * 100, "settings": {str(n): "x" * 64 for n in range(99)},
                           "lost": ["y" * 64] * 20, "imports": [], "url": "redis://secret"})
    assert len(text) <= 4096
    assert set(json.loads(text)) == {"v", "hash", "tier", "lost", "imports", "problems"}
