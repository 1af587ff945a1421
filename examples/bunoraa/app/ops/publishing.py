from celery import current_app, uuid
from celery.exceptions import NotRegistered
from django.utils import timezone
from kombu.exceptions import OperationalError

from .models import TaskRecord

CHUNK = 100


def registered(name):
    """Returns the task of that name; a web process has not imported all of them at first."""
    current_app.loader.import_default_modules()
    try:
        return current_app.tasks[name]
    except NotRegistered:
        return None


def publish(task, count, args, kwargs, batch, **options):
    """Publishes the task count times, each with a record written before. Returns the ids and the error, if any."""
    ids = []
    while len(ids) < count:
        chunk = [uuid() for _ in range(min(CHUNK, count - len(ids)))]
        now = timezone.now()
        TaskRecord.objects.bulk_create(
            TaskRecord(task_id=id, name=task.name, batch=batch, published_at=now) for id in chunk
        )
        for position, id in enumerate(chunk):
            try:
                task.apply_async(args, kwargs, task_id=id, headers={"batch": batch}, **options)
            except OperationalError as error:
                TaskRecord.objects.filter(task_id__in=chunk[position:]).delete()
                return ids, str(error)
            ids.append(id)
    return ids, None
