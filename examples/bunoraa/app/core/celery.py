import os

from celery import Celery
from celery.signals import worker_init, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.production")

app = Celery("core", task_cls="ops.recording:RecordedTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def add_control_commands(**kwargs):
    import ops.control  # noqa: F401


@worker_process_init.connect
def warm_up(**kwargs):
    from shop.tax import warm_tax_table

    warm_tax_table()
