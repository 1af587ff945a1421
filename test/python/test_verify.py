# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""The init container: what it reports about real applications, and that it never stands in the way."""
import json

import celery
import django
import gunicorn
import pytest
from conftest import SHARED, bootstrap, changed, make_source
from programs import SAMPLE

TOLD = {"application": "core.wsgi:application", "workers": 2, "threads": 2, "worker_class": "gthread",
        "max_requests": 1000, "max_requests_jitter": 100, "loglevel": "warning", "timeout": 30,
        "graceful_timeout": 25, "preload_app": False, "max_rss_bytes": 1 << 30}


@pytest.fixture
def verify(make_tier, tmp_path):
    """Return a function that runs the init container's code and returns its report."""
    def run(runtime="gunicorn", shared=None, told=None, cwd=SAMPLE, again=False, **variables):
        tier = make_tier()
        source, log = tmp_path / "source", tmp_path / "termination-log"
        if not again:
            make_source(source, changed(SHARED, **(shared or {})))
        target = tmp_path / "lib" / "memorybudget"
        environment = tier.environment(runtime, **{
            "PYTHONPATH": str(target.parent), "MEMORYBUDGET_SETTINGS": str(target / "settings.json"),
            "MEMORYBUDGET_TERMINATION_LOG": str(log), "MEMORYBUDGET_GUNICORN": json.dumps({**TOLD, **(told or {})}),
            "GUNICORN_CMD_ARGS": "--config %s" % (target / "gunicorn_conf.py"), **variables})
        done = bootstrap(source, target, "1", environment=environment, cwd=cwd)
        run.output = done.stdout.decode()
        assert done.returncode == 0, run.output
        text = log.read_text()
        assert len(text) <= 4096
        assert "secret" not in text and "redis://" not in text
        assert not (target / ".probing").exists()
        report = json.loads(text)
        assert (report["v"], report["hash"], report["tier"]) == (1, "h" * 10, "shop")
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
    assert settings["celery.task_acks_late"] is True
    assert settings["gunicorn.workers"] == 2
    assert settings["gunicorn.threads"] == 2
    assert settings["gunicorn.worker_class"] == "gthread"
    assert report["lost"] == [] and report["imports"] == []
    assert "the shop opens" in verify.output  # what the application prints is in the log, and only there


@pytest.mark.parametrize("runtime", ["celery", "beat"])
def test_a_celery_tier(verify, runtime):
    report = verify(runtime)
    assert report["problems"] == ["TaskAcksEarly"]  # orders.tasks.early
    assert report["settings"]["celery.tasks"] == 8
    assert report["settings"]["celery.worker_proc_alive_timeout"] == 60
    assert report["settings"]["celery.visibility_timeout"] == 3600
    assert report["settings"]["celery.broker_transport"] == "redis"
    assert "gunicorn" not in report
    assert report["baselineBytes"] > 20 << 20


def test_a_process_tier(verify):
    report = verify("process", {"django": None, "celery": None})
    assert report["problems"] == [] and "django" not in report


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
    ({"DJANGO_CONFIGURATION": "Production"}, "DjangoConfigurationsUnsupported"),
])
def test_problems_of_a_web_tier(verify, variables, problem):
    report = verify(**variables)
    assert problem in report["problems"]
    if "SHOP_IMPORT" in variables:
        assert report["gunicorn"] == gunicorn.__version__  # what was known before is kept


@pytest.mark.parametrize(("shared", "told", "problem"), [
    ({}, {"application": "core.nowhere:application"}, "ImportFailed"),
    ({}, {"config": "/nowhere.py"}, "ImportExited"),
    ({}, {"worker_class": "tornado"}, "RssRecyclingUnsupported"),
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
    ({"celery": {"settings": {"task_acks_late": True, "task_time_limit": 7200}}}, {}, "VisibilityTimeoutTooShort"),
    ({}, {"CELERY_WORKER_TIME_LIMIT": "3600"}, "VisibilityTimeoutTooShort"),
    ({"celery": {"app": "plain.fixed"}}, {}, "QueueUndefined"),
    ({"celery": {"app": "plain.fixed"}}, {}, "RejectOnWorkerLost"),
    ({"celery": {"app": "plain.rerouted"}}, {}, "TaskRoutesNotEffective"),
    ({"celery": {"app": "plain.nowhere"}}, {}, "ImportFailed"),
])
def test_problems_of_a_celery_tier(verify, shared, variables, problem):
    assert problem in verify("celery", shared, **variables)["problems"]


def test_soft_shutdown_needs_celery_5_5(verify):
    report = verify("celery", MEMORYBUDGET_CELERY='{"worker_soft_shutdown_timeout": 10}')
    assert ("SoftShutdownUnsupported" in report["problems"]) == (celery.VERSION[:2] < (5, 5))


def test_a_lost_setting_is_named(verify, tmp_path):
    report = verify(CELERY_LOADER="")
    assert "SettingLost" in report["problems"]
    assert {"celery.task_acks_late", "celery.worker_proc_alive_timeout"} <= set(report["lost"])
    config = tmp_path / "lib" / "memorybudget" / "gunicorn_conf.py"
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
    report = verify(told={"application": "model:application"}, cwd=heavy,
                    PYTHONPATH="%s:%s" % (tmp_path / "lib", SAMPLE))
    assert report["imports"] == ["torch"]
    assert report["baselineBytes"] > 100 << 20


def test_a_try_that_did_not_survive_is_reported_and_not_repeated(verify, tmp_path):
    verify()
    (tmp_path / "lib" / "memorybudget" / ".probing").touch()
    report = verify(again=True, SHOP_IMPORT="hang")
    assert report["problems"] == ["OutOfMemory"]


def test_a_full_report_stays_within_the_limit(verify):
    from importlib.util import module_from_spec, spec_from_file_location
    from conftest import SOURCE
    spec = spec_from_file_location("verify_under_test", SOURCE / "verify.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.compose({"problems": ["P" * 200] * 100, "settings": {str(n): "x" * 64 for n in range(99)},
                           "lost": ["y" * 64] * 20, "imports": [], "url": "redis://secret"})
    assert len(text) <= 4096
    assert set(json.loads(text)) == {"v", "hash", "tier", "lost", "imports", "problems"}
