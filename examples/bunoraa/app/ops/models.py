from django.db import models


class TaskRecord(models.Model):
    """A task that was published from the operations pages."""

    task_id = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    batch = models.CharField(max_length=100, blank=True, db_index=True)
    published_at = models.DateTimeField()


class TaskRun(models.Model):
    """One execution of a task; a task that was delivered twice has two."""

    task_id = models.CharField(max_length=64, db_index=True)
    name = models.CharField(max_length=200)
    batch = models.CharField(max_length=100, blank=True, db_index=True)
    hostname = models.CharField(max_length=200)
    pid = models.IntegerField()
    ppid = models.IntegerField()
    routing_key = models.CharField(max_length=200)
    redelivered = models.BooleanField(null=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=20, blank=True)
    rss_kib = models.IntegerField(null=True)
    peak_kib = models.IntegerField(null=True)
    torch_mapped = models.BooleanField(null=True)
