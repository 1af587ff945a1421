from celery import Task
from django.utils import timezone

from . import process


class RecordedTask(Task):
    """Writes down each run of a task, where it ran and what it did to the memory of its process."""

    def before_start(self, task_id, args, kwargs):
        from .models import TaskRun

        delivery = self.request.delivery_info or {}
        facts = process.status()
        run = TaskRun.objects.create(
            task_id=task_id,
            name=self.name,
            batch=getattr(self.request, "batch", None) or "",
            hostname=self.request.hostname or "",
            pid=int(facts["Pid"]),
            ppid=int(facts["PPid"]),
            routing_key=delivery.get("routing_key") or "",
            redelivered=delivery.get("redelivered"),
            started_at=timezone.now(),
        )
        self.request.run_id = run.pk

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        from .models import TaskRun

        TaskRun.objects.filter(pk=getattr(self.request, "run_id", None)).update(
            finished_at=timezone.now(),
            state=status,
            rss_kib=process.rss_kib(),
            peak_kib=process.peak_kib(),
            torch_mapped=process.torch_mapped(),
        )
